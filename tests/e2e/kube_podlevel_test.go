//go:build e2e

package e2e_test

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
)

// kubePodResources: what a pod as a whole asks for bounds its containers, each of which
// sees it, and the containers together.
func kubePodResources(t *testing.T, d kubeDaemon) {
	looks := map[string][]sight{
		"own":   {{showMemory, "33554432"}, {showQuota, "20000 100000"}, {"echo $LIMIT $CPU", "33554432 200"}},
		"plain": {{showMemory, "67108864"}, {showSwap, "0"}, {showQuota, "50000 100000"}, {"echo $LIMIT $CPU", "67108864 500"}, {showOOM, "0"}},
	}
	pod := lookPod(looks)
	whole := limits("500m", "64Mi")
	pod.Spec.Resources = &whole
	named(t, pod, "own").Resources = v1.ResourceRequirements{Limits: limits("200m", "32Mi").Limits,
		Requests: v1.ResourceList{"cpu": resource.MustParse("10m"), "memory": resource.MustParse("8Mi")}}
	for i := range pod.Spec.Containers {
		pod.Spec.Containers[i].Env = []v1.EnvVar{
			{Name: "LIMIT", ValueFrom: &v1.EnvVarSource{ResourceFieldRef: &v1.ResourceFieldSelector{Resource: "limits.memory"}}},
			{Name: "CPU", ValueFrom: &v1.EnvVarSource{ResourceFieldRef: &v1.ResourceFieldSelector{Resource: "limits.cpu", Divisor: resource.MustParse("1m")}}}}
	}
	p := d.run(t, pod)
	busy := newPod(shell("a", "while :; do :; done"), shell("b", "while :; do :; done"))
	busy.Spec.Resources = &whole
	b := d.run(t, busy)
	p.checkLooks(looks)
	b.waitRunning()
	memoryLimit.becomes(t, b.inGroup(), (64+192+2*32)*mebibyte)
	cpuWeight.becomes(t, b.inGroup(), weight(512+102))
	group := filepath.Join(b.inGroup(), "sandbox", "pod")
	if got := memoryLimit.of(t, group); got != 64*mebibyte {
		t.Errorf("the containers have %d bytes of memory together", got)
	}
	// Two that compute all they can get half a CPU together, for as long as that is watched.
	began, before := time.Now(), cpuUsed(t, group)
	eventually(t, runLimit, "they have computed", func() bool { return cpuUsed(t, group)-before > 1e9 }, nil)
	if got, elapsed := cpuUsed(t, group)-before, time.Since(began); float64(got) > 0.65*float64(elapsed) {
		t.Errorf("half a CPU got %d ms in %s", got/1e6, elapsed)
	}
}

// kubePodMemory: containers that are each within the limit of their pod are not together.
// Without that limit the same two containers run.
func kubePodMemory(t *testing.T, d kubeDaemon) {
	// Its buffer is the program's for as long as nobody reads what it writes.
	eat := func(name string) v1.Container {
		return shell(name, "mkfifo /f; sleep 100000 </f & exec dd if=/dev/zero of=/f bs=40M count=1")
	}
	bounded, free := newPod(eat("a"), eat("b")), newPod(eat("a"), eat("b"))
	bounded.Spec.Resources = &v1.ResourceRequirements{Limits: limits("", "64Mi").Limits}
	f, p := d.run(t, free), d.run(t, bounded)
	f.waitRunning()
	eventually(t, runLimit, "both run without a limit", func() bool {
		used, err := memoryUsage.read(f.inGroup())
		return err == nil && used > 80*mebibyte
	}, nil)
	for _, c := range f.status().Containers {
		if c.State.Running == nil {
			t.Errorf("without a limit, container %s: %+v", c.Name, c.State)
		}
	}
	seen := p.waitFor("one of them is killed", func(s podStatus) bool {
		return s.Container("a").State.Terminated != nil || s.Container("b").State.Terminated != nil
	})
	end := seen.Container("a").State.Terminated
	if end == nil {
		end = seen.Container("b").State.Terminated
	}
	if end.ExitCode != 137 || !strings.Contains(end.Message, "64Mi, for all containers of the pod together") {
		t.Errorf("it ended with %+v", end)
	}
	if a, b := seen.Container("a").State.Running, seen.Container("b").State.Running; a == nil && b == nil {
		t.Error("both were killed where one of them fits")
	}
}
