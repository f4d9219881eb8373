package images

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/containerd/containerd/log"
	"github.com/containerd/errdefs"
	v1 "k8s.io/api/core/v1"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/engine"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/sandbox"
)

// Library holds images of a host whose own layers cannot be shared, in a layout
// that can be. Images are named by their id on the host.
type Library interface {
	Has(ctx context.Context, hostID string) (bool, error)
	// Load has copyTo copy the image there unless it is there.
	Load(ctx context.Context, hostID string, copyTo func(context.Context, *engine.Client) (string, error)) error
	// List returns the images' ids in the library by their ids on the host.
	List(ctx context.Context) (map[string]string, error)
	Drop(ctx context.Context, hostID string) error
}

// OnHost returns the image on the host, pulled first where its policy asks for
// that (imagePullPolicy of Kubernetes). With Always, an image that the host has
// is used when its registry cannot be asked: offline hosts run what they hold. A
// registry that says no is obeyed.
// Where there is a library it has the image then.
func (p *Provider) OnHost(ctx context.Context, want Want) (engine.Image, error) {
	image, err := p.onHost(ctx, want)
	if err != nil || p.config.Library == nil {
		return image, err
	}
	if err := p.shelve(ctx, image.ID, want.Ref); err != nil {
		if ctx.Err() != nil {
			return image, err
		}
		log.G(ctx).WithField("image", want.Ref).WithError(err).
			Warn("image could not be imported to be shared, sandboxes that need it get a copy each")
	}
	return image, nil
}

// shelve brings an image of the host to the library, once for all who ask.
func (p *Provider) shelve(ctx context.Context, hostID, ref string) error {
	if has, err := p.config.Library.Has(ctx, hostID); err == nil && has {
		return nil
	}
	_, err := p.shared(ctx, task{what: "import", ref: hostID}, nil, func(ctx context.Context, _ *flight) (string, error) {
		var began time.Time
		err := p.config.Library.Load(ctx, hostID, func(ctx context.Context, to *engine.Client) (string, error) {
			began = time.Now()
			log.G(ctx).WithField("image", ref).Info("importing image, once for all sandboxes")
			return p.host.CopyImage(ctx, to, hostID)
		})
		if err != nil || began.IsZero() {
			return "", err // it may have been there, in an engine that had to be started
		}
		log.G(ctx).WithField("image", ref).WithField("after", time.Since(began).Round(time.Millisecond)).Info("image imported")
		p.config.LibraryChanged()
		return "", nil
	})
	if err != nil {
		return fmt.Errorf("import image %s: %w", ref, err)
	}
	return nil
}

// tendPeriod is how often the library is compared with the host.
const tendPeriod = 10 * time.Minute

// tend keeps the sandboxes' own image in the library, and lets go of what the
// host has dropped and no pod holds.
func (p *Provider) tend(ctx context.Context) error {
	own, err := p.onHost(ctx, Want{Ref: p.config.SandboxImage, Policy: v1.PullIfNotPresent, own: true})
	if err == nil {
		err = p.shelve(ctx, own.ID, p.config.SandboxImage)
	}
	problems := []error{err}
	there, err := p.config.Library.List(ctx)
	problems = append(problems, err)
	gone := 0
	for _, hostID := range slices.Sorted(maps.Keys(there)) {
		_, err := p.host.Image(ctx, hostID)
		if err != nil && !errdefs.IsNotFound(err) {
			problems = append(problems, err)
		}
		if !errdefs.IsNotFound(err) || !p.release(hostID, there[hostID]) {
			continue
		}
		log.G(ctx).WithField("image", hostID).Info("removing an imported image that the host has dropped")
		problems = append(problems, p.config.Library.Drop(ctx, hostID))
		gone++
	}
	if gone > 0 {
		p.config.LibraryChanged()
	}
	return errors.Join(problems...)
}

// release notes that an image leaves the library, unless a pod holds it under
// either of its ids.
func (p *Provider) release(ids ...string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, held := range p.holds {
		for _, id := range ids {
			if held[id] {
				return false
			}
		}
	}
	p.dropped[ids[0]] = time.Now()
	return true
}

// outlived says that a sandbox was booted before the image left the library: its
// layers are not behind what the sandbox's engine lists.
func (p *Provider) outlived(s *sandbox.Sandbox, hostID string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return s.Booted.Before(p.dropped[hostID])
}
