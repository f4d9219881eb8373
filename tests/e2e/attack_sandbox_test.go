//go:build e2e

package e2e_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// sandboxAttacks are tried as the root of a sandbox, whom no pod should become.
var sandboxAttacks = []string{"core-pattern", "kernel-settings", "proc-files", "sys-files", "block-devices", "char-devices", "fuse-device", "kernel-log",
	"bpf", "perf", "userfault", "keyring", "vsock", "file-handle", "host-process", "mount-proc", "mount-sysfs", "mount-device",
	"mount-cgroup", "mount-again", "own-bounds", "own-devices", "abstract-sockets", "loopback", "user-proc", "user-sysfs"}

// sandboxRemains is what the root of a sandbox can do all the same: one that entered
// it, and a container that the sandbox's engine gives everything. docs/security.md has
// a line with the reason for each.
var sandboxRemains = map[string][]string{
	"entered":   {"mount-proc", "mount-cgroup", "mount-again", "perf", "proc-files", "fuse-device"},
	"container": {"mount-proc", "mount-cgroup", "mount-again", "perf", "proc-files", "core-pattern", "kernel-settings", "user-proc"},
}

// TestAttackSandboxRoot: the root of a sandbox changes no setting of the kernel, opens
// no disk and lifts none of the sandbox's bounds, or docs/security.md says that it can.
func TestAttackSandboxRoot(t *testing.T) {
	t.Parallel()
	i := theIntruder(t)
	d := ownDaemon(t, 1, nil)
	b := layBait(t, d.dir)
	control := findings(runPlain(t, map[string]any{"Cmd": append([]string{"/intruder", "probe"}, sandboxAttacks...), "Env": b.env,
		"HostConfig": openDoors(d.dir)}))
	p := d.run(t, newPod(shell("c", untilStopped)))
	p.waitRunning()
	box := p.sandbox()
	before := boundsOf(t, box.ID)
	archive, err := archiveOf(i.binary, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := putArchive(t.Context(), box.ID, archive); err != nil {
		t.Fatal(err)
	}
	ways := map[string]map[string]finding{
		"entered":   findings(execIn(t, box.ID, b.env, append([]string{"/intruder", "probe"}, sandboxAttacks...))),
		"container": findings(d.runInside(t, p, b)),
	}
	if after := boundsOf(t, box.ID); !maps.Equal(before, after) {
		t.Errorf("the sandbox's bounds were %v and are %v", before, after)
	} else {
		for _, way := range ways {
			// What it lifted was not the sandbox's own.
			way["own-bounds"] = finding{held, way["own-bounds"].saw}
		}
	}
	text, err := os.ReadFile("../../docs/security.md")
	if err != nil {
		t.Fatal(err)
	}
	_, remaining, _ := bytes.Cut(text, []byte("## What is left to the root of a sandbox"))
	remaining, _, _ = bytes.Cut(remaining, []byte("\n## "))
	for _, name := range sandboxAttacks {
		if control[name].state != escaped && !slices.Contains(notHere, name) {
			t.Errorf("the control of %s %s: %s", name, control[name].state, control[name].saw)
		}
		remains := slices.Contains(sandboxRemains["entered"], name) || slices.Contains(sandboxRemains["container"], name)
		if remains != bytes.Contains(remaining, []byte("`"+name+"`")) {
			t.Errorf("docs/security.md has a line on %s: %t", name, !remains)
		}
		for _, way := range sortedKeys(ways) {
			f := ways[way][name]
			t.Logf("%s %s: %s: %s", way, name, f.state, f.saw)
			if f.state == "" {
				t.Errorf("%s: %s was not tried", way, name)
			}
			if f.state == escaped && control[name].state == escaped && !slices.Contains(sandboxRemains[way], name) {
				t.Errorf("%s: %s escaped: %s", way, name, f.saw)
			}
		}
	}
}

// execIn runs a command in a container of the host's engine and returns what it wrote.
func execIn(t *testing.T, id string, env, argv []string) string {
	t.Helper()
	headers := map[string]string{"Content-Type": "application/json"}
	var made struct{ ID string }
	decode(t, suite.engine.post(t, "/containers/"+id+"/exec", headers, bytes.NewReader(encode(t, map[string]any{"Cmd": argv, "Env": env, "Tty": true,
		"AttachStdout": true, "AttachStderr": true}))), &made)
	return strings.ReplaceAll(suite.engine.post(t, "/exec/"+made.ID+"/start", headers, bytes.NewReader(encode(t, map[string]any{"Tty": true}))), "\r\n", "\n")
}

// runInside runs the intruder in a container that the sandbox's own engine gives
// everything.
func (d *daemon) runInside(t *testing.T, p *podRun, b bait) string {
	t.Helper()
	inner := d.innerEngine(t, p)
	host := openDoors(d.dir)
	host["Binds"] = []string{"/:/sandbox"}
	// Not more than the sandbox has itself.
	host["CapAdd"], host["CapDrop"] = sandboxCapabilities, []string{"ALL"}
	delete(host, "DeviceCgroupRules") // those of a child are among its parent's
	host["NetworkMode"], host["IpcMode"], host["PidMode"] = "host", "host", "host"
	headers := map[string]string{"Content-Type": "application/json"}
	var made struct{ ID string }
	decode(t, inner.post(t, "/containers/create", headers, bytes.NewReader(encode(t, map[string]any{"Image": d.imageInside(t, inner),
		"Entrypoint": append([]string{"/sandbox/intruder", "probe"}, sandboxAttacks...), "Env": b.env, "Tty": true, "HostConfig": host}))), &made)
	inner.post(t, "/containers/"+made.ID+"/start", headers, nil)
	inner.post(t, "/containers/"+made.ID+"/wait", headers, nil)
	response, err := inner.http.Get("http://engine/containers/" + made.ID + "/logs?stdout=1&stderr=1")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	var text bytes.Buffer
	if _, err := text.ReadFrom(response.Body); err != nil {
		t.Fatal(err)
	}
	return strings.ReplaceAll(text.String(), "\r\n", "\n")
}

// sandboxCapabilities are those that a sandbox has.
var sandboxCapabilities = []string{"AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "IPC_LOCK", "IPC_OWNER",
	"KILL", "LEASE", "MKNOD", "NET_ADMIN", "NET_BIND_SERVICE", "NET_RAW", "SETFCAP", "SETGID", "SETPCAP", "SETUID",
	"SYS_ADMIN", "SYS_CHROOT", "SYS_NICE", "SYS_PTRACE"}

// innerEngine is the engine in a pod's sandbox.
func (d *daemon) innerEngine(t *testing.T, p *podRun) *engineReader {
	t.Helper()
	p.sandbox()
	key := strings.ReplaceAll(strings.TrimSuffix(p.box, "_dind"), "-", "")
	inner, err := newEngineReader("unix://" + filepath.Join(d.data(), "sandboxes", key[:min(len(key), 16)], "docker.sock"))
	if err != nil {
		t.Fatal(err)
	}
	return inner
}

// imageInside is one that a sandbox's engine has.
func (d *daemon) imageInside(t *testing.T, inner *engineReader) string {
	t.Helper()
	var containers []struct{ ImageID string }
	if err := inner.call(t.Context(), http.MethodGet, "/containers/json?all=1", &containers); err != nil {
		t.Fatal(err)
	}
	if len(containers) == 0 {
		t.Fatal("the sandbox's engine has no container")
	}
	return containers[0].ImageID
}

// boundsOf reads the bounds of a container's own control groups.
func boundsOf(t *testing.T, id string) map[string]string {
	t.Helper()
	out := map[string]string{}
	for _, pattern := range []string{"/sys/fs/cgroup/*/*/" + id, "/sys/fs/cgroup/*/*/*/" + id, "/sys/fs/cgroup/*/" + id, "/sys/fs/cgroup/*/*/docker-" + id + ".scope", "/sys/fs/cgroup/*/docker-" + id + ".scope"} {
		dirs, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, dir := range dirs {
			for _, name := range []string{"memory.limit_in_bytes", "memory.max", "pids.max", "cpu.cfs_quota_us", "cpu.max"} {
				if value, err := os.ReadFile(filepath.Join(dir, name)); err == nil {
					out[filepath.Join(dir, name)] = strings.TrimSpace(string(value))
				}
			}
		}
	}
	if len(out) == 0 {
		t.Fatal(fmt.Errorf("no control group of %s", id))
	}
	return out
}

func decode(t *testing.T, text string, into any) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), into); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
}
