package sandbox_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/containerd/errdefs"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/sandbox"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/sandbox/sandboxtest"
)

// TestFinder: sandboxes are found by their labels and by the name of their pod.
func TestFinder(t *testing.T) {
	bubble(t, func(t *testing.T, host *sandboxtest.Fake, config sandbox.Config) {
		p := open(t, host, config)
		s, other := p.boot(t, sandbox.Spec{}), p.boot(t, sandbox.Spec{})
		if _, err := p.maker.MakeHolder(t.Context(), sandbox.NewName()); err != nil {
			t.Fatal(err)
		}
		if err := p.maker.Assign(t.Context(), s, "uid"); err != nil {
			t.Fatal(err)
		}
		for uid, want := range map[string]string{"uid": s.Name, "another": ""} {
			if name, err := p.finder.Named(t.Context(), uid); name != want || err != nil {
				t.Errorf("Named(%s) = %q, %v, want %q", uid, name, err, want)
			}
		}
		host.Kill(other.ID)
		for name, want := range map[string]bool{s.Name: true, other.Name: false, sandbox.NewName(): false} {
			if runs, err := p.finder.Runs(t.Context(), name); runs != want || err != nil {
				t.Errorf("Runs(%s) = %t, %v, want %t", name, runs, err, want)
			}
		}
		found, err := p.finder.All(t.Context())
		if err != nil || len(found.Sandboxes) != 2 || len(found.Holders) != 1 || len(found.Networks) != 3 || len(found.Containers()) != 3 {
			t.Errorf("All() = %+v, %v", found, err)
		}
		elsewhere := config
		elsewhere.Dir = filepath.Join(config.Dir, "elsewhere")
		if found, err := sandbox.NewFinder(elsewhere, host).All(t.Context()); err != nil || len(found.Containers())+len(found.Networks) > 0 {
			t.Errorf("All() of another folder = %+v, %v", found, err)
		}
	})
}

// TestCheckInstance: two docker-sd of one name would remove each other's sandboxes.
func TestCheckInstance(t *testing.T) {
	bubble(t, func(t *testing.T, host *sandboxtest.Fake, config sandbox.Config) {
		p := open(t, host, config)
		p.boot(t, sandbox.Spec{})
		if err := p.finder.CheckInstance(t.Context()); err != nil {
			t.Errorf("CheckInstance() of one's own: %v", err)
		}
		moved := config
		moved.Dir = filepath.Join(config.Dir, "elsewhere", "sandboxes")
		err := sandbox.NewFinder(moved, host).CheckInstance(t.Context())
		if !errdefs.IsFailedPrecondition(err) || !strings.Contains(err.Error(), filepath.Dir(config.Dir)) || !strings.Contains(err.Error(), `"test"`) {
			t.Errorf("CheckInstance() from another folder = %v", err)
		}
		moved.Instance = "another"
		if err := sandbox.NewFinder(moved, host).CheckInstance(t.Context()); err != nil {
			t.Errorf("CheckInstance() of another instance: %v", err)
		}
	})
}

// TestFinderWithoutTheEngine: an engine that is away is no engine without sandboxes.
func TestFinderWithoutTheEngine(t *testing.T) {
	bubble(t, func(t *testing.T, host *sandboxtest.Fake, config sandbox.Config) {
		p := open(t, host, config)
		s := p.boot(t, sandbox.Spec{})
		host.Faults(sandboxtest.Failing("List", errdefs.ErrUnavailable))
		_, named := p.finder.Named(t.Context(), "uid")
		_, runs := p.finder.Runs(t.Context(), s.Name)
		_, all := p.finder.All(t.Context())
		for what, err := range map[string]error{"Named": named, "Runs": runs, "All": all, "CheckInstance": p.finder.CheckInstance(t.Context()),
			"Destroy": p.remover.Destroy(t.Context(), s.Name)} {
			if !errdefs.IsUnavailable(err) {
				t.Errorf("%s() = %v", what, err)
			}
		}
		host.Faults(sandboxtest.Failing("ListNetworks", errdefs.ErrUnavailable))
		if _, err := p.finder.All(t.Context()); !errdefs.IsUnavailable(err) {
			t.Errorf("All() = %v", err)
		}
	})
}

// TestUnused: a sandbox with files or containers in it may be a pod's.
func TestUnused(t *testing.T) {
	bubble(t, func(t *testing.T, host *sandboxtest.Fake, config sandbox.Config) {
		s := open(t, host, config).boot(t, sandbox.Spec{})
		if err := s.Prime(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := s.CheckUnused(t.Context()); err != nil || config.HasPodFiles(s.Name) || config.HasPodFiles(sandbox.NewName()) {
			t.Errorf("a sandbox that was booted now is used: %v", err)
		}
		host.Inner.List(`[{"Id":"primer","Names":["/prime"],"State":"created"}]`)
		if err := s.CheckUnused(t.Context()); err != nil {
			t.Errorf("with a container that primes: %v", err)
		}
		host.Inner.List(`[{"Id":"c","Names":["/c"],"State":"running"}]`)
		if err := s.CheckUnused(t.Context()); !errdefs.IsConflict(err) {
			t.Errorf("with a container: %v", err)
		}
		if err := os.WriteFile(filepath.Join(s.PodDir(), "file"), nil, 0o600); err != nil || !config.HasPodFiles(s.Name) {
			t.Errorf("a file of a pod is not seen: %v", err)
		}
	})
}

// TestRemoverKeepsWhatIsInUse: neither network nor files go before the container.
func TestRemoverKeepsWhatIsInUse(t *testing.T) {
	bubble(t, func(t *testing.T, host *sandboxtest.Fake, config sandbox.Config) {
		p := open(t, host, config)
		s := p.boot(t, sandbox.Spec{})
		stuck := errors.New("device or resource busy")
		host.Faults(sandboxtest.Failing("Remove", stuck))
		if err := p.remover.Destroy(t.Context(), s.Name); !errors.Is(err, stuck) || !strings.Contains(err.Error(), s.Name) {
			t.Errorf("Destroy() of a container that cannot be removed = %v", err)
		}
		wantSame(t, "networks", host.NetworkNames(), []string{sandbox.NetworkName(s.Name)})
		host.Faults(nil)
		if err := p.remover.Remove(t.Context(), s.Name); err != nil {
			t.Error(err)
		}
		wantSame(t, "networks", host.NetworkNames(), []string(nil))
		if _, err := os.Stat(s.PodDir()); err != nil {
			t.Errorf("Remove() took the folder: %v", err)
		}
		if err := p.remover.Destroy(t.Context(), ""); !errdefs.IsInvalidArgument(err) {
			t.Errorf("Destroy() of no name = %v", err)
		}
		if err := p.remover.Destroy(t.Context(), s.Name); err != nil {
			t.Error(err)
		}
		wantNothing(t, host, config)
	})
}
