package containers

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	v1 "k8s.io/api/core/v1"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/engine"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/sandbox"
)

// TestTrap4Delays are kubelet's.
func TestTrap4Delays(t *testing.T) {
	var d RestartDelays
	for i, want := range []time.Duration{0, 10, 20, 40, 80, 160, 300, 300} {
		if got := d.Next(time.Minute); got != want*time.Second {
			t.Errorf("restart %d waits %s, want %s", i, got, want*time.Second)
		}
	}
	if got := d.Next(10 * time.Minute); got != 0 {
		t.Errorf("after a long run: %s", got)
	}
	if got := d.Next(time.Minute); got != 10*time.Second {
		t.Errorf("the one after: %s", got)
	}
}

// TestMayHaveRun: a container that the engine calls created is started unless its
// pod never restarts and nobody knows whether it has run.
func TestMayHaveRun(t *testing.T) {
	s := &sandbox.Sandbox{Dir: t.TempDir()}
	socket := filepath.Join(s.Dir, "docker.sock")
	if err := os.WriteFile(socket, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	began, err := s.EngineStarted()
	if err != nil {
		t.Fatal(err)
	}
	before, after := engine.Container{Created: began.Add(-time.Second)}, engine.Container{Created: began.Add(time.Second)}
	for name, c := range map[string]struct {
		policy             v1.RestartPolicy
		resumed, made, odd bool
		seen               engine.Container
		want               bool
	}{
		"made by this docker-sd":              {v1.RestartPolicyNever, true, true, false, before, false},
		"the engine died at its start":        {v1.RestartPolicyNever, true, true, true, before, true},
		"that may run again":                  {v1.RestartPolicyOnFailure, true, true, true, before, false},
		"an earlier one's, by this engine":    {v1.RestartPolicyNever, true, false, false, after, false},
		"an earlier one's, by another engine": {v1.RestartPolicyNever, true, false, false, before, true},
		"of a pod that may run again":         {v1.RestartPolicyAlways, true, false, false, before, false},
		"without a crash between":             {v1.RestartPolicyNever, false, false, false, before, false},
	} {
		t.Run(name, func(t *testing.T) {
			pod := plainPod()
			pod.Spec.RestartPolicy = c.policy
			p := podFor(pod)
			r := p.runner(&pod.Spec.Containers[0], &Stay{Sandbox: s, Found: c.resumed}, nil)
			r.made, r.unsure = c.made, c.odd
			if got := r.mayHaveRun(c.seen); got != c.want {
				t.Errorf("mayHaveRun() = %t, want %t", got, c.want)
			}
		})
	}
}
