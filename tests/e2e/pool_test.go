//go:build e2e

package e2e_test

import (
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	v1 "k8s.io/api/core/v1"
)

// warm returns the running sandboxes that no pod has claimed.
func (d *daemon) warm(t *testing.T) map[string]hostContainer {
	t.Helper()
	containers, err := d.engine.containers(t.Context(), d.label())
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]hostContainer{}
	for _, c := range containers {
		if c.warm() {
			out[c.ID] = c
		}
	}
	return out
}

// waitWarm waits until the pool is full and the daemon has nothing else.
func (d *daemon) waitWarm(t *testing.T, n int) map[string]hostContainer {
	t.Helper()
	var seen map[string]hostContainer
	eventually(t, runLimit, fmt.Sprintf("%d warm sandboxes and nothing else", n), func() bool {
		seen = d.warm(t)
		left, err := d.leftovers(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		// The line comes once the sandbox's engine has answered.
		ready := true
		for _, c := range seen {
			ready = ready && (strings.Contains(d.log.String(), c.name()))
		}
		return len(seen) == n && len(left) == 0 && ready
	}, func() string { return fmt.Sprint(slices.Collect(maps.Keys(seen))) })
	return seen
}

// waitWarmSince waits until a warm sandbox has been made after that moment, and so has
// the images that the host had then. Older ones are removed.
func (d *daemon) waitWarmSince(t *testing.T, moment time.Time) {
	t.Helper()
	eventually(t, runLimit, "a sandbox that was made since is warm", func() bool {
		for id, c := range d.warm(t) {
			var seen struct{ Created time.Time }
			switch err := d.engine.call(t.Context(), "GET", "/containers/"+id+"/json", &seen); {
			case err != nil:
				return false // it has gone meanwhile
			case seen.Created.Before(moment):
				if err := d.engine.removeContainer(t.Context(), id); err != nil {
					t.Fatal(err)
				}
			case strings.Contains(d.log.String(), c.name()):
				return true
			}
		}
		return false
	}, nil)
}

// TestDefaultNetworks: sandboxes leave the engine's own address pools alone, and
// two docker-sd share the default range.
func TestDefaultNetworks(t *testing.T) {
	ranges := []netip.Prefix{netip.MustParsePrefix("10.213.0.0/19"), netip.MustParsePrefix("100.90.0.0/19"), netip.MustParsePrefix("198.18.0.0/19")}
	seen := map[netip.Prefix]bool{}
	for range 2 {
		d := ownDaemon(t, 2, nil)
		d.waitWarm(t, 2)
		networks, err := suite.engine.networks(t.Context(), d.label())
		if err != nil || len(networks) != 2 {
			t.Fatalf("networks %v, %v, want one for each sandbox", networks, err)
		}
		for _, n := range networks {
			subnet := n.IPAM.Config[0].Subnet
			if seen[subnet] || subnet.Bits() != 28 || !slices.ContainsFunc(ranges, subnet.Overlaps) {
				t.Errorf("network %s has %s, want a /28 of its own from a default range", n.Name, subnet)
			}
			seen[subnet] = true
		}
	}
}

// TestBurst: more creates at once than there are warm sandboxes; all run, each
// in a sandbox of its own.
func TestBurst(t *testing.T) {
	d := ownDaemon(t, 3, nil)
	d.waitWarm(t, 3)
	const n = 20
	pods := make([]*v1.Pod, n)
	bodies := make([][]byte, n)
	for i := range pods {
		pods[i] = newPod(shell("c", fmt.Sprintf("echo pod %d; ", i)+untilStopped))
		bodies[i] = encode(t, newCreate(pods[i]))
	}
	codes, texts, problems := make([]int, n), make([]string, n), make([]error, n)
	var group sync.WaitGroup
	for i := range bodies {
		group.Go(func() { codes[i], texts[i], problems[i] = d.call(t.Context(), http.MethodPost, "/create", bodies[i]) })
	}
	group.Wait()
	sandboxes := map[string]bool{}
	runs := make([]*podRun, n)
	for i := range pods {
		if problems[i] != nil {
			t.Fatal(problems[i])
		}
		runs[i] = d.created(t, pods[i], codes[i], texts[i])
	}
	for i, p := range runs {
		p.waitRunning()
		p.waitLog("c", fmt.Sprintf("pod %d\n", i))
		sandboxes[p.sandbox().ID] = true
	}
	if len(sandboxes) != n {
		t.Errorf("%d sandboxes for %d pods", len(sandboxes), n)
	}
	if answer := d.poll(t, pods...); len(answer) != n {
		t.Errorf("status of %d pods has %d entries", n, len(answer))
	}
	for _, p := range runs {
		p.delete(0)
	}
	for _, p := range runs {
		p.waitGone()
	}
	d.waitWarm(t, 3)
}

// TestPoolLearns: after a burst the pool has as many as that took, and no more than allowed.
func TestPoolLearns(t *testing.T) {
	t.Parallel()
	d := ownDaemon(t, 1, map[string]any{"MostWarmSandboxes": 3})
	d.waitWarm(t, 1)
	var runs []*podRun
	for range 4 {
		runs = append(runs, d.run(t, newPod(shell("c", untilStopped))))
	}
	for _, p := range runs {
		p.waitRunning()
		p.delete(0)
	}
	d.waitWarm(t, 3)
	if text := d.metrics(t); !strings.Contains(text, "docker_sd_pool_wanted_sandboxes 3\n") {
		t.Errorf("the metrics do not say that 3 are wanted:\n%s", text)
	}
}

// TestWarmSandboxDies: one that was killed, and one that was removed, are
// replaced, and what was left of them is cleaned up.
func TestWarmSandboxDies(t *testing.T) {
	t.Parallel()
	d := ownDaemon(t, 1, nil)
	for name, end := range map[string]func(string) error{
		"killed":  func(id string) error { return suite.engine.kill(t.Context(), id) },
		"removed": func(id string) error { return suite.engine.removeContainer(t.Context(), id) },
	} {
		var victim string
		for id := range d.waitWarm(t, 1) {
			victim = id
		}
		if err := end(victim); err != nil {
			t.Fatal(err)
		}
		eventually(t, runLimit, "another sandbox took the place of one that was "+name, func() bool {
			now := d.warm(t)
			_, still := now[victim]
			return len(now) == 1 && !still
		}, nil)
		d.waitWarm(t, 1)
	}
	if got := d.run(t, newPod(shell("c", "echo ran"))).output(); got != "ran\n" {
		t.Errorf("log = %q", got)
	}
}

// TestSandboxOfAPodDies: the pod ends with a reason, or runs again if its
// restart policy says so.
func TestSandboxOfAPodDies(t *testing.T) {
	t.Parallel()
	d := sharedDaemon(t)
	for _, policy := range []v1.RestartPolicy{v1.RestartPolicyNever, v1.RestartPolicyAlways} {
		t.Run(string(policy), func(t *testing.T) {
			t.Parallel()
			pod := newPod(shell("c", untilStopped))
			pod.Spec.RestartPolicy = policy
			p := d.run(t, pod)
			p.waitRunning()
			if err := suite.engine.kill(t.Context(), p.sandbox().ID); err != nil {
				t.Fatal(err)
			}
			var end *v1.ContainerStateTerminated
			if policy == v1.RestartPolicyNever {
				end = p.waitPhase(v1.PodFailed).Container("c").State.Terminated
			} else {
				again := p.waitFor("the container runs again", func(s podStatus) bool {
					c := s.Container("c")
					return c.State.Running != nil && c.LastTerminationState.Terminated != nil
				})
				end = again.Container("c").LastTerminationState.Terminated
			}
			if end.ExitCode == 0 || !strings.Contains(end.Message, "sandbox") {
				t.Errorf("end = %+v", end)
			}
		})
	}
}

// TestInitsAfterTheSandboxDied: a memory volume that comes back empty is filled again
// before the main container runs again, and an end stays what it was told to be when
// docker-sd is restarted.
func TestInitsAfterTheSandboxDied(t *testing.T) {
	t.Parallel()
	d := ownDaemon(t, 0, nil)
	pod := newPod(shell("c", "cat /mem/file; "+untilStopped))
	pod.Spec.RestartPolicy = v1.RestartPolicyAlways
	pod.Spec.InitContainers = []v1.Container{shell("init", "echo prepared >/mem/file")}
	p := d.run(t, withVolume(pod, v1.VolumeSource{EmptyDir: &v1.EmptyDirVolumeSource{Medium: v1.StorageMediumMemory}}, "/mem"))
	p.waitLog("c", "prepared\n")
	died := time.Now()
	if err := suite.engine.kill(t.Context(), p.sandbox().ID); err != nil {
		t.Fatal(err)
	}
	again := p.waitFor("the container runs again", func(s podStatus) bool {
		c := s.Container("c")
		return c.State.Running != nil && c.RestartCount == 1
	})
	p.waitLog("c", "prepared\n")
	if got := again.Container("init"); got.RestartCount != 1 || got.State.Terminated == nil || got.State.Terminated.ExitCode != 0 {
		t.Errorf("the init container: %+v", got)
	}
	told := again.Container("c").LastTerminationState.Terminated
	if told == nil || told.ExitCode != 137 || !strings.Contains(told.Message, "the pod's sandbox stopped") || told.FinishedAt.Sub(died) > 5*time.Second {
		t.Errorf("the container ended with %+v, its sandbox was killed at %s", told, died)
	}
	if err := d.stop(); err != nil {
		t.Fatal(err)
	}
	if err := d.start(); err != nil {
		t.Fatal(err)
	}
	d.waitReady(t)
	if got := p.waitRunning().Container("c").LastTerminationState.Terminated; got == nil || !reflect.DeepEqual(*got, *told) {
		t.Errorf("after a restart of docker-sd the last end is %+v, it was %+v", got, told)
	}
}

// TestPortThatTheHostUses is the trouble of the pod that wants it: the node stays ready and
// takes other pods, and the pod runs once the port is free.
func TestPortThatTheHostUses(t *testing.T) {
	t.Parallel()
	d := ownDaemon(t, 1, nil)
	d.waitWarm(t, 1)
	held, err := net.Listen("tcp", "0.0.0.0:0")
	if err != nil {
		t.Fatal(err)
	}
	defer held.Close()
	c := shell("c", untilStopped)
	c.Ports = []v1.ContainerPort{{ContainerPort: 80, HostPort: int32(held.Addr().(*net.TCPAddr).Port)}}
	p := d.run(t, newPod(c))
	p.waitFor("the pod says why it waits", func(s podStatus) bool {
		w := s.Container("c").State.Waiting
		return w != nil && strings.Contains(w.Message, "address already in use")
	})
	if code, text := d.must(t, http.MethodGet, "/readyz", nil); code != http.StatusOK {
		t.Errorf("/readyz says %d %s", code, text)
	}
	d.run(t, newPod(shell("c", "true"))).waitPhase(v1.PodSucceeded)
	if err := held.Close(); err != nil {
		t.Fatal(err)
	}
	p.waitRunning()
}

func TestEmptyPool(t *testing.T) {
	t.Parallel()
	d := ownDaemon(t, 0, nil)
	var runs []*podRun
	for range 3 {
		runs = append(runs, d.run(t, newPod(shell("c", "echo made for it"))))
	}
	for _, p := range runs {
		if got := p.output(); got != "made for it\n" {
			t.Errorf("log = %q", got)
		}
	}
	if warm := d.warm(t); len(warm) != 0 {
		t.Errorf("%d warm sandboxes in a pool of none", len(warm))
	}
}

func TestMaxPods(t *testing.T) {
	t.Parallel()
	d := ownDaemon(t, 0, map[string]any{"MaxPods": 1})
	p := d.run(t, newPod(shell("c", "true")))
	d.refused(t, "one pod too many", "/create", encode(t, newCreate(newPod(shell("c", "true")))), http.StatusTooManyRequests)
	p.delete(0)
	p.waitGone()
	d.run(t, newPod(shell("c", "true"))).waitPhase(v1.PodSucceeded)
}
