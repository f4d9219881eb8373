package sandbox_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/sandbox"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/sandbox/sandboxtest"
)

var _ sandbox.HostEngine = &sandboxtest.Fake{}

// bubble runs a test with a fake clock, a host, and the settings of sandboxes there. The
// test ends only when all its goroutines have.
func bubble(t *testing.T, test func(t *testing.T, host *sandboxtest.Fake, config sandbox.Config)) {
	t.Helper()
	inner := sandboxtest.StartEngines(t)
	// A socket's path may have 107 bytes, which t.TempDir uses up with the test's name.
	dir, err := os.MkdirTemp("", "sandbox")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	synctest.Test(t, func(t *testing.T) {
		test(t, sandboxtest.NewFake(inner), sandbox.Config{Instance: "test", Dir: filepath.Join(dir, "s"), Image: "docker:dind", Init: "/data/init/init-1",
			BootTimeout: time.Minute, RemoveFolder: func(_ context.Context, path string) error { return os.RemoveAll(path) }})
	})
}

// parts make, find and remove sandboxes on one host.
type parts struct {
	networks *sandbox.Networks
	maker    *sandbox.Maker
	finder   *sandbox.Finder
	remover  *sandbox.Remover
	// gone gets the sandboxes whose container has ended.
	gone chan *sandbox.Sandbox
}

// open returns them as a docker-sd that is started has them.
func open(t *testing.T, host *sandboxtest.Fake, config sandbox.Config) parts {
	t.Helper()
	p := parts{networks: sandbox.NewNetworks(config, host), finder: sandbox.NewFinder(config, host), gone: make(chan *sandbox.Sandbox, 10)}
	p.maker = sandbox.NewMaker(config, host, p.networks, func(s *sandbox.Sandbox) { p.gone <- s })
	t.Cleanup(p.maker.Close)
	p.remover = sandbox.NewRemover(config, host, p.networks, false)
	return p
}

// boot returns a sandbox, or fails the test.
func (p parts) boot(t *testing.T, spec sandbox.Spec) *sandbox.Sandbox {
	t.Helper()
	if spec.Name == "" {
		spec.Name = sandbox.NewName()
	}
	s, err := p.maker.Boot(t.Context(), spec)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// wantBootFails fails the test unless a boot ends with the error.
func (p parts) wantBootFails(t *testing.T, why error) {
	t.Helper()
	if s, err := p.maker.Boot(t.Context(), sandbox.Spec{Name: sandbox.NewName()}); !errors.Is(err, why) {
		t.Errorf("Boot() = %v, %v, want %v", s, err, why)
	}
}

// advance lets the fake clock run and waits until nothing moves any more.
func advance(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

func wantSame(t *testing.T, what string, got, want any) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

// wantNothing fails the test if anything is left on the host.
func wantNothing(t *testing.T, host *sandboxtest.Fake, config sandbox.Config) {
	t.Helper()
	entries, err := os.ReadDir(config.Dir)
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	if names, networks := host.Names(), host.NetworkNames(); len(names)+len(networks)+len(entries) > 0 {
		t.Errorf("left are %v, %v and %d folders", names, networks, len(entries))
	}
}

func isGone(s *sandbox.Sandbox) bool {
	select {
	case <-s.Gone():
		return true
	default:
		return false
	}
}
