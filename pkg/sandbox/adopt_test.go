package sandbox_test

import (
	"testing"

	"github.com/containerd/errdefs"
	"github.com/google/uuid"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/sandbox"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/sandbox/sandboxtest"
)

func TestAdopt(t *testing.T) {
	bubble(t, func(t *testing.T, host *sandboxtest.Fake, config sandbox.Config) {
		earlier := open(t, host, config)
		s := earlier.boot(t, sandbox.Spec{})
		name, id := s.Name, s.ID
		host.Kill(id)
		if ended := <-earlier.gone; ended != s || !isGone(s) {
			t.Errorf("%s has ended, want %s", ended.Name, name)
		}
		p := open(t, host, config).maker
		host.Faults(sandboxtest.Failing("Accepts", errdefs.ErrUnavailable))
		if _, err := p.Adopt(t.Context(), name); !errdefs.IsUnavailable(err) || host.IsRunning(id) {
			t.Errorf("Adopt() by an engine that is being stopped = %v, started: %t", err, host.IsRunning(id))
		}
		host.Faults(nil)
		s, err := p.Adopt(t.Context(), name)
		if err != nil || s.ID != id || s.Stopped.IsZero() {
			t.Fatalf("Adopt() of a stopped sandbox = %+v, %v, want it started", s, err)
		}
		if again, err := p.Adopt(t.Context(), name); err != nil || !again.Started.Equal(s.Started) {
			t.Errorf("Adopt() of a running sandbox = %+v, %v", again, err)
		}
		if _, err := p.Adopt(t.Context(), uuid.NewString()+"_dind"); !errdefs.IsNotFound(err) {
			t.Errorf("Adopt() of one that is gone = %v, want ErrNotFound", err)
		}
		host.Faults(sandboxtest.Failing("List", errdefs.ErrUnavailable))
		if _, err := p.Adopt(t.Context(), name); errdefs.IsNotFound(err) || err == nil {
			t.Errorf("Adopt() without the engine = %v, want an error that is not ErrNotFound", err)
		}
	})
}

// TestAssignAfterRestart: a pod that finds its sandbox again cannot know whether it
// has its name already.
func TestAssignAfterRestart(t *testing.T) {
	bubble(t, func(t *testing.T, host *sandboxtest.Fake, config sandbox.Config) {
		s := open(t, host, config).boot(t, sandbox.Spec{})
		for range 2 {
			p := open(t, host, config).maker
			found, err := p.Adopt(t.Context(), s.Name)
			if err != nil {
				t.Fatal(err)
			}
			if err := p.Assign(t.Context(), found, "uid"); err != nil {
				t.Errorf("Assign(): %v", err)
			}
			wantSame(t, "names", host.Names(), []string{sandbox.AssignedName("uid")})
		}
	})
}

// TestAdoptConnects: a crash may have come between a sandbox's start and its
// network.
func TestAdoptConnects(t *testing.T) {
	bubble(t, func(t *testing.T, host *sandboxtest.Fake, config sandbox.Config) {
		p := open(t, host, config)
		name := p.boot(t, sandbox.Spec{}).Name
		host.Mu.Lock()
		for _, c := range host.Containers {
			c.IPs = map[string]string{"none": ""}
		}
		host.Mu.Unlock()
		s, err := p.maker.Adopt(t.Context(), name)
		if err != nil || s.IP == "" {
			t.Errorf("adopted %v, %v", s, err)
		}
	})
}
