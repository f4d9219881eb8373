package pool

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/containerd/containerd/log"
	"github.com/containerd/errdefs"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/engine"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/fault"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/initapi"
)

// A holder is a container that does nothing but hold a network: that of the sandbox
// whose name it bears, which is started in it later. It lives as long as its sandbox.
//
// It is made in quiet time. Of the processor time that the host's engine takes for a
// boot, three quarters are for the network: the engine runs its own program twice to
// make the namespace, and sets packet rules and its name server up in it.
type holder struct{ name, id string }

// holderSuffix is that of a holder's container.
const holderSuffix = "_network"

func holderName(name string) string { return strings.TrimSuffix(name, nameSuffix) + holderSuffix }

// networkOf is the network of a container that shares a holder's.
func networkOf(holder string) string { return "container:" + holder }

func isHolder(c engine.Container) bool {
	_, held := c.Labels[engine.LabelHolder]
	return held
}

// startHolder books one holder that is missing. They come after standbys, which save
// more, and are as well made only while nobody needs the machine more.
func (p *Pool) startHolder() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.occupied() || len(p.standbys) < p.config.Standby || len(p.holders) >= p.config.Holders || time.Now().Before(p.holderAfter) {
		return false
	}
	p.preparing = true
	return true
}

func (p *Pool) prepareHolder(ctx context.Context) {
	defer p.signal()
	name := newName()
	id, err := p.makeHolder(ctx, name)
	if err != nil {
		clean, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanTimeout)
		defer cancel()
		err = errors.Join(err, p.Destroy(clean, name))
	}
	fault.Point("pool.holder.made")
	p.mu.Lock()
	p.preparing = false
	if err != nil {
		p.holderAfter = time.Now().Add(standbyRetry)
	} else {
		p.holders = append(p.holders, &holder{name: name, id: id})
	}
	p.mu.Unlock()
	if err != nil && ctx.Err() == nil {
		log.G(ctx).WithError(err).Warn("a sandbox's network could not be made ahead")
	}
}

// makeHolder makes a sandbox's network and the container that holds it.
func (p *Pool) makeHolder(caller context.Context, name string) (string, error) {
	ctx, cancel := linger(caller)
	defer cancel()
	p.know(name)
	labels := p.labels(name, p.holderGeneration())
	subnet, err := p.subnets.take(name)
	if err != nil {
		return "", err
	}
	if err := p.makeNetwork(ctx, name, subnet, labels); err != nil {
		return "", err
	}
	labels[engine.LabelHolder] = ""
	id, err := p.config.create(caller, p.host.Create, p.holderSpec(name, labels))
	fault.Point("pool.holder.created")
	if err == nil && caller.Err() == nil {
		err = p.host.Start(ctx, id)
	}
	return id, errors.Join(err, caller.Err())
}

// holderGeneration is that of a sandbox without hardware, of which a holder has none.
func (p *Pool) holderGeneration() string { return generation(p.config, Hardware{}) }

// Bounds of a holder, which has one process of the Go runtime that waits for signals.
const (
	holderMemory = 32 << 20
	holderPids   = 32
	nobody       = "65534:65534"
)

// holderSpec uses the sandbox's image, which is there, and no file of it.
func (p *Pool) holderSpec(name string, labels map[string]string) engine.Spec {
	c := p.config
	return engine.Spec{
		Name: holderName(name), Image: c.Image, Entrypoint: initapi.PauseCommand(), Labels: labels, Network: NetworkName(name),
		User: nobody, WorkingDir: "/", CapDrop: []string{"ALL"}, SecurityOpt: []string{"no-new-privileges"}, ReadonlyRootfs: true,
		// The image may set this variable, for which some engines add devices.
		Env: []string{"NVIDIA_VISIBLE_DEVICES=void"},
		Log: engine.LogLimits{MaxBytes: 1 << 20, MaxFiles: 1},
		// With a tmpfs at the place of the image's volume the engine makes no volume.
		Mounts: []engine.Mount{{Source: c.Init, Target: initapi.ProgramPath, ReadOnly: true}, {Target: initapi.DataPath, Tmpfs: true}},
		Resources: engine.Resources{CPUShares: c.Resources.CPUShares, MemoryBytes: holderMemory, PidsLimit: holderPids,
			OOMScoreAdj: c.Resources.OOMScoreAdj, CgroupParent: c.Resources.CgroupParent},
	}
}

// takeHolder takes one that runs, nil if there is none.
func (p *Pool) takeHolder(ctx context.Context) *holder {
	for {
		p.mu.Lock()
		if len(p.holders) == 0 {
			p.mu.Unlock()
			return nil
		}
		h := p.holders[0]
		p.holders = p.holders[1:]
		p.mu.Unlock()
		_, err := p.held(ctx, h.id)
		if err == nil {
			return h
		}
		if !errdefs.IsFailedPrecondition(err) && !errdefs.IsNotFound(err) {
			// The engine is away, or the pod is not wanted any more.
			p.mu.Lock()
			defer p.mu.Unlock()
			p.holders = append(p.holders, h)
			return nil
		}
		log.G(ctx).WithField("sandbox", h.name).WithError(err).Warn("a network that was made ahead is of no use, it is replaced")
		p.disown(h.name, true) // by the sweep: a pod may be waiting
	}
}

// held inspects a holder. One that does not run has no network to share, and is
// ErrFailedPrecondition.
func (p *Pool) held(ctx context.Context, id string) (engine.Container, error) {
	c, err := p.host.Inspect(ctx, id)
	if err == nil && c.State.Status != engine.StatusRunning {
		err = fmt.Errorf("the container that holds its network is %s: %w", c.State.Status, errdefs.ErrFailedPrecondition)
	}
	return c, err
}

// divide separates the holders of sandboxes' networks from all other containers.
func divide(containers []engine.Container) (holders, others []engine.Container) {
	for _, c := range containers {
		if isHolder(c) {
			holders = append(holders, c)
		} else {
			others = append(others, c)
		}
	}
	return holders, others
}

// rejoinHolder takes one of an earlier run back, unless it is one of these sandboxes'.
func (p *Pool) rejoinHolder(c engine.Container, sandboxes []engine.Container) {
	name := c.Labels[engine.LabelSandbox]
	used := slices.ContainsFunc(sandboxes, func(s engine.Container) bool { return s.Labels[engine.LabelSandbox] == name })
	if used || c.State.Status != engine.StatusRunning || c.Name != holderName(name) || !IsName(name) || c.Labels[engine.LabelGeneration] != p.holderGeneration() {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, known := p.known[name]; known || len(p.holders) >= p.config.Holders {
		return
	}
	p.known[name] = true
	p.holders = append(p.holders, &holder{name: name, id: c.ID})
}

// dropDeadHolders removes those whose container does not run any more.
func (p *Pool) dropDeadHolders(ctx context.Context, containers []engine.Container) error {
	dead := map[string]bool{}
	for _, c := range containers {
		dead[c.ID] = c.State.Status != engine.StatusRunning
	}
	var names []string
	p.mu.Lock()
	p.holders = slices.DeleteFunc(p.holders, func(h *holder) bool {
		if dead[h.id] {
			names = append(names, h.name)
		}
		return dead[h.id]
	})
	p.mu.Unlock()
	var problems []error
	for _, name := range names {
		log.G(ctx).WithField("sandbox", name).Warn("a network that was made ahead is of no use, it is replaced")
		problems = append(problems, p.Destroy(ctx, name))
	}
	return errors.Join(problems...)
}

// startHeld starts a sandbox again, and before that the holder of its network. A
// sandbox that lost its network while it ran is ended first: a running container gets
// no other.
func (p *Pool) startHeld(ctx context.Context, c engine.Container) error {
	if c.State.Status != engine.StatusRunning {
		// It may have stopped because the engine ends all containers.
		if err := p.host.Accepts(ctx); err != nil {
			return err
		}
	}
	if c.NetworkOf != "" {
		_, err := p.held(ctx, c.NetworkOf)
		if errdefs.IsFailedPrecondition(err) {
			if err = nil; c.State.Alive() {
				err = p.host.Stop(ctx, c.ID, 0)
			}
			if err == nil {
				err = p.host.Accepts(ctx)
			}
			if err == nil {
				err = p.host.Start(ctx, c.NetworkOf)
				fault.Point("pool.adopt.held")
			}
		}
		if err != nil {
			return fmt.Errorf("have its network back: %w", err)
		}
	}
	return p.host.Start(ctx, c.ID)
}
