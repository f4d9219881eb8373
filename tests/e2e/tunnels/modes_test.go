//go:build e2e

package tunnels_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/initapi"
	"github.com/intertwin-eu/interlink-docker-plugin/tests/clusterpeer"
)

// inPodRuns runs the peer's program in the pod's namespace until the test ends.
func (w *world) inPodRuns(args ...string) {
	w.t.Helper()
	cmd := exec.Command("ip", append([]string{"netns", "exec", w.pod, w.Peer()}, args...)...)
	if err := cmd.Start(); err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() {
		_ = cmd.Process.Signal(os.Interrupt) // it may have ended
		if err := cmd.Wait(); err != nil {
			w.t.Errorf("%v ended: %v", args, err)
		}
	})
	port := args[len(args)-1][strings.LastIndex(args[len(args)-1], ":"):]
	w.until(args[0]+" listens", func() bool { _, err := w.inPod("-probe", "127.0.0.1"+port); return err == nil })
}

// hosts are what names mean in the pod's namespace.
func (w *world) hosts(lines string) {
	w.t.Helper()
	dir := filepath.Join("/etc/netns", w.pod) // which ip netns exec mounts over /etc
	if err := os.MkdirAll(dir, 0o755); err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.WriteFile(filepath.Join(dir, "hosts"), []byte(lines+"\n"), 0o644); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) wantInPod(url string) {
	w.t.Helper()
	if text, err := w.inPod(url); err != nil || text != clusterpeer.ServicePage {
		w.t.Errorf("%s answered %q, %v", url, text, err)
	}
}

// TestPorts: tunnel mode, whose server listens for the pod, through an Ingress that cuts
// requests that wait.
func TestPorts(t *testing.T) {
	w := newWorld(t, func(o *clusterpeer.Options) { o.NoMesh, o.IngressTimeout = true, "7s" })
	w.inPodRuns("page", "127.0.0.1:8000")
	wish := initapi.Tunnel{Server: fmt.Sprintf("ws://%s:%d", w.Address, clusterpeer.IngressPort), PathPrefix: w.Prefix,
		Reverse: []initapi.Reverse{{Listen: "0.0.0.0:80", Target: "localhost:8000"}, {Listen: "0.0.0.0:81", Target: "localhost:8000"}}}
	// The service of the cluster has port 80 at one of its addresses.
	wish.Reverse[0].Listen = "127.0.0.1:80"
	tunnel := w.start(wish)
	began := time.Now()
	state := tunnel.waitFor("up", up)
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("it was up after %s", took)
	}
	if state.Error != "" || !state.Handshake.IsZero() || state.Reconnections != 0 {
		t.Errorf("the state is %+v", state)
	}
	for range 3 {
		w.wantPage("http://127.0.0.1:80/")
		w.wantPage("http://127.0.0.1:81/")
	}
	tunnel.waitFor("cut by the Ingress", saying("the Ingress gave up waiting"))
	if state := tunnel.state(); !state.Up {
		t.Errorf("a cut of the Ingress took it down: %+v", state)
	}
	w.wantPage("http://127.0.0.1:80/")
	w.do("stop")
	tunnel.waitFor("down", func(s initapi.TunnelState) bool {
		return !s.Up && strings.Contains(s.Error, "reaches no running wstunnel server")
	})
	w.do("start")
	tunnel.waitFor("up again", func(s initapi.TunnelState) bool { return s.Up && s.Reconnections >= 2 })
	w.wantPage("http://127.0.0.1:80/")
	w.wantPage("http://127.0.0.1:81/")
	_, err := w.Fetch(context.Background(), "http://127.0.0.1:82/")
	if err == nil {
		t.Error("a port that was not asked for answers")
	}
}

// TestSecretsAreHidden from processes beside the tunnel's, root ones too, with the rights that
// a container may have at most without hostPID and SYS_PTRACE; and its own rights are gone.
func TestSecretsAreHidden(t *testing.T) {
	w := newWorld(t, nil)
	tunnel := w.start(w.mesh(w.direct()))
	tunnel.waitFor("up", up)
	// A process without a right of its own is seen by each other one of its user: what
	// shields the tunnel's is not its rights.
	plain := exec.CommandContext(t.Context(), "setpriv", "--bounding-set=-all", "--inh-caps=-all", "sleep", "300")
	if err := plain.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = plain.Process.Kill()
		_ = plain.Wait() // it was killed
	}()
	w.until("the other process has begun", func() bool {
		name, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", plain.Process.Pid))
		return err == nil && string(name) == "sleep\n"
	})
	for file, look := range map[string]string{"environ": `test -n "$(head -c 3 PATH | tr '\0' x)"`, "maps": "grep -q . PATH", "fd/0": "readlink PATH", "mem": "exec 3<PATH"} {
		for pid, want := range map[int]bool{plain.Process.Pid: true, tunnel.cmd.Process.Pid: false} {
			path := fmt.Sprintf("/proc/%d/%s", pid, file)
			_, err := clusterpeer.Run(t.Context(), "setpriv", "--bounding-set=-sys_ptrace,-sys_admin,-perfmon", "--inh-caps=-sys_ptrace,-sys_admin,-perfmon", "sh", "-c", strings.ReplaceAll(look, "PATH", path))
			if seen := err == nil; seen != want {
				t.Errorf("%s can be seen: %t, want %t (%v)", path, seen, want, err)
			}
		}
	}
	for _, file := range []string{"cmdline", "environ"} {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", tunnel.cmd.Process.Pid, file))
		if err != nil || strings.Contains(string(text), w.Prefix) || strings.Contains(string(text), w.PrivateKey) {
			t.Errorf("%s is %q, %v", file, text, err)
		}
	}
	tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", tunnel.cmd.Process.Pid))
	if err != nil || len(tasks) == 0 {
		t.Fatalf("no threads: %v", err)
	}
	for _, task := range tasks {
		text, err := os.ReadFile(task)
		for _, line := range []string{"CapPrm:\t0000000000000000\n", "CapEff:\t0000000000000000\n", "NoNewPrivs:\t1\n"} {
			if err != nil || !strings.Contains(string(text), line) {
				t.Errorf("%s has not %q: %v", task, line, err)
			}
		}
	}
}
