//go:build e2e

package e2e_test

import (
	"testing"

	v1 "k8s.io/api/core/v1"
)

// restartsAllOn has a container that ends with a code restart its whole pod.
func restartsAllOn(c v1.Container, code int32) v1.Container {
	if c.RestartPolicy == nil {
		c.RestartPolicy = ptr(v1.ContainerRestartPolicyNever)
	}
	c.RestartPolicyRules = []v1.ContainerRestartRule{{Action: v1.ContainerRestartRuleActionRestartAllContainers,
		ExitCodes: &v1.ContainerRestartRuleOnExitCodes{Operator: v1.ContainerRestartRuleOnExitCodesOpIn, Values: []int32{code}}}}
	return c
}

// kubeRestartAll: whichever container asks for it, all of its pod run once more, in the
// order of a start and in the same sandbox with the same volumes.
func kubeRestartAll(t *testing.T, d kubeDaemon) {
	// Each leaves a line for each of its runs; $n is how many there are.
	counts := func(name, script string) v1.Container {
		return shell(name, "echo "+name+" >>/vol/order; n=$(grep -c ^"+name+"$ /vol/order); "+script)
	}
	after := func(name string) string {
		return "until test $(grep -c ^" + name + "$ /vol/order) -ge $n; do usleep 20000; done; "
	}
	const once = "test $n -ge 2 || exit 42"
	for _, asks := range []string{"first", "second", "side", "main"} {
		t.Run(asks, func(t *testing.T) {
			t.Parallel()
			first, side, second := counts("first", "exit 0"), sidecar(counts("side", untilStopped)), counts("second", "exit 0")
			main := counts("main", "exit 0")
			switch asks {
			case "first":
				first = restartsAllOn(counts("first", once), 42)
			case "second":
				second = restartsAllOn(counts("second", once), 42)
			case "side":
				side = restartsAllOn(sidecar(counts("side", "test $n -ge 2 || { "+after("main")+after("done")+"exit 42; }; "+untilStopped)), 42)
				main = counts("main", "test $n -ge 2 || sleep 100000")
			case "main":
				main = restartsAllOn(counts("main", after("done")+once), 42)
			}
			p := d.run(t, withVolume(withInits(newPod(main, counts("done", "exit 0")), first, side, second), emptyDir(), "/vol"))
			seen := p.waitPhase(v1.PodSucceeded)
			restarts := map[string]int32{"first": 1, "side": 1, "second": 1, "main": 1, "done": 1}
			switch asks { // what never ran before is not run again
			case "first":
				restarts = map[string]int32{"first": 1}
			case "second":
				restarts = map[string]int32{"first": 1, "side": 1, "second": 1}
			}
			for _, c := range append(seen.Containers, seen.InitContainers...) {
				if c.RestartCount != restarts[c.Name] {
					t.Errorf("%s was restarted %d times, want %d", c.Name, c.RestartCount, restarts[c.Name])
				}
				last := c.LastTerminationState.Terminated
				if (last != nil) != (restarts[c.Name] > 0) || c.Name == asks && last.ExitCode != 42 {
					t.Errorf("%s ended before with %+v", c.Name, last)
				}
			}
		})
	}
	// The second time it waits as any other restart does, and a delete does not.
	p := d.run(t, newPod(restartsAllOn(shell("main", "exit 42"), 42), shell("other", untilStopped)))
	seen := p.waitFor("back-off of 10 s", func(s podStatus) bool {
		w := s.Container("other").State.Waiting
		return w != nil && w.Reason == "CrashLoopBackOff" && w.Message == "back-off 10s restarting all containers: container main ended with 42"
	})
	if end := seen.Container("other").LastTerminationState.Terminated; end == nil || seen.Container("other").RestartCount != 1 {
		t.Errorf("the other container: %+v", seen.Container("other"))
	}
	p.delete(0)
	p.waitGone()
}
