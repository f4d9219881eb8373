//go:build e2e

package e2e_test

import (
	"fmt"
	"net/http"
	"os"
	"strconv"
	"testing"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
)

const mebibyte = 1 << 20

// hostMemory is what the engine says that its host has.
func hostMemory(t *testing.T) int64 {
	t.Helper()
	var host struct{ MemTotal int64 }
	if err := suite.engine.call(t.Context(), http.MethodGet, "/info", &host); err != nil {
		t.Fatal(err)
	}
	return host.MemTotal
}

func requests(cpu string) v1.ResourceRequirements {
	return v1.ResourceRequirements{Requests: v1.ResourceList{v1.ResourceCPU: resource.MustParse(cpu)}}
}

// TestSandboxHasItsPodsBounds reads them on the host, for pods with and without
// limits, warm and booted for the pod, and after a restart of docker-sd.
func TestSandboxHasItsPodsBounds(t *testing.T) {
	t.Parallel()
	d := ownDaemon(t, 1, map[string]any{"PodPidsLimit": 900})
	small, plain, large := shell("c", untilStopped), shell("c", untilStopped), shell("c", untilStopped)
	small.Resources = limits("100m", "64Mi")
	large.Resources = requests("8")
	withInit := newPod(small)
	first := shell("first", "true")
	first.Resources = limits("", "200Mi")
	withInit.Spec.InitContainers = []v1.Container{first}
	withInit.Spec.Containers = append(withInit.Spec.Containers, shell("d", untilStopped))
	withInit.Spec.Containers[1].Resources = limits("1", "36Mi")
	whole := hostMemory(t)
	together := whole - max(whole/20, min(512*mebibyte, whole/4))
	pages := func(bytes int64) int64 { return bytes / 4096 * 4096 }
	most := pages(together - together/20)
	runs := map[string]struct {
		pod            *v1.Pod
		memory, shares int64
	}{
		"no limits": {newPod(plain), most, 102},
		"8 CPUs":    {newPod(large), most, 8294},
		"limits":    {newPod(small), (64 + 192 + 32) * mebibyte, 204},
		"init":      {withInit, (200 + 192 + 3*32) * mebibyte, 1228},
	}
	pods := map[string]*podRun{}
	for name, r := range runs {
		pods[name] = d.run(t, r.pod)
	}
	look := func() {
		for name, p := range pods {
			p.waitRunning()
			group := p.inGroup()
			cpuWeight.becomes(t, group, weight(runs[name].shares))
			memoryLimit.becomes(t, group, runs[name].memory)
			if got := pidsLimit.of(t, group); got != 900 {
				t.Errorf("%s: %d process ids", name, got)
			}
			if !unified() {
				if got := memoryAndAll.of(t, group); got != runs[name].memory {
					t.Errorf("%s: memory and swap are %d, memory is %d", name, got, runs[name].memory)
				}
			}
		}
	}
	look()
	if got := memoryLimit.of(t, d.group()); got != pages(together) {
		t.Errorf("all together have %d of memory, want %d", got, pages(together))
	}
	// The engine inside fits beside what containers may use.
	if used := memoryUsage.of(t, pods["limits"].inGroup()); used > (192+32)*mebibyte {
		t.Errorf("a sandbox in which a container sleeps uses %d MiB", used/mebibyte)
	}
	if err := d.kill(); err != nil {
		t.Fatal(err)
	}
	// More and less than before, which version 1 takes in another order each.
	for _, reserve := range []int64{whole - 900*mebibyte, whole - 800*mebibyte, whole - 1000*mebibyte} {
		d.settings["SystemReserved"] = map[string]any{"memory": strconv.FormatInt(reserve, 10), "pid": 20000}
		if err := d.writeConfig(); err != nil {
			t.Fatal(err)
		}
		if err := d.start(); err != nil {
			t.Fatal(err)
		}
		d.waitReady(t)
		want := whole - reserve
		memoryLimit.becomes(t, d.group(), pages(want))
		memoryLimit.becomes(t, pods["no limits"].inGroup(), pages(want-want/20))
		if err := d.stop(); err != nil {
			t.Fatal(err)
		}
	}
	if err := d.start(); err != nil {
		t.Fatal(err)
	}
	d.waitReady(t)
}

// TestGroupComesAndGoes: it is bounded before there is a sandbox, set again when it
// was changed, and gone after a stop that leaves no sandbox.
func TestGroupComesAndGoes(t *testing.T) {
	t.Parallel()
	d := ownDaemon(t, 0, nil)
	d.waitReady(t)
	before := pidsLimit.of(t, d.group())
	if before >= 1<<22 {
		t.Fatalf("the group has %d process ids and no sandbox yet", before)
	}
	p := d.run(t, newPod(shell("c", untilStopped)))
	p.waitRunning()
	if text, err := os.ReadFile(pidsLimit.path(p.inGroup())); err != nil {
		t.Errorf("the sandbox is not in the group: %s, %v", text, err)
	}
	if err := os.WriteFile(pidsLimit.path(d.group()), []byte("max"), 0); err != nil {
		t.Fatal(err)
	}
	pidsLimit.becomes(t, d.group(), before)
	p.delete(0)
	p.waitGone()
	if err := d.stop(); err != nil {
		t.Fatal(err)
	}
	if left := d.groupFolders(); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// TestWeightsUnderContention: of two pods that compute all they can, one that requests
// 8 CPUs gets many times of what one with 10m gets.
func TestWeightsUnderContention(t *testing.T) {
	d := ownDaemon(t, 0, nil)
	// One process for each CPU and pod, and what they got of it by the kernel's account.
	busy := `n=$(nproc); i=0; while [ $i -lt $n ]; do (while :; do :; done) & i=$((i+1)); done; touch /vol/ready; wait`
	start := func(cpu string) *podRun {
		c := shell("c", busy)
		c.Resources = requests(cpu)
		return d.run(t, withVolume(newPod(c), emptyDir(), "/vol"))
	}
	weak, strong := start("10m"), start("8")
	for p, shares := range map[*podRun]int64{weak: 112, strong: 8294} {
		p.waitRunning()
		cpuWeight.becomes(t, p.inGroup(), weight(shares))
	}
	used := func(p *podRun) int64 { return cpuUsed(t, p.inGroup()) }
	weakBefore, strongBefore := used(weak), used(strong)
	const enough = 3e9 // of CPU time, however long the machine takes over it
	eventually(t, runLimit, "both have computed", func() bool {
		return used(weak)+used(strong)-weakBefore-strongBefore > enough
	}, nil)
	got, of := used(strong)-strongBefore, used(weak)-weakBefore
	t.Logf("8 CPUs got %d ms, 10m got %d ms", got/1e6, of/1e6)
	if got < 5*of {
		t.Errorf("8 CPUs got %d ms, 10m got %d ms, want at least 5 times as much", got/1e6, of/1e6)
	}
}

// cpuUsed is a group's CPU time in nanoseconds.
func cpuUsed(t *testing.T, group string) int64 {
	t.Helper()
	if !unified() {
		return knob{"cpuacct", "cpuacct.usage", ""}.of(t, group)
	}
	text, err := os.ReadFile(knob{"", "", "cpu.stat"}.path(group))
	if err != nil {
		t.Fatal(err)
	}
	var micros int64
	if _, err := fmt.Sscanf(string(text), "usage_usec %d", &micros); err != nil {
		t.Fatal(err)
	}
	return micros * 1000
}

// TestSumIsBounded: two pods, each within its own bound, cannot take more together
// than the group above them has.
func TestSumIsBounded(t *testing.T) {
	t.Parallel()
	// The counter is raised before the bound is looked at, and lowered again: a read in
	// between sees a large page more for each CPU.
	const together, each, passing = 900, 600, 16
	whole := hostMemory(t)
	d := ownDaemon(t, 0, map[string]any{"SystemReserved": map[string]any{"memory": strconv.FormatInt(whole-together*mebibyte, 10)}})
	// Its buffer is the program's for as long as nobody reads what it writes.
	eat := func() *podRun {
		c := shell("c", fmt.Sprintf("mkfifo /f; sleep 100000 </f & dd if=/dev/zero of=/f bs=%dM count=1 || exit 1", each-50))
		c.Resources = v1.ResourceRequirements{Limits: v1.ResourceList{v1.ResourceMemory: resource.MustParse(fmt.Sprintf("%dMi", each))}}
		return d.run(t, newPod(c))
	}
	first := eat()
	eventually(t, runLimit, "one pod alone has what it may have", func() bool {
		now, err := memoryUsage.read(first.inGroup())
		return err == nil && now >= (each-50)*mebibyte
	}, nil)
	second := eat()
	peak := int64(0)
	eventually(t, runLimit, "one of the two is killed", func() bool {
		now := memoryUsage.of(t, d.group())
		peak = max(peak, now)
		return first.killed() || second.killed()
	}, func() string { return fmt.Sprintf("%d MiB in use", peak/mebibyte) })
	if peak > (together+passing)*mebibyte {
		t.Errorf("the two had %d MiB together", peak/mebibyte)
	}
	if first.killed() && second.killed() {
		t.Error("both were killed where one of them fits")
	}
}

// killed says that the pod's container, or its sandbox, was killed.
func (p *podRun) killed() bool {
	p.t.Helper()
	s := p.status().Container("c").State
	return s.Terminated != nil && s.Terminated.ExitCode != 0
}

// TestForkBomb: processes without end in one pod leave others able to start.
func TestForkBomb(t *testing.T) {
	t.Parallel()
	d := ownDaemon(t, 0, nil)
	// The shell that can fork no more ends; what it began stays with the first process.
	bomb := d.run(t, newPod(shell("c", "(while :; do sleep 100000 & done) & exec sleep 100000")))
	bomb.waitRunning()
	group := bomb.inGroup()
	most := pidsLimit.of(t, group)
	kernel := knob{"pids", "pids.current", "pids.current"}
	eventually(t, runLimit, "the bomb has all that it gets", func() bool { return kernel.of(t, group) >= most-5 },
		func() string { return fmt.Sprintf("%d of %d", kernel.of(t, group), most) })
	if whole := pidsLimit.of(t, d.group()); most >= whole/2 {
		t.Errorf("one pod has %d of all %d process ids", most, whole)
	}
	if got := d.run(t, newPod(shell("c", "(echo ran)"))).output(); got != "ran\n" {
		t.Errorf("log = %q", got)
	}
}
