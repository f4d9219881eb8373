//go:build e2e

package e2e_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/initapi"
	"github.com/intertwin-eu/interlink-docker-plugin/tests/clusterpeer"
)

// inClusterScript serves a page, and fetches the cluster's once the routes are there.
const inClusterScript = `mkdir /www; echo "the pod" >/www/index.html; httpd -p 8000 -h /www
until timeout 2 wget -qO- http://` + clusterpeer.ServiceAddress + `/ 2>/dev/null; do usleep 100000; done
` + untilStopped

// spyScript says what a container of the pod can see of its tunnel, and of a process of
// its own as a control.
const spyScript = `look() {
  for f in environ maps; do head -c 3 /proc/$2/$f 2>/dev/null | tr '\0' x | grep -q . && echo $1 reads $f; done
  (exec 3</proc/$2/mem) 2>/dev/null && echo $1 opens mem
  readlink /proc/$2/fd/0 >/dev/null 2>&1 && echo $1 reads descriptors
}
sleep 1000 & look control $!; kill $!
while ! pid=$(pidof docker-sd-tunnel); do usleep 100000; done
echo "the tunnel runs as $(tr '\0' ' ' </proc/$pid/cmdline)"
look tunnel $pid
test -e /dev/net/tun && echo tunnel has its device
echo looked
` + untilStopped

// TestTunnelInASandbox: the init starts the tunnel and brings it back, containers use the
// mesh and see no more of it than that, and it goes on while docker-sd is away.
func TestTunnelInASandbox(t *testing.T) {
	t.Parallel()
	cluster := newTestCluster(t, "e2e-box", "198.18.61")
	d := ownDaemon(t, 1, nil)
	pod := newPod(shell("main", inClusterScript), shell("spy", spyScript))
	pod.Spec.HostPID = true // of the sandbox
	p := d.run(t, pod)
	p.waitRunning()
	passOn(t, p.bridgeOf())
	box := p.sandbox()
	key := strings.ReplaceAll(strings.TrimSuffix(p.box, "_dind"), "-", "")
	init := initapi.NewClient(filepath.Join(d.data(), "sandboxes", key[:min(len(key), 16)]))
	wish := meshOf(cluster)
	if err := init.OpenTunnel(t.Context(), wish); err != nil {
		t.Fatal(err)
	}
	waitTunnel(t, init, "up", func(s initapi.TunnelState) bool { return s.Up && s.Starts == 1 })
	p.waitLog("main", clusterpeer.ServicePage)
	wantPodPage(t, cluster)
	wantBlind(t, p)

	// The end of docker-sd is none of the tunnel's, nor is the same wish again a change.
	if err := d.kill(); err != nil {
		t.Fatal(err)
	}
	wantPodPage(t, cluster)
	if err := d.start(); err != nil {
		t.Fatal(err)
	}
	if err := init.OpenTunnel(t.Context(), wish); err != nil {
		t.Fatal(err)
	}
	if state, err := init.TunnelState(t.Context()); err != nil || state.Starts != 1 || state.Reconnections != 0 || !state.Up {
		t.Errorf("the state is %+v, %v", state, err)
	}
	killTunnel(t, box.ID)
	waitTunnel(t, init, "brought back", func(s initapi.TunnelState) bool { return s.Up && s.Starts == 2 })
	wantPodPage(t, cluster)
}

// newTestCluster is a cluster that pods reach over the host.
func newTestCluster(t *testing.T, name, network string) *clusterpeer.Cluster {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "cl")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	cluster, err := clusterpeer.Start(t.Context(), clusterpeer.Options{Dir: dir, Name: name, Net: network})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := cluster.Close(); err != nil {
			t.Error(err)
		}
	})
	passOn(t, "n-"+name)
	return cluster
}

// meshOf is the wish for the mesh of a cluster.
func meshOf(c *clusterpeer.Cluster) initapi.Tunnel {
	return initapi.Tunnel{Server: fmt.Sprintf("ws://%s:%d", c.Address, clusterpeer.IngressPort), PathPrefix: c.Prefix, WireGuard: &initapi.WireGuard{
		Interface: "wg-e2e", PrivateKey: c.PrivateKey, PeerKey: c.PeerKey, Addresses: []string{clusterpeer.PodAddress + "/32"},
		AllowedIPs: []string{clusterpeer.ClusterAddress + "/32", "10.0.0.0/8"}, Routes: clusterpeer.Routes(),
		Remote: fmt.Sprintf("127.0.0.1:%d", clusterpeer.MeshPort), MTU: 1280, KeepaliveSeconds: 25}}
}

func waitTunnel(t *testing.T, init *initapi.Client, what string, ok func(initapi.TunnelState) bool) {
	t.Helper()
	var state initapi.TunnelState
	eventually(t, runLimit, "the tunnel is "+what, func() bool {
		var err error
		state, err = init.TunnelState(t.Context())
		return err == nil && ok(state)
	}, func() string { return fmt.Sprintf("%+v", state) })
}

// wantPodPage has the cluster fetch the pod's page.
func wantPodPage(t *testing.T, c *clusterpeer.Cluster) {
	t.Helper()
	var text string
	var err error
	eventually(t, runLimit, "the cluster reaches the pod", func() bool {
		text, err = c.Fetch(context.Background(), "http://"+clusterpeer.PodAddress+":8000/")
		return err == nil && text == "the pod\n"
	}, func() string { return fmt.Sprintf("%q, %v", text, err) })
}

// wantBlind: the container that looks for the tunnel's secrets sees all of its own process
// and nothing of the tunnel's.
func wantBlind(t *testing.T, p *podRun) {
	t.Helper()
	want := "control reads environ\ncontrol reads maps\ncontrol opens mem\ncontrol reads descriptors\n" +
		"the tunnel runs as " + initapi.TunnelPath + " \nlooked\n"
	eventually(t, runLimit, "the spy has looked", func() bool { return strings.HasSuffix(p.logs("spy", logOptions{}), "looked\n") }, nil)
	if got := p.logs("spy", logOptions{}); got != want {
		t.Errorf("the spy saw\n%swant\n%s", got, want)
	}
}

// killTunnel ends the process of the tunnel in a sandbox.
func killTunnel(t *testing.T, sandbox string) {
	t.Helper()
	pids := tunnelsIn(t, sandbox)
	if len(pids) != 1 {
		t.Fatalf("the sandbox has the tunnels %v", pids)
	}
	if err := unix.Kill(pids[0], unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
}

// tunnelsIn are the processes of tunnels in the container of a sandbox.
func tunnelsIn(t *testing.T, sandbox string) []int {
	t.Helper()
	names, err := filepath.Glob("/proc/[0-9]*/exe")
	if err != nil {
		t.Fatal(err)
	}
	var out []int
	for _, name := range names {
		program, err := os.Readlink(name)
		if err != nil || program != initapi.TunnelPath {
			continue
		}
		groups, err := os.ReadFile(filepath.Join(filepath.Dir(name), "cgroup"))
		if err != nil || !strings.Contains(string(groups), sandbox) {
			continue // it has ended, or is another's
		}
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(name)))
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, pid)
	}
	return out
}
