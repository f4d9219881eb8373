//go:build e2e

package e2e_test

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"github.com/intertwin-eu/interlink-docker-plugin/tests/clusterpeer"
)

// meshes is how many pods TestManyMeshes has at once.
var meshes = flag.Int("meshes", 8, "how many pods TestManyMeshes has in the mesh of a cluster at once")

// mostTunnelMemory is what a tunnel's process may have for itself, in bytes.
const mostTunnelMemory = 12e6

// carries fetches the service's page once the mesh is there, and then moves data, so that
// the tunnel has all the memory that it takes for that. It asks again if there is no answer:
// many pods have one name server here, which loses questions that come at once.
const carries = "until /h/peer fetch http://web/ >>/h/$HOSTNAME; do sleep 1; done; " +
	"for way in download upload; do until /h/peer fetch -$way 8388608 http://" + clusterpeer.ServiceAddress + "; do sleep 1; done; done; echo whole; " + untilStopped

// lossWords are in what the client says of data that is not what was sent.
var lossWords = []string{"with the sum", "the service got"}

// meshPod is one of many.
type meshPod struct {
	*podRun
	page string
	// container is its sandbox, process its tunnel.
	container string
	process   int
	// bridge of its network, and the host's interfaces at it.
	bridge     string
	interfaces []string
}

// TestManyMeshes: pods with a mesh at once all find the service and are reached, also after
// docker-sd was killed while all connections were cut. The memory of each tunnel is bounded,
// and of all of it nothing is left after their deletes: no process, interface, container,
// network or file.
func TestManyMeshes(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	// As long as the last one may wait for its turn on a small machine.
	d := ownDaemon(t, 2, map[string]any{"ClusterNetworkInsecure": true, "ClusterNetworkTimeout": runLimit.String()})
	began := time.Now()
	since := func() time.Duration { return time.Since(began).Round(10 * time.Millisecond) }
	pods := c.joinMany(t, d, *meshes)
	t.Logf("%d pods ran in the mesh after %s", len(pods), since())
	for _, p := range pods {
		c.wantPage(t, p.page)
		eventually(t, runLimit, "the pod has moved its data", func() bool { return strings.HasSuffix(p.logs("c", logOptions{}), "\nwhole\n") },
			func() string { return p.logs("c", logOptions{}) })
		if got := p.fetched(); got != clusterpeer.ServicePage {
			t.Errorf("pod %s got %q of the service", p.pod.Name, got)
		}
		for _, words := range lossWords {
			if log := p.logs("c", logOptions{}); strings.Contains(log, words) {
				t.Errorf("pod %s has lost data: %s", p.pod.Name, log)
			}
		}
	}
	t.Logf("all of them had fetched, moved data and been reached after %s", since())
	wantBoundedTunnels(t, pods, 0)
	if err := d.kill(); err != nil {
		t.Fatal(err)
	}
	c.do(t, "cut")
	began = time.Now()
	if err := d.start(); err != nil {
		t.Fatal(err)
	}
	d.waitReady(t)
	for _, p := range pods {
		eventually(t, runLimit, "the tunnel is back", func() bool { s := p.tunnel(); return s.Up && s.Reconnections == 1 }, nil)
		c.wantPage(t, p.page)
	}
	t.Logf("all of them were taken over and back in the mesh after %s", since())
	wantBoundedTunnels(t, pods, 1)
	began = time.Now()
	for _, p := range pods {
		p.interfaces = interfacesAt(t, p.bridge)
		if p.delete(0); len(p.interfaces) == 0 {
			t.Errorf("the network of pod %s has no interface", p.pod.Name)
		}
	}
	for _, p := range pods {
		p.waitGone()
		p.wantNothingLeft()
	}
	t.Logf("nothing was left %s after the first delete", since())
}

// joinMany creates pods, half of them with TLS, and waits until they run.
func (c *cluster) joinMany(t *testing.T, d *daemon, n int) []*meshPod {
	t.Helper()
	pods := make([]*meshPod, n)
	for i := range pods {
		m := c.newMember(t)
		if i%2 == 0 {
			m.values = secure(m.values)
		}
		pods[i] = &meshPod{podRun: d.run(t, d.webPod(t, c, m.annotations(m.values.Proposed()), shell("c", hasPage+carries))), page: m.page()}
	}
	for _, p := range pods {
		p.bridge = p.bridgeOf()
		passOn(t, p.bridge)
	}
	for _, p := range pods {
		p.waitRunning()
	}
	return pods
}

// wantBoundedTunnels: each pod has one tunnel, which was never started again and has
// connected again so many times, and whose own memory is bounded.
func wantBoundedTunnels(t *testing.T, pods []*meshPod, reconnections int) {
	t.Helper()
	var used []int64
	for _, p := range pods {
		p.container = p.sandbox().ID
		pids := tunnelsIn(t, p.container)
		if len(pids) != 1 {
			t.Fatalf("pod %s has the tunnels %v", p.pod.Name, pids)
		}
		p.process = pids[0]
		private := privateMemory(t, p.process)
		if used = append(used, private); private > mostTunnelMemory {
			t.Errorf("the tunnel of pod %s has %.1f MB for itself", p.pod.Name, float64(private)/1e6)
		}
		if state := p.tunnel(); !state.Up || state.Starts != 1 || state.Reconnections != reconnections {
			t.Errorf("the tunnel of pod %s: %+v", p.pod.Name, state)
		}
	}
	slices.Sort(used)
	t.Logf("private memory of a tunnel: %.1f to %.1f MB, half of them at most %.1f MB",
		float64(used[0])/1e6, float64(used[len(used)-1])/1e6, float64(used[len(used)/2])/1e6)
}

// privateMemory of a process in bytes: what its end would free.
func privateMemory(t *testing.T, pid int) int64 {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
	if err != nil {
		t.Fatal(err)
	}
	var sum int64
	for line := range strings.Lines(string(text)) {
		if fields := strings.Fields(line); fields[0] == "Private_Clean:" || fields[0] == "Private_Dirty:" {
			kilobytes, err := strconv.ParseInt(fields[1], 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			sum += kilobytes << 10
		}
	}
	if sum == 0 {
		t.Fatal("the kernel tells no private memory")
	}
	return sum
}

// links are the interfaces of this host. The kernel may tell them in several parts, and is
// asked again if they have changed between two.
func links(t *testing.T) []netlink.Link {
	t.Helper()
	var found []netlink.Link
	eventually(t, runLimit, "the kernel tells the interfaces of this host", func() bool {
		var err error
		if found, err = netlink.LinkList(); err != nil && !errors.Is(err, netlink.ErrDumpInterrupted) {
			t.Fatal(err)
		}
		return err == nil
	}, nil)
	return found
}

// interfacesAt are those at a bridge of this host. It is no error that there is no bridge.
func interfacesAt(t *testing.T, bridge string) []string {
	t.Helper()
	all := links(t)
	at := slices.IndexFunc(all, func(l netlink.Link) bool { return l.Attrs().Name == bridge })
	if at < 0 {
		return nil
	}
	var out []string
	for _, link := range all {
		if link.Attrs().MasterIndex == all[at].Attrs().Index {
			out = append(out, link.Attrs().Name)
		}
	}
	return out
}

// wantNothingLeft of a pod that is gone, beside what traces knows: neither its tunnel, nor
// its bridge, nor an interface that was at it.
func (p *meshPod) wantNothingLeft() {
	p.t.Helper()
	if pids := tunnelsIn(p.t, p.container); len(pids) > 0 {
		p.t.Errorf("pod %s left the tunnels %v", p.pod.Name, pids)
	}
	for _, link := range links(p.t) {
		if name := link.Attrs().Name; name == p.bridge || slices.Contains(p.interfaces, name) {
			p.t.Errorf("pod %s left the interface %s", p.pod.Name, name)
		}
	}
}
