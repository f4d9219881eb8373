package images

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/containerd/containerd/log"
	"github.com/containerd/errdefs"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/engine"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/fault"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/retry"
)

// An image whose layers a sandbox shares must stay on the host while a pod runs
// on it, whatever people remove or prune there. A container that was made from
// it and never started keeps an engine from dropping its layers.

// Hold keeps an image of the host for a pod until Drop. It returns at once; the
// keeping is done by Run, a moment later.
func (p *Provider) Hold(podUID, hostID string) {
	if !p.config.Shared {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.holds[podUID] == nil {
		p.holds[podUID] = map[string]bool{}
	}
	if !p.holds[podUID][hostID] {
		p.holds[podUID][hostID] = true
		if p.config.Library == nil {
			p.signal()
		}
	}
}

// Drop lets go of all images of a pod.
func (p *Provider) Drop(podUID string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, held := p.holds[podUID]; held {
		delete(p.holds, podUID)
		if p.config.Library == nil {
			p.signal()
		}
	}
}

func (p *Provider) signal() {
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// Run makes the host hold what pods hold until ctx ends. Start it when the pods
// of an earlier run have said what they hold.
func (p *Provider) Run(ctx context.Context) {
	tries := retry.New(time.Second, time.Minute)
	if err := p.compareAccess(ctx); err != nil && ctx.Err() == nil {
		log.G(ctx).WithError(err).Warn("the record of who may use images could not be compared with the host's")
	}
	for {
		if err := p.keep(ctx); err != nil {
			if tries.Failed(ctx, "images could not be held or imported, trying again", err) != nil {
				return
			}
			continue
		}
		tries.Succeeded(ctx, "images are held and imported again")
		select {
		case <-ctx.Done():
			return
		case <-p.wake:
		case <-p.next():
		}
	}
}

// keep holds on the host what pods share of it, or tends the library that they
// share.
func (p *Provider) keep(ctx context.Context) error {
	if p.config.Library != nil {
		return p.tend(ctx)
	}
	return p.reconcile(ctx)
}

// next is when keep is due without an occasion; holds have no need of that.
func (p *Provider) next() <-chan time.Time {
	if p.config.Library == nil {
		return nil
	}
	return time.After(tendPeriod)
}

// holdName of the container that holds an image.
func (p *Provider) holdName(hostID string) string {
	_, digest, _ := strings.Cut(hostID, ":")
	return fmt.Sprintf("%s-hold-%s", p.config.Instance, digest[:min(len(digest), 12)])
}

// reconcile makes the containers that hold images those that are wanted, and removes others
// of this instance. It goes on after a failure and returns all of them.
func (p *Provider) reconcile(ctx context.Context) error {
	wanted := map[string]string{}
	p.mu.Lock()
	for _, images := range p.holds {
		for id := range images {
			wanted[p.holdName(id)] = id
		}
	}
	p.mu.Unlock()
	present, err := p.host.List(ctx, engine.LabelInstance+"="+p.config.Instance, engine.LabelHold)
	if err != nil {
		return fmt.Errorf("list held images: %w", err)
	}
	var problems []error
	for _, c := range present {
		if _, keep := wanted[c.Name]; keep {
			delete(wanted, c.Name)
			continue
		}
		problems = append(problems, p.host.Remove(ctx, c.ID))
		fault.Point("images.hold.removed")
	}
	for name, id := range wanted {
		_, err := p.host.Create(ctx, engine.Spec{Name: name, Image: id, Network: "none", Entrypoint: []string{"hold"},
			Labels: map[string]string{engine.LabelInstance: p.config.Instance, engine.LabelHold: id}})
		// Gone already: nothing is left to hold, the sandbox has what it needs open.
		if err != nil && !errdefs.IsNotFound(err) && !errdefs.IsConflict(err) {
			problems = append(problems, err)
		}
		fault.Point("images.hold.made")
	}
	return errors.Join(problems...)
}
