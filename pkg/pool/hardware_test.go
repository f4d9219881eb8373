package pool_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/engine"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/pool"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/sandbox"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/sandbox/sandboxtest"
)

var oneGPU = sandbox.Hardware{Devices: []engine.Device{{Host: "/dev/gpu0", Container: "/dev/gpu0", Permissions: "rw"}},
	Mounts: []engine.Mount{{Source: "/lib/gpu", Target: "/lib/gpu", ReadOnly: true}}, Env: []string{"GPU=1"},
	Runtime: "nvidia", CDIDevices: []string{"nvidia.com/gpu=0"}}

func wantHardware(t *testing.T, host *sandboxtest.Fake, name string) {
	t.Helper()
	spec := host.Containers[host.IDOf(name)].Spec
	wantSame(t, "devices", spec.Devices, oneGPU.Devices)
	wantSame(t, "CDI devices", spec.CDIDevices, oneGPU.CDIDevices)
	wantSame(t, "runtime", spec.Runtime, oneGPU.Runtime)
	if !slices.Contains(spec.Env, "GPU=1") || !slices.Contains(spec.Mounts, oneGPU.Mounts[0]) {
		t.Errorf("sandbox %s has variables %v and mounts %v, want the hardware's", name, spec.Env, spec.Mounts)
	}
}

func TestOtherHardwareReplacesAll(t *testing.T) {
	bubble(t, func(t *testing.T, host *sandboxtest.Fake, config pool.Config) {
		p := pool.New(config, host)
		run(t, p)
		before := host.Names()
		held := p.Reserve(nil)
		held.Settled()
		synctest.Wait()
		p.SetHardware(oneGPU)
		if c := p.Reserve(nil); c.Warm() {
			t.Error("a sandbox without the hardware was handed out after SetHardware")
		}
		synctest.Wait()
		wantStats(t, p, 2, 0, 0)
		c := p.Reserve(nil)
		if !c.Warm() || slices.Contains(before, c.Name) {
			t.Errorf("Reserve() = %s of the old %v", c.Name, before)
		}
		wantHardware(t, host, c.Name)
		p.Return(held)
		synctest.Wait()
		wantSame(t, "a returned sandbox without the hardware", host.IDOf(held.Name), "")

		c.Settled()
		synctest.Wait()
		boots := len(host.Creates())
		p.SetHardware(oneGPU)
		synctest.Wait()
		wantSame(t, "boots for the same hardware", len(host.Creates()), boots)
	})
}

func TestBootUnderWayMissesNewHardware(t *testing.T) {
	bubble(t, func(t *testing.T, host *sandboxtest.Fake, config pool.Config) {
		config.Size, config.Parallel = 1, 1
		release := heldStarts(host)
		p := pool.New(config, host)
		run(t, p)
		p.SetHardware(oneGPU)
		close(release)
		synctest.Wait()
		wantStats(t, p, 1, 0, 0)
		wantSame(t, "containers", len(host.Names()), 1)
		wantHardware(t, host, host.Names()[0])
	})
}

func TestTry(t *testing.T) {
	failed := errors.New("no device in the container")
	for name, want := range map[string]error{"works": nil, "does not": failed} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, host *sandboxtest.Fake, config pool.Config) {
				p := pool.New(config, host)
				defer p.Close()
				err := p.Try(t.Context(), oneGPU, func(ctx context.Context, s *sandbox.Sandbox) error {
					wantHardware(t, host, s.Name)
					return errors.Join(want, s.Engine.Ping(ctx))
				})
				if !errors.Is(err, want) {
					t.Errorf("Try() = %v, want %v", err, want)
				}
				wantSame(t, "containers", host.Names(), []string(nil))
				wantSame(t, "networks", host.NetworkNames(), []string(nil))
				wantSame(t, "folders", folders(t, config), 0)
				wantStats(t, p, 0, 0, 0)
			})
		})
	}
}
