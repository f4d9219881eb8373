package sandbox_test

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/containerd/errdefs"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/engine"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/sandbox"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/sandbox/sandboxtest"
)

func TestMissingSandboxImage(t *testing.T) {
	for name, c := range map[string]struct {
		fetch error
		want  string
	}{
		"fetched":    {nil, ""},
		"not to get": {errors.New("pull access denied"), "the sandbox image docker:dind is missing: set SandboxImage"},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, host *sandboxtest.Fake, config sandbox.Config) {
				fetched := 0
				config.FetchImage = func(context.Context, string) error { fetched++; return c.fetch }
				host.Faults(func(_ context.Context, call, _ string) error {
					if call == "Create" && fetched == 0 {
						return errdefs.ErrNotFound
					}
					return nil
				})
				_, err := open(t, host, config).maker.Boot(t.Context(), sandbox.Spec{Name: sandbox.NewName()})
				switch {
				case c.want == "" && err != nil:
					t.Errorf("Boot(): %v", err)
				case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want) || !errors.Is(err, c.fetch)):
					t.Errorf("error %v, want %q and the reason", err, c.want)
				}
				wantSame(t, "fetches", fetched, 1)
			})
		})
	}
}

// TestSandboxRunsTheInit: from where the host's other containers cannot change it, and
// with the sandbox's folder for its sockets.
func TestSandboxRunsTheInit(t *testing.T) {
	bubble(t, func(t *testing.T, host *sandboxtest.Fake, config sandbox.Config) {
		p := open(t, host, config)
		p.boot(t, sandbox.Spec{})
		if _, err := p.maker.MakeStandby(t.Context(), sandbox.Spec{Name: sandbox.NewName()}); err != nil {
			t.Fatal(err)
		}
		wantSame(t, "containers", len(host.Names()), 2)
		for _, name := range host.Names() {
			c := host.Containers[host.IDOf(name)]
			if !slices.Contains(c.Spec.Mounts, engine.Mount{Source: config.Init, Target: "/docker-sd-init", ReadOnly: true}) {
				t.Errorf("%s mounts %+v, want the init read-only", name, c.Spec.Mounts)
			}
			dir := sandboxtest.FolderOf(c)
			if !strings.HasPrefix(dir, config.Dir+"/") || !slices.Contains(c.Spec.Mounts, engine.Mount{Source: dir + "/pod", Target: dir + "/pod"}) {
				t.Errorf("%s mounts %+v, want its folder, and that of its pod under its own name", name, c.Spec.Mounts)
			}
			if want := []string{"/docker-sd-init", "boot"}; !slices.Equal(c.Spec.Entrypoint[:2], want) || len(c.Spec.Env) > 0 {
				t.Errorf("%s runs %q with %q, want %q and no variables", name, c.Spec.Entrypoint, c.Spec.Env, want)
			}
			wantSame(t, name+" is started as a standby", slices.Contains(c.Spec.Entrypoint, "-standby"), strings.HasSuffix(name, "_standby"))
		}
	})
}

// TestSandboxOfACluster: the program of the tunnel and its device are in sandboxes that can
// join a cluster's network, and in no others.
func TestSandboxOfACluster(t *testing.T) {
	for _, program := range []string{"", "/data/init/tunnel-1"} {
		bubble(t, func(t *testing.T, host *sandboxtest.Fake, config sandbox.Config) {
			without := config.Generation(sandbox.Hardware{})
			config.Tunnel = program
			if same := config.Generation(sandbox.Hardware{}) == without; same != (program == "") {
				t.Errorf("with %q the generation is the same: %t", program, same)
			}
			p := open(t, host, config)
			p.boot(t, sandbox.Spec{})
			spec := host.Containers[host.IDOf(host.Names()[0])].Spec
			mounted := slices.Contains(spec.Mounts, engine.Mount{Source: program, Target: "/docker-sd-tunnel", ReadOnly: true})
			device := slices.Contains(spec.Devices, engine.Device{Host: "/dev/net/tun", Container: "/dev/net/tun", Permissions: "rw"})
			if want := program != ""; mounted != want || device != want || len(spec.Devices) > 1 {
				t.Errorf("with %q it mounts %+v and has the devices %+v", program, spec.Mounts, spec.Devices)
			}
		})
	}
}

func TestGoneNeedsAClearAnswer(t *testing.T) {
	bubble(t, func(t *testing.T, host *sandboxtest.Fake, config sandbox.Config) {
		host.Faults(sandboxtest.Failing("Wait", errdefs.ErrUnavailable))
		p := open(t, host, config)
		s := p.boot(t, sandbox.Spec{})
		advance(time.Minute)
		select {
		case <-s.Gone():
			t.Error("a sandbox is gone because its host's engine did not answer")
		default:
		}
		host.Faults(nil)
		host.Kill(s.ID)
		advance(10 * time.Second)
		select {
		case <-s.Gone():
		default:
			t.Error("a sandbox that ended while the engine was away is not gone")
		}
	})
}

// TestFailedBootIsRemovable: what a boot has made until it failed goes with Destroy.
func TestFailedBootIsRemovable(t *testing.T) {
	broken := errors.New("no space left on device")
	for _, call := range []string{"CreateNetwork", "Create", "Start", "Join", "Inspect"} {
		bubble(t, func(t *testing.T, host *sandboxtest.Fake, config sandbox.Config) {
			p, name := open(t, host, config), sandbox.NewName()
			host.Faults(sandboxtest.Failing(call, broken))
			if _, err := p.maker.Boot(t.Context(), sandbox.Spec{Name: name}); !errors.Is(err, broken) || !strings.Contains(err.Error(), "boot sandbox "+name) {
				t.Errorf("%s fails: Boot() = %v", call, err)
			}
			host.Faults(nil)
			for range 2 {
				if err := p.remover.Destroy(t.Context(), name); err != nil {
					t.Errorf("%s fails: Destroy() = %v", call, err)
				}
			}
			wantNothing(t, host, config)
		})
	}
}

// TestGenerationIsOfWhatShapes: settings that shape no sandbox leave the waiting ones in
// use.
func TestGenerationIsOfWhatShapes(t *testing.T) {
	config := sandbox.Config{Image: "docker:dind", BootTimeout: time.Minute}
	other := config
	other.BootTimeout, other.Subnets = time.Hour, []netip.Prefix{netip.MustParsePrefix("10.9.0.0/24")}
	other.Calls = func(engine.Call) {}
	if got, want := other.Generation(sandbox.Hardware{}), config.Generation(sandbox.Hardware{}); got != want {
		t.Errorf("generation %s, want %s", got, want)
	}
	other.Image = "docker:30-dind"
	for what, generation := range map[string]string{"image": other.Generation(sandbox.Hardware{}), "hardware": config.Generation(sandbox.Hardware{Runtime: "nvidia"})} {
		if generation == config.Generation(sandbox.Hardware{}) {
			t.Errorf("another %s has the same generation", what)
		}
	}
}
