//go:build e2e

package e2e_test

import (
	"maps"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	v1 "k8s.io/api/core/v1"
)

// gpuLook writes down what a container sees of GPUs.
const gpuLook = `ls /dev; echo visible=$NVIDIA_VISIBLE_DEVICES; echo path=$LD_LIBRARY_PATH; cat ` + driverFolder + `/* 2>/dev/null; true`

// TestGPU_ContainersSeeTheirDevices: exactly what the ledger gave, the driver's
// files read-only, and nothing for a container that did not ask.
func TestGPU_ContainersSeeTheirDevices(t *testing.T) {
	g := newFakeGPUs(t, 3)
	d := ownDaemon(t, 1, g.settings(nil))
	d.waitTotal(t, 3)
	asks := withGPUs(shell("two", gpuLook+"; touch "+driverFolder+"/libcuda.so.1 2>&1"), 2)
	asks.Env = []v1.EnvVar{{Name: "LD_LIBRARY_PATH", Value: "/own"}, {Name: "NVIDIA_VISIBLE_DEVICES", Value: "all"}}
	greedy := shell("none", gpuLook)
	greedy.Env = []v1.EnvVar{{Name: "NVIDIA_VISIBLE_DEVICES", Value: "all"}}
	p := d.run(t, newPod(asks, withGPUs(shell("one", gpuLook), 1), greedy))
	// What the record says until the pod has ended.
	givenTo := map[string][]string{"two": p.given("two"), "one": p.given("one"), "none": p.given("none")}
	p.waitFor("all have ended", func(s podStatus) bool {
		return !slices.ContainsFunc(s.Containers, func(c v1.ContainerStatus) bool { return c.State.Terminated == nil })
	})
	all := []string{}
	for name, want := range map[string]int{"two": 2, "one": 1, "none": 0} {
		given, log := givenTo[name], p.logs(name, logOptions{})
		if len(given) != want {
			t.Errorf("%s was given %v, want %d", name, given, want)
		}
		if diff := cmp.Diff(g.nodes(given), g.seen(log)); diff != "" {
			t.Errorf("devices that %s sees (-given +seen):\n%s", name, diff)
		}
		if !strings.Contains(log, "visible=void\n") {
			t.Errorf("%s would get GPUs from NVIDIA's runtime:\n%s", name, log)
		}
		if got := strings.Contains(log, "the driver\n"); got != (want > 0) {
			t.Errorf("%s sees the driver's files: %v", name, got)
		}
		all = append(all, given...)
	}
	slices.Sort(all)
	if diff := cmp.Diff([]string{"GPU-0", "GPU-1", "GPU-2"}, all); diff != "" {
		t.Errorf("given (-want +got):\n%s", diff)
	}
	log := p.logs("two", logOptions{})
	if !strings.Contains(log, "path=/own:"+driverFolder+"\n") || !strings.Contains(log, "Read-only file system") {
		t.Errorf("the library path lost a folder, or the driver can be written:\n%s", log)
	}
	if chosen := d.log.About("GPUs get into containers"); strings.Count(chosen, "\n") != 1 || !strings.Contains(chosen, "strategy=devices") {
		t.Errorf("the choice of a strategy in the log: %q", chosen)
	}
}

// TestGPU_SwitchedOff: containers are left as they are, the ping says nothing,
// and a privileged pod is no trouble.
func TestGPU_SwitchedOff(t *testing.T) {
	d := ownDaemon(t, 0, nil)
	c := shell("c", "echo visible=$NVIDIA_VISIBLE_DEVICES")
	yes := true
	c.SecurityContext = &v1.SecurityContext{Privileged: &yes}
	if got := d.run(t, newPod(c)).output(); got != "visible=\n" {
		t.Errorf("log = %q", got)
	}
	if got := d.total(t); got != -1 {
		t.Errorf("the ping tells of %d GPUs, want no word", got)
	}
	if got := d.refusedCreate(t, newPod(withGPUs(shell("c", "true"), 1))); !strings.Contains(got, "this host has none") {
		t.Errorf("refused with %q", got)
	}
}

func TestGPU_NoUsableDriver(t *testing.T) {
	d := ownDaemon(t, 0, map[string]any{"GPUENABLED": 1, "GPULibraryPath": "/nonexistent/libnvidia-ml.so.1"})
	d.waitTotal(t, 0)
	if said := d.log.About("zero NVIDIA GPUs"); strings.Count(said, "\n") != 1 {
		t.Errorf("said %q, want it once", said)
	}
	if got := d.run(t, newPod(shell("c", "echo runs"))).output(); got != "runs\n" {
		t.Errorf("log = %q", got)
	}
}

// TestGPU_StrategyThatCannotWork keeps the GPUs back and says why.
func TestGPU_StrategyThatCannotWork(t *testing.T) {
	g := newFakeGPUs(t, 2)
	d := ownDaemon(t, 1, g.settings(map[string]any{"GPUStrategy": "cdi"}))
	d.waitTotal(t, 0)
	if said := d.log.About("GPU-0"); !strings.Contains(said, "does not support CDI") {
		t.Errorf("said %q", said)
	}
	if got := d.refusedCreate(t, newPod(withGPUs(shell("c", "true"), 1))); !strings.Contains(got, "0 of 2 free: 2 set aside") {
		t.Errorf("refused with %q", got)
	}
	if got := d.run(t, newPod(shell("c", "echo runs"))).output(); got != "runs\n" {
		t.Errorf("log of a pod without GPUs = %q", got)
	}
}

// TestGPU_LastOnesHaveOneWinner: all or nothing, and the loser hears the numbers.
func TestGPU_LastOnesHaveOneWinner(t *testing.T) {
	g := newFakeGPUs(t, 3)
	d := ownDaemon(t, 1, g.settings(nil))
	pods := []*v1.Pod{newPod(withGPUs(shell("c", untilStopped), 2)), newPod(withGPUs(shell("c", untilStopped), 2))}
	codes, texts := make([]int, 2), make([]string, 2)
	var both sync.WaitGroup
	for i, pod := range pods {
		body := encode(t, newCreate(pod))
		both.Go(func() { codes[i], texts[i], _ = d.call(t.Context(), http.MethodPost, "/create", body) })
	}
	both.Wait()
	if (codes[0] == http.StatusOK) == (codes[1] == http.StatusOK) {
		t.Fatalf("answers %v %q, want one winner", codes, texts)
	}
	winner := slices.Index(codes, http.StatusOK)
	d.created(t, pods[winner], codes[winner], texts[winner]).waitRunning()
	if got := texts[1-winner]; !strings.Contains(got, "asked for 2 nvidia.com/gpu, 1 of 3 free: 2 in use by pods") {
		t.Errorf("the other was refused with %q", got)
	}
	if got := d.total(t); got != 3 {
		t.Errorf("the ping tells of %d GPUs, want the total", got)
	}
	yes := true
	c := withGPUs(shell("c", "true"), 1)
	c.SecurityContext = &v1.SecurityContext{Privileged: &yes}
	if got := d.refusedCreate(t, newPod(c)); !strings.Contains(got, "is privileged and would see all 3") {
		t.Errorf("a privileged pod was refused with %q", got)
	}
}

// TestGPU_GivenBack: each pod takes all GPUs, so one that is not given back
// starves the next.
func TestGPU_GivenBack(t *testing.T) {
	g := newFakeGPUs(t, 2)
	d := ownDaemon(t, 1, g.settings(nil))
	registry := silentRegistry(t)
	pulled := func(image string) v1.Container {
		c := shell("c", "true")
		c.Image = image
		return c
	}
	end := func(phase v1.PodPhase) func(*testing.T, *podRun) {
		return func(t *testing.T, p *podRun) { p.waitPhase(phase) }
	}
	waiting := func(reasons ...string) func(*testing.T, *podRun) {
		return func(t *testing.T, p *podRun) {
			p.waitFor("the pod waits for its image", func(s podStatus) bool { return slices.Contains(reasons, waitingReason(s, "c")) })
			p.delete(0)
		}
	}
	for _, tt := range []struct {
		name string
		c    v1.Container
		then func(*testing.T, *podRun)
	}{
		{"success", shell("c", "true"), end(v1.PodSucceeded)},
		{"failure", shell("c", "exit 3"), end(v1.PodFailed)},
		{"bad command", container("c", "/no/such/program"), end(v1.PodFailed)},
		{"image missing, deleted", pulled("127.0.0.1:1/none/such:1"), waiting("ErrImagePull", "ImagePullBackOff")},
		{"deleted during the pull", pulled(registry + "/none/such:1"), func(t *testing.T, p *podRun) {
			eventually(t, runLimit, "the image is being pulled", func() bool {
				return strings.Contains(d.log.About(registry), "pulling image")
			}, nil)
			p.delete(0)
		}},
		{"deleted at once", shell("c", untilStopped), func(_ *testing.T, p *podRun) { p.delete(0) }},
		{"sandbox killed", shell("c", untilStopped), func(t *testing.T, p *podRun) {
			p.waitRunning()
			if err := suite.engine.kill(t.Context(), p.sandbox().ID); err != nil {
				t.Fatal(err)
			}
			p.waitPhase(v1.PodFailed)
		}},
		{"deleted", shell("c", untilStopped), func(_ *testing.T, p *podRun) { p.waitRunning(); p.delete(1) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := d.runSoon(t, func() *v1.Pod { return newPod(withGPUs(tt.c, 2)) })
			tt.then(t, p)
		})
	}
	d.runSoon(t, func() *v1.Pod { return newPod(withGPUs(shell("c", "true"), 2)) }).waitPhase(v1.PodSucceeded)
}

// TestGPU_Faults: an XID takes the GPU out of the ping and shows in the status of
// the pod that holds it; after the hold-down the GPU is back. One that is the
// application's does nothing.
func TestGPU_Faults(t *testing.T) {
	g := newFakeGPUs(t, 3)
	d := ownDaemon(t, 1, g.settings(map[string]any{"GPUIgnoredXIDs": []int{94}, "GPUHoldDown": "20s"}))
	d.waitTotal(t, 3)
	p := d.run(t, newPod(withGPUs(shell("c", "trap 'exit 3' TERM; while :; do sleep 1 & wait $!; done"), 2), shell("other", untilStopped)))
	p.waitRunning()
	given := p.given("c")

	// Events are delivered in order: when the last has its effect, the others have had theirs.
	g.xid(g.index(given[0]), 31)
	g.xid(g.index(given[0]), 94)
	g.xid(g.index(given[1]), 79)
	d.waitTotal(t, 2)
	trouble := given[1] + " (Test GPU) failed: XID 79 (GPU has fallen off the bus)"
	seen := p.status()
	healths := map[v1.ResourceID]v1.ResourceHealthStatus{}
	message := ""
	for _, r := range seen.Container("c").AllocatedResourcesStatus {
		for _, h := range r.Resources {
			healths[h.ResourceID] = h.Health
			if h.Message != nil {
				message += *h.Message
			}
		}
	}
	want := map[v1.ResourceID]v1.ResourceHealthStatus{v1.ResourceID(given[0]): v1.ResourceHealthStatusHealthy, v1.ResourceID(given[1]): v1.ResourceHealthStatusUnhealthy}
	if diff := cmp.Diff(want, healths); diff != "" || message != trouble {
		t.Errorf("message %q; devices in the status (-want +got):\n%s", message, diff)
	}
	if seen.Container("c").State.Running == nil || seen.Container("other").AllocatedResourcesStatus != nil {
		t.Errorf("status = %s", encode(t, seen))
	}

	sandbox := p.sandbox()
	if err := suite.engine.kill(t.Context(), sandbox.ID); err != nil {
		t.Fatal(err)
	}
	ended := p.waitPhase(v1.PodFailed)
	if got := ended.Container("c").State.Terminated.Message; !strings.Contains(got, trouble) {
		t.Errorf("message of the end = %q, want the fault in it", got)
	}
	if got := ended.Container("other").State.Terminated.Message; strings.Contains(got, trouble) {
		t.Errorf("message of a container without GPUs = %q", got)
	}
	d.waitTotal(t, 3)
	again := p.status().Container("c").State.Terminated.Message
	if !strings.Contains(again, trouble) || strings.Count(again, "XID") != 1 {
		t.Errorf("message after the hold-down = %q, want the fault once", again)
	}
}

// TestGPU_ForeignUse: a GPU that a stranger uses is not given out and comes back
// when it is free; one that a pod uses is the pod's.
func TestGPU_ForeignUse(t *testing.T) {
	g := newFakeGPUs(t, 2)
	d := ownDaemon(t, 1, g.settings(nil))
	p := d.run(t, newPod(withGPUs(shell("c", untilStopped), 1)))
	p.waitRunning()
	held := g.index(p.given("c")[0])
	end := g.process(1-held, os.Getpid())
	d.waitTotal(t, 1)
	if got := d.refusedCreate(t, newPod(withGPUs(shell("c", "true"), 1))); !strings.Contains(got, "0 of 2 free: 1 in use by pods, 1 used by other processes on the host") {
		t.Errorf("refused with %q", got)
	}
	end()
	d.waitTotal(t, 2)

	sandbox := p.sandbox()
	var top struct{ Processes [][]string }
	if err := suite.engine.call(t.Context(), "GET", "/containers/"+sandbox.ID+"/top?ps_args=-o%20pid,args", &top); err != nil {
		t.Fatal(err)
	}
	at := slices.IndexFunc(top.Processes, func(row []string) bool { return strings.HasPrefix(row[1], "sleep 1000") })
	if at < 0 {
		t.Fatalf("the container's process is not among %v", top.Processes)
	}
	// This is what the daemon knows its pods' processes by.
	groups, err := os.ReadFile("/proc/" + top.Processes[at][0] + "/cgroup")
	if err != nil || !strings.Contains(string(groups), sandbox.ID) {
		t.Errorf("control groups of a pod's process do not name its sandbox: %v\n%s", err, groups)
	}
}

// TestGPU_RestartKeeps: what pods hold survives a crash, also of one that is
// being deleted and still runs.
func TestGPU_RestartKeeps(t *testing.T) {
	g := newFakeGPUs(t, 3)
	d := ownDaemon(t, 1, g.settings(nil))
	p := d.run(t, newPod(withGPUs(shell("c", untilStopped), 1)))
	stubborn := d.run(t, newPod(withGPUs(shell("c", "trap '' TERM; while :; do sleep 1; done"), 1)))
	p.waitRunning()
	stubborn.waitRunning()
	given := p.given("c")
	stubborn.delete(8)
	for _, end := range []func() error{d.kill, d.stop} {
		if err := end(); err != nil {
			t.Fatal(err)
		}
		if err := d.start(); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(given, p.given("c")); diff != "" {
			t.Errorf("devices (-before +after):\n%s", diff)
		}
		if got := d.refusedCreate(t, newPod(withGPUs(shell("c", "true"), 2))); !strings.Contains(got, "1 of 3 free: 2 in use by pods") {
			t.Errorf("refused with %q", got)
		}
		if got := d.total(t); got != 3 {
			t.Errorf("the ping tells of %d GPUs", got)
		}
	}
	other := d.run(t, newPod(withGPUs(shell("c", gpuLook), 1)))
	other.waitPhase(v1.PodSucceeded)
	if got := other.given("c"); slices.Equal(got, given) {
		t.Errorf("%v was given twice", got)
	}
	p.waitRunning()
	stubborn.waitGone()
	d.runSoon(t, func() *v1.Pod { return newPod(withGPUs(shell("c", "true"), 2)) }).waitPhase(v1.PodSucceeded)
}

// TestGPU_DevicesCome: sandboxes that wait in the pool lack the nodes of devices
// that come later, so they are replaced.
func TestGPU_DevicesCome(t *testing.T) {
	g := newFakeGPUs(t, 1)
	d := ownDaemon(t, 1, g.settings(nil))
	d.waitTotal(t, 1)
	before := slices.Collect(maps.Keys(d.waitWarm(t, 1)))
	g.set(3)
	d.waitTotal(t, 3)
	p := d.run(t, newPod(withGPUs(shell("c", gpuLook), 3)))
	if diff := cmp.Diff(g.nodes([]string{"GPU-0", "GPU-1", "GPU-2"}), g.seen(p.output())); diff != "" {
		t.Errorf("devices (-want +got):\n%s", diff)
	}
	for _, name := range before {
		if _, kept := d.warm(t)[name]; kept {
			t.Error("the pool keeps a sandbox without the new devices")
		}
	}
	// One that cannot get into a container is not offered.
	g.mu.Lock()
	g.n = 4
	g.writeHost()
	g.mu.Unlock()
	eventually(t, runLimit, "the log says why", func() bool {
		return strings.Contains(d.log.About("GPU-3"), "does not have GPU-3")
	}, nil)
	if got := d.total(t); got != 3 {
		t.Errorf("the ping tells of %d GPUs, want 3", got)
	}
}
