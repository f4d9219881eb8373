//go:build e2e

package e2e_test

import (
	"fmt"
	"maps"
	"slices"
	"testing"

	v1 "k8s.io/api/core/v1"
)

// standbys are the ids of the containers whose engine has not been started, by
// the name of their sandbox.
func (d *daemon) standbys(t *testing.T) map[string]string {
	t.Helper()
	containers, err := suite.engine.containers(t.Context(), d.label())
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for _, c := range containers {
		if c.standby() {
			out[c.Labels[sandboxLabel]] = c.ID
		}
	}
	return out
}

// waitStandbys waits until docker-sd itself counts so many that stand by: their
// containers are there a moment before.
func (d *daemon) waitStandbys(t *testing.T, n int) {
	t.Helper()
	eventually(t, runLimit, "sandboxes stand by", func() bool {
		sandboxes, err := d.operator(t).Pool(t.Context())
		return err == nil && sandboxes.Standby == n
	}, d.log.String)
}

// TestStandby: sandboxes that were made ahead, without their engine, serve a
// burst, outlive a SIGKILL of docker-sd, and are replaced.
func TestStandby(t *testing.T) {
	t.Parallel()
	const standing = 3
	d := ownDaemon(t, 1, map[string]any{"StandbySandboxes": standing})
	d.waitWarm(t, 1)
	d.waitStandbys(t, standing)
	before := d.standbys(t)
	if err := d.kill(); err != nil {
		t.Fatal(err)
	}
	if err := d.start(); err != nil {
		t.Fatal(err)
	}
	d.waitWarm(t, 1)
	d.waitStandbys(t, standing) // taken back; a create may come before that
	if after := d.standbys(t); !maps.Equal(before, after) || len(after) != standing {
		t.Fatalf("standbys after a SIGKILL: %v, want those of before: %v", after, before)
	}
	runs := make([]*podRun, 4)
	for i := range runs {
		runs[i] = d.run(t, newPod(shell("c", fmt.Sprintf("echo pod %d; ", i)+untilStopped)))
	}
	for i, r := range runs {
		r.waitPhase(v1.PodRunning)
		r.waitLog("c", fmt.Sprintf("pod %d\n", i))
	}
	containers, err := suite.engine.containers(t.Context(), d.label())
	if err != nil {
		t.Fatal(err)
	}
	used := 0
	for _, c := range containers {
		if slices.Contains(slices.Collect(maps.Values(before)), c.ID) && !c.standby() {
			used++
		}
	}
	// A claim may get the replacement of a warm one instead.
	if used < standing-1 {
		t.Errorf("%d of the %d sandboxes that stood by were used by a burst of %d", used, standing, len(runs))
	}
	for _, r := range runs {
		r.delete(0)
		r.waitGone()
	}
	d.waitWarm(t, 1) // and as many stand by, or it would wait for ever
}

// TestStandbyOfAPodDies: the sandbox of a pod was a standby once, and comes back as any other
// one does.
func TestStandbyOfAPodDies(t *testing.T) {
	t.Parallel()
	d := ownDaemon(t, 0, map[string]any{"StandbySandboxes": 1})
	d.waitStandbys(t, 1)
	before := d.standbys(t)
	pod := newPod(shell("c", untilStopped))
	pod.Spec.RestartPolicy = v1.RestartPolicyAlways
	p := d.run(t, pod)
	p.waitRunning()
	used := p.sandbox().ID
	if !slices.Contains(slices.Collect(maps.Values(before)), used) {
		t.Fatalf("the pod has sandbox %s, want the standby of %v", used, before)
	}
	if err := suite.engine.kill(t.Context(), used); err != nil {
		t.Fatal(err)
	}
	p.waitFor("the container runs again", func(s podStatus) bool {
		c := s.Container("c")
		return c.State.Running != nil && c.LastTerminationState.Terminated != nil
	})
}
