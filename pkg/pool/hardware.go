package pool

import (
	"context"
	"errors"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/engine"
)

// Hardware is what a sandbox gets of the host's accelerators. A running sandbox
// gains no device, so each gets all that any pod may be given.
type Hardware struct {
	Devices []engine.Device
	Mounts  []engine.Mount
	Env     []string
	// Runtime is the host engine's container runtime, "" for its default.
	Runtime string
	// CDIDevices are fully qualified CDI names.
	CDIDevices []string
}

func (h Hardware) apply(spec *engine.Spec) {
	spec.Env = append(spec.Env, h.Env...)
	spec.Mounts = append(spec.Mounts, h.Mounts...)
	spec.Devices = append(spec.Devices, h.Devices...)
	spec.Runtime = h.Runtime
	spec.CDIDevices = append(spec.CDIDevices, h.CDIDevices...)
}

// shape is what a sandbox is booted with.
type shape struct {
	hardware   Hardware
	generation string
	epoch      int
}

func (p *Pool) currentShape() shape {
	p.mu.Lock()
	defer p.mu.Unlock()
	return shape{hardware: p.hardware, generation: p.generation, epoch: p.epoch}
}

// SetHardware says what sandboxes get from now on. If that is something else
// than before, all that wait in the pool are replaced in the background: none of
// them is handed out any more.
func (p *Pool) SetHardware(h Hardware) {
	next := generation(p.config, h)
	p.mu.Lock()
	if next == p.generation {
		p.mu.Unlock()
		return
	}
	var outdated []string
	for _, s := range p.warm {
		outdated = append(outdated, s.Name)
	}
	for _, s := range p.standbys {
		outdated = append(outdated, s.name)
	}
	p.hardware, p.generation, p.warm, p.standbys = h, next, nil, nil
	p.mu.Unlock()
	p.signal()
	p.watchers.Go(func() {
		for _, name := range outdated {
			p.discard(p.life, name)
		}
	})
}

// outdated tells of a sandbox that was booted with other hardware than pods may
// be given now; the lock is held.
func (p *Pool) outdated(s *Sandbox) bool { return s.generation != p.generation }

// Try boots a sandbox with hardware that is not the pool's own, has it checked,
// and removes it again.
func (p *Pool) Try(ctx context.Context, h Hardware, check func(context.Context, *Sandbox) error) error {
	name := newName()
	s, err := p.bootShaped(ctx, making{name: name, shape: shape{hardware: h, generation: generation(p.config, h)}})
	if err != nil {
		return err
	}
	err = check(ctx, s)
	clean, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanTimeout)
	defer cancel()
	return errors.Join(err, p.Destroy(clean, name))
}
