//go:build e2e

package e2e_test

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	v1 "k8s.io/api/core/v1"
)

// flagsOfDocker would give a container on a plain engine something of the host's. None
// has a meaning here.
var flagsOfDocker = []string{"--privileged", "--pid host", "--pid=container:x", "--volume /:/host", "-v /:/host", "--mount type=bind,source=/,target=/host",
	"--volumes-from x", "--device /dev/vda", "--device-cgroup-rule 'a *:* rwm'", "--security-opt seccomp=unconfined", "--security-opt systempaths=unconfined",
	"--cap-add SYS_ADMIN", "--cap-add CAP_SYS_MODULE", "--cap-add SYS_RAWIO", "--cap-add DAC_READ_SEARCH", "--network host", "--ipc container:x",
	"--userns host", "--uts host", "--cgroupns host", "--cgroup-parent /", "--runtime runc", "--env-file /etc/shadow", "--label-file /etc/shadow",
	"--cidfile /tmp/attack", "--log-driver syslog", "--log-opt path=/etc/passwd", "--sysctl kernel.core_pattern=x", "--group-add 0", "--oom-kill-disable",
	"--oom-score-adj -1000", "--memory-swap -1", "--cpu-rt-runtime 1", "--storage-opt size=1t", "--tmpfs /proc/sys", "--publish 22:22", "--restart always",
	"--entrypoint sh", "--name x", "--gpus all", "--dns 1.1.1.1 -- sh", "image sh", "--env =x", "--shm-size -1", "--pids-limit x", "--ulimit nofile=-2:-5"}

// TestAttackFlags: each is refused by name, and what is taken leads nowhere.
func TestAttackFlags(t *testing.T) {
	t.Parallel()
	theIntruder(t)
	d := ownDaemon(t, 1, map[string]any{"TrustedAnnotationFlags": true})
	with := func(flags string, argv ...string) *v1.Pod {
		pod := newPod(attacker(t, "c", argv...))
		pod.Annotations = map[string]string{"docker-options.vk.io/flags": flags}
		return pod
	}
	for _, flags := range flagsOfDocker {
		if code, text := d.must(t, http.MethodPost, "/create", encode(t, newCreate(with(flags, "cwd")))); code != http.StatusBadRequest {
			t.Errorf("%s was answered with %d: %s", flags, code, text)
		}
	}
	// The control: flags are honoured, those of the list.
	for _, flags := range []string{"--workdir /proc/self/fd/8", "--workdir " + strings.Repeat("../", 1000), "--workdir /proc/self/cwd/../..", "--env LD_PRELOAD=/proc/1/root/x --init"} {
		d.endsInside(t, with(flags, "cwd"))
	}
	if got := findings(d.run(t, with("--cap-add ALL --shm-size 4m --user 0:0", "probe", "core-pattern", "mount-tmpfs", "block-devices", "kernel-log")).output()); len(got) != 4 {
		t.Errorf("%v", got)
	} else {
		for name, f := range got {
			if f.state == escaped {
				t.Errorf("%s escaped: %s", name, f.saw)
			}
		}
	}
	if _, err := os.Stat("/tmp/attack"); err == nil {
		t.Error("/tmp/attack was made")
	}
}

// TestAttackNames: what is a path, an option or several lines is no name.
func TestAttackNames(t *testing.T) {
	t.Parallel()
	d := sharedDaemon(t)
	for what, change := range map[string]func(*v1.Pod){
		"container path":   func(p *v1.Pod) { p.Spec.Containers[0].Name = "../../../../etc/cron.d/x" },
		"container option": func(p *v1.Pod) { p.Spec.Containers[0].Name = "--privileged" },
		"container lines":  func(p *v1.Pod) { p.Spec.Containers[0].Name = "c\nlevel=error" },
		"uid path":         func(p *v1.Pod) { p.UID = "../../../etc/passwd" },
		"uid option":       func(p *v1.Pod) { p.UID = "-rf" },
		"namespace path":   func(p *v1.Pod) { p.Namespace = "../.." },
		"pod path":         func(p *v1.Pod) { p.Name = "../../x" },
		"pod lines":        func(p *v1.Pod) { p.Name = "x\nlevel=error msg=forged" },
		"hostname option":  func(p *v1.Pod) { p.Spec.Hostname = "--net=host" },
		"env of nothing":   func(p *v1.Pod) { p.Spec.Containers[0].Env = []v1.EnvVar{{Name: "A=B", Value: "c"}} },
		"env with an end":  func(p *v1.Pod) { p.Spec.Containers[0].Env = []v1.EnvVar{{Name: "A", Value: "c\x00PATH=/x"}} },
		"mount path":       func(p *v1.Pod) { p.Spec.Containers[0].VolumeMounts[0].MountPath = "/a:/b:rw" },
		"mount up":         func(p *v1.Pod) { p.Spec.Containers[0].VolumeMounts[0].MountPath = "../../x" },
		"alias lines": func(p *v1.Pod) {
			p.Spec.HostAliases = []v1.HostAlias{{IP: "1.2.3.4", Hostnames: []string{"a\n127.0.0.1 b"}}}
		},
		"nameserver lines": func(p *v1.Pod) {
			p.Spec.DNSConfig = &v1.PodDNSConfig{Nameservers: []string{"1.1.1.1\nnameserver 2.2.2.2"}}
		},
		"sysctl path": func(p *v1.Pod) {
			p.Spec.SecurityContext = &v1.PodSecurityContext{Sysctls: []v1.Sysctl{{Name: "net.../../kernel.core_pattern", Value: "core"}}}
		},
		"sysctl of the host": func(p *v1.Pod) {
			p.Spec.SecurityContext = &v1.PodSecurityContext{Sysctls: []v1.Sysctl{{Name: "kernel.core_pattern", Value: "core"}}}
		},
	} {
		pod := withVolume(newPod(shell("c", "true")), emptyDir(), "/vol")
		change(pod)
		if code, text := d.must(t, http.MethodPost, "/create", encode(t, newCreate(pod))); code != http.StatusBadRequest {
			t.Errorf("%s was answered with %d: %s", what, code, text)
		}
	}
	if strings.Contains(d.log.String(), "\nlevel=error msg=forged") {
		t.Error("a name is a line of the log")
	}
	// The API of Kubernetes takes any name of an image, so its pod waits.
	option := newPod(shell("c", "true"))
	option.Spec.Containers[0].Image = "--privileged"
	waits := d.run(t, option)
	waits.waitFor("its image has no name", func(s podStatus) bool {
		w := s.Container("c").State.Waiting
		return w != nil && w.Reason == "InvalidImageName"
	})
	// The control: the same pod with names that are none of this.
	d.run(t, withVolume(newPod(shell("c", "true")), emptyDir(), "/vol")).waitPhase(v1.PodSucceeded)
}

// manyFollowers is more than docker-sd takes at once.
const manyFollowers = 1000

// TestAttackFollowers: a caller who follows a log a thousand times, and one who reads
// nothing of what was asked for, hold up nobody. Without the bound all are taken.
func TestAttackFollowers(t *testing.T) {
	t.Parallel()
	theIntruder(t)
	for name, bound := range map[string]int{"control": 100 * manyFollowers, "protected": 64} {
		t.Run(name, func(t *testing.T) {
			d := ownDaemon(t, 1, map[string]any{"MaxLogFollowers": bound})
			talker := d.run(t, newPod(shell("c", "while :; do echo line; sleep 1; done")))
			talker.waitRunning()
			taken := d.followMany(t, talker, manyFollowers)
			if name == "control" {
				if taken != manyFollowers {
					t.Errorf("%d of %d followers were taken without a bound", taken, manyFollowers)
				}
				return
			}
			if taken > bound {
				t.Errorf("%d followers were taken, the bound is %d", taken, bound)
			}
			flood := d.run(t, newPod(attacker(t, "c", "flood", "30")))
			flood.waitPhase(v1.PodSucceeded)
			before := d.resident(t)
			for range 100 {
				d.askAndLeave(t, "GET", "/getLogs", logBody(t, flood.pod, "c", logOptions{}))
			}
			began := time.Now()
			if got := d.run(t, newPod(shell("c", "echo served"))).output(); got != "served\n" {
				t.Errorf("another pod's log = %q", got)
			}
			t.Logf("another pod ran after %s; docker-sd grew by %d kB", time.Since(began).Round(time.Millisecond), (d.resident(t)-before)>>10)
			if grown := d.resident(t) - before; grown > 300<<20 {
				t.Errorf("docker-sd grew by %d bytes with 100 readers of 30 MB who do not read", grown)
			}
		})
	}
}

// followMany opens that many streams at once and leaves them open till the test ends.
func (d *daemon) followMany(t *testing.T, p *podRun, n int) (taken int) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	caller := newClient(d.socket)
	t.Cleanup(caller.Close)
	body := logBody(t, p.pod, "c", logOptions{Follow: true})
	var group sync.WaitGroup
	var mu sync.Mutex
	for range n {
		group.Go(func() {
			response, err := caller.Send(ctx, http.MethodGet, "/getLogs", body, apiHeaders())
			if err == nil && response.StatusCode == http.StatusOK {
				mu.Lock()
				defer mu.Unlock()
				taken++
			}
		})
	}
	group.Wait()
	return taken
}

// askAndLeave sends a request on a connection of its own and reads nothing.
func (d *daemon) askAndLeave(t *testing.T, method, path string, body []byte) {
	t.Helper()
	conn, err := net.Dial("unix", d.socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	var request bytes.Buffer
	fmt.Fprintf(&request, "%s %s HTTP/1.1\r\nHost: unix\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", method, path, len(body), body)
	if _, err := conn.Write(request.Bytes()); err != nil {
		t.Fatal(err)
	}
}

// TestAttackMessages: a termination message of a terabyte, or of a gigabyte on the log,
// is cut to kubelet's bounds, and docker-sd reads no more of it.
func TestAttackMessages(t *testing.T) {
	t.Parallel()
	theIntruder(t)
	d := ownDaemon(t, 1, map[string]any{"ContainerLogMaxSize": "1Mi", "ContainerLogMaxFiles": 2})
	huge := attacker(t, "huge", "make", "size:/dev/termination-log:1099511627776")
	flood := attacker(t, "flood", "flood", "200")
	flood.TerminationMessagePolicy = v1.TerminationMessageFallbackToLogsOnError
	before := d.resident(t)
	p := d.run(t, newPod(huge, flood))
	status := p.waitPhase(v1.PodSucceeded)
	for _, c := range status.Containers {
		if n := len(c.State.Terminated.Message); n > 4096*len("\uFFFD") {
			t.Errorf("the message of %s has %d bytes", c.Name, n)
		}
	}
	// The control: a plain engine keeps all of it.
	if n := len(runPlain(t, map[string]any{"Cmd": []string{"/intruder", "flood", "4"}})); n < 4_000_000 {
		t.Errorf("a plain engine kept %d bytes of 4 MB: the control proves nothing", n)
	}
	if n := len(p.logs("flood", logOptions{})); n > 3<<20 {
		t.Errorf("%d bytes are kept of a log that is bounded to 2 MiB", n)
	}
	if grown := d.resident(t) - before; grown > 200<<20 {
		t.Errorf("docker-sd grew by %d bytes", grown)
	}
}

// TestAttackSharedMemory: pods that ask for the host's IPC namespace share nothing with
// one another.
func TestAttackSharedMemory(t *testing.T) {
	t.Parallel()
	theIntruder(t)
	d := ownDaemon(t, 2, nil)
	mark := "shm-" + d.instance
	first := newPod(shell("c", "echo x >/dev/shm/"+mark+"; echo put; "+untilStopped))
	first.Spec.HostIPC = true
	p := d.run(t, first)
	p.waitLog("c", "put\n")
	look := attacker(t, "c", "probe", "shared-memory")
	look.Env = []v1.EnvVar{{Name: "ATTACK_MARK", Value: mark}}
	next := newPod(look)
	next.Spec.HostIPC = true
	if f := findings(d.run(t, next).output())["shared-memory"]; f.state != held {
		t.Errorf("another pod %s: %s", f.state, f.saw)
	}
	// The control: in its own sandbox it is found.
	if text := execIn(t, p.sandbox().ID, nil, []string{"cat", "/dev/shm/" + mark}); !strings.Contains(text, "x") {
		t.Errorf("in its own sandbox: %q", text)
	}
}
