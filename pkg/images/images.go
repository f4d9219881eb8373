// Package images makes the images of the host's engine usable in sandboxes.
package images

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/containerd/containerd/log"
	"github.com/containerd/errdefs"
	"github.com/distribution/reference"
	"golang.org/x/sync/singleflight"
	v1 "k8s.io/api/core/v1"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/engine"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/pool"
)

// Host is what is needed of the host's engine.
type Host interface {
	Image(ctx context.Context, ref string) (engine.Image, error)
	Pull(ctx context.Context, ref, auth string) error
	CopyImage(ctx context.Context, to *engine.Client, ref string) (string, error)
}

// Image that a sandbox can run.
type Image struct {
	// ID in the sandbox's engine; containers are made from it, so that a tag
	// that moves meanwhile changes nothing.
	ID string
	// Digest is the registry's name for it, if it came from one.
	Digest string
	// User that the image runs as, "" for root.
	User string
}

// Name for a container status.
func (i Image) Name() string {
	if i.Digest != "" {
		return "docker-pullable://" + i.Digest
	}
	return "docker://" + i.ID
}

// Reasons of a PullError, as kubelet writes them.
const (
	ReasonPull    = "ErrImagePull"
	ReasonInvalid = "InvalidImageName"
	ReasonNever   = "ErrImageNeverPull"
)

// PullError says why an image is not there. Trying again may help.
type PullError struct {
	Reason string
	Err    error
}

func (e *PullError) Error() string { return e.Err.Error() }
func (e *PullError) Unwrap() error { return e.Err }

// Provider brings images into sandboxes. Work that several pods wait for is
// done once.
type Provider struct {
	host    Host
	timeout time.Duration
	sharing bool
	flights singleflight.Group
	life    context.Context
	end     context.CancelFunc

	mu     sync.Mutex
	closed bool
	work   sync.WaitGroup
}

// New makes a Provider; timeout bounds one pull, 0 means no bound.
func New(host Host, timeout time.Duration) *Provider {
	life, end := context.WithCancel(context.Background())
	return &Provider{host: host, timeout: timeout, life: life, end: end}
}

// Share says that sandboxes share the layers of the host; call it before Ensure.
func (p *Provider) Share(on bool) { p.sharing = on }

// Close ends what is under way.
func (p *Provider) Close() {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	p.end()
	p.work.Wait()
}

// begin counts a piece of work that Close waits for, unless it has been called.
func (p *Provider) begin() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.closed {
		p.work.Add(1)
	}
	return !p.closed
}

// Presence of an image.
type Presence int

// What Find may find.
const (
	// Absent from the host, or in need of a copy: Ensure brings it.
	Absent Presence = iota
	// Ready to run in the sandbox.
	Ready
	// Newer than the sandbox: one booted now would share it, this one needs a copy.
	Newer
)

// Find looks for an image without bringing it anywhere.
func (p *Provider) Find(ctx context.Context, s *pool.Sandbox, ref string) (Image, Presence, error) {
	named, err := reference.ParseDockerRef(ref)
	if err != nil {
		return Image{}, Absent, nil // Ensure says what is wrong with it
	}
	onHost, err := p.host.Image(ctx, named.String())
	if errdefs.IsNotFound(err) {
		return Image{}, Absent, nil
	}
	if err != nil {
		return Image{}, Absent, err
	}
	inside, err := s.Engine.Image(ctx, onHost.ID)
	switch {
	case errdefs.IsNotFound(err) && p.sharing:
		return Image{}, Newer, nil
	case errdefs.IsNotFound(err):
		return Image{}, Absent, nil
	case err != nil:
		return Image{}, Absent, err
	}
	return usable(inside, onHost), Ready, nil
}

// usable describes an image of the host as its sandbox runs it.
func usable(inside, onHost engine.Image) Image {
	out := Image{ID: inside.ID, User: onHost.User}
	if len(onHost.Digests) > 0 {
		out.Digest = onHost.Digests[0]
	}
	return out
}

// Ensure makes the image that ref names on the host usable in the sandbox: at
// once if the sandbox shares the host's layers, else by a transfer. What the
// host does not have is pulled there first.
func (p *Provider) Ensure(ctx context.Context, s *pool.Sandbox, ref string, policy v1.PullPolicy) (Image, error) {
	named, err := reference.ParseDockerRef(ref)
	if err != nil {
		return Image{}, &PullError{ReasonInvalid, fmt.Errorf("image %q: %w", ref, err)}
	}
	onHost, err := p.host.Image(ctx, named.String())
	if errdefs.IsNotFound(err) {
		// A container that restarts must not depend on an image that the host has
		// dropped since.
		if onHost, err = s.Engine.Image(ctx, named.String()); errdefs.IsNotFound(err) {
			onHost, err = p.onHost(ctx, named.String(), policy)
		}
	}
	if err != nil {
		return Image{}, err
	}
	inside, err := s.Engine.Image(ctx, onHost.ID)
	if errdefs.IsNotFound(err) {
		inside, err = p.transfer(ctx, s, named.String())
	}
	if err != nil {
		return Image{}, err
	}
	return usable(inside, onHost), nil
}

func (p *Provider) onHost(ctx context.Context, ref string, policy v1.PullPolicy) (engine.Image, error) {
	image, err := p.host.Image(ctx, ref)
	if !errdefs.IsNotFound(err) {
		return image, err
	}
	if policy == v1.PullNever {
		return image, &PullError{ReasonNever, fmt.Errorf("image %s is not on this host and imagePullPolicy is Never", ref)}
	}
	if err := p.shared(ctx, "pull "+ref, func(ctx context.Context) error {
		log.G(ctx).WithField("image", ref).Info("pulling image")
		return p.host.Pull(ctx, ref, "")
	}); err != nil {
		if ctx.Err() != nil || errdefs.IsUnavailable(err) {
			return image, err
		}
		return image, &PullError{ReasonPull, err}
	}
	return p.host.Image(ctx, ref)
}

// Fetch brings an image to the host's engine if it is not there.
func (p *Provider) Fetch(ctx context.Context, ref string) error {
	named, err := reference.ParseDockerRef(ref)
	if err != nil {
		return fmt.Errorf("image %q: %w: %w", ref, errdefs.ErrInvalidArgument, err)
	}
	_, err = p.onHost(ctx, named.String(), v1.PullIfNotPresent)
	return err
}

func (p *Provider) transfer(ctx context.Context, s *pool.Sandbox, ref string) (engine.Image, error) {
	log.G(ctx).WithField("image", ref).Info("copying image into the sandbox")
	var id string
	err := p.shared(ctx, "copy "+s.Name+" "+ref, func(ctx context.Context) (err error) {
		id, err = p.host.CopyImage(ctx, s.Engine, ref)
		return err
	})
	if err != nil && ctx.Err() == nil && !errdefs.IsUnavailable(err) {
		err = &PullError{ReasonPull, err}
	}
	if err != nil {
		return engine.Image{}, fmt.Errorf("copy image %s into the sandbox: %w", ref, err)
	}
	if id == "" { // another waiter's flight brought it
		return s.Engine.Image(ctx, ref)
	}
	return s.Engine.Image(ctx, id)
}

// shared does work once for all who ask for the same at a time. The work does
// not end when one of them stops waiting.
func (p *Provider) shared(ctx context.Context, key string, do func(context.Context) error) error {
	done := p.flights.DoChan(key, func() (any, error) {
		if !p.begin() {
			return nil, context.Canceled
		}
		defer p.work.Done()
		work := log.WithLogger(p.life, log.G(ctx))
		if p.timeout > 0 {
			var cancel context.CancelFunc
			work, cancel = context.WithTimeout(work, p.timeout)
			defer cancel()
		}
		return nil, do(work)
	})
	select {
	case <-ctx.Done():
		return ctx.Err()
	case result := <-done:
		return result.Err
	}
}
