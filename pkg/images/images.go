// Package images makes the images of the host's engine usable in sandboxes.
package images

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/containerd/containerd/log"
	"github.com/containerd/errdefs"
	"github.com/distribution/reference"
	v1 "k8s.io/api/core/v1"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/engine"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/fault"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/pool"
)

// Host is what is needed of the host's engine.
type Host interface {
	Image(ctx context.Context, ref string) (engine.Image, error)
	Pull(ctx context.Context, ref string, auth engine.Credentials, report func(engine.PullProgress)) error
	CopyImage(ctx context.Context, to *engine.Client, ref string) (string, error)
	List(ctx context.Context, labels ...string) ([]engine.Container, error)
	Create(ctx context.Context, spec engine.Spec) (string, error)
	Remove(ctx context.Context, id string) error
	Images(ctx context.Context) ([]engine.Image, error)
	RemoveImage(ctx context.Context, ref string) error
	ConfirmImage(ctx context.Context, ref string, auth engine.Credentials) error
}

// Image that a sandbox can run.
type Image struct {
	// ID in the sandbox's engine; containers are made from it, so that a tag
	// that moves meanwhile changes nothing.
	ID string
	// HostID is its id in the host's engine.
	HostID string
	// Digest is the registry's name for it, if it came from one.
	Digest string
	// User that the image runs as, "" for root.
	User string
	// Env of the image.
	Env []string
}

// Name for a container status.
func (i Image) Name() string {
	if i.Digest != "" {
		return "docker-pullable://" + i.Digest
	}
	return "docker://" + i.ID
}

// Want is an image as a container asks for it.
type Want struct {
	Ref    string
	Policy v1.PullPolicy
	// Keys are the registry credentials that came with the pod; they are tried
	// before docker-sd's own.
	Keys Keyring
	// own says that it is docker-sd that needs the image, not a pod.
	own bool
	// Tell, unless nil, is told in a sentence how far a pull is, once a second at
	// most; it must not block.
	Tell func(message string)
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

// Error is the engine's or the registry's sentence; the reason is not in it.
func (e *PullError) Error() string { return e.Err.Error() }

// Unwrap gives the cause.
func (e *PullError) Unwrap() error { return e.Err }

// Config of a Provider.
type Config struct {
	// Instance names this docker-sd.
	Instance string
	// Timeout bounds one pull; 0 means no bound.
	Timeout time.Duration
	// DockerConfig is the folder of Docker's config.json with docker-sd's own
	// registry credentials, "" for none.
	DockerConfig string
	// Observer is told of pulls and copies; nil means nobody is.
	Observer Observer
	// Record is the file that keeps what was pulled, Access the one that keeps who may
	// use it; "" for none.
	Record, Access string
	// Verification says which images a pod needs credentials for, "" that none is.
	Verification Verification
	// Shared says that sandboxes share the layers of the host, or of Library.
	Shared bool
	// Library, unless nil, has the layers that sandboxes share in place of the host's
	// own. SandboxImage is brought there too, because pods use it, and LibraryChanged is
	// called when an image has come to it or gone.
	Library        Library
	SandboxImage   string
	LibraryChanged func()
	// PullInside has every sandbox pull for itself (ImageSharing pull); the host's images
	// are not used then.
	PullInside bool
}

// Observer is told what images cost. Its methods must not block.
type Observer interface {
	// Step begins what takes time; the function that it returns is called once, with
	// how that ended. of are names and values of what it is about.
	Step(ctx context.Context, step string, of ...string) (context.Context, func(error))
	// Pulled is told the unpacked size of an image that is new on the host.
	Pulled(bytes int64)
}

// What takes time.
const (
	StepPull = "pull"
	StepCopy = "copy image"
)

// unobserved is an Observer that nobody listens to.
type unobserved struct{}

// Pulled does nothing.
func (unobserved) Pulled(int64) {}

// Step does nothing.
func (unobserved) Step(ctx context.Context, _ string, _ ...string) (context.Context, func(error)) {
	return ctx, func(error) {}
}

// Provider brings images into sandboxes. Work that several pods wait for is
// done once.
type Provider struct {
	config Config
	host   Host
	life   context.Context
	end    context.CancelFunc

	mu     sync.Mutex
	closed bool
	work   sync.WaitGroup
	// flights are the pulls and copies under way.
	flights map[task]*flight
	// silent are registries that did not answer, until when they are not asked
	// again for an image that the host has.
	silent map[string]time.Time
	// holds are the host's images in use, by pod.
	holds map[string]map[string]bool
	// record of what was pulled, with a mutex of its own.
	record *record
	// access is who may use images that came with credentials, with a mutex of its own.
	access *accesses
	wake   chan struct{}
	// reclaims ask the collection under way for a round that removes all it may.
	reclaims chan chan error
	// dropped is when images left the library.
	dropped map[string]time.Time
}

// New makes a Provider.
func New(config Config, host Host) *Provider {
	if config.Observer == nil {
		config.Observer = unobserved{}
	}
	life, end := context.WithCancel(context.Background())
	if config.Verification == "" {
		config.Verification = NeverVerify
	}
	record, err := openRecord(config.Record)
	if err != nil {
		log.G(life).WithError(err).Warn("starting a new record")
	}
	access, err := openAccesses(config.Access)
	if err != nil {
		log.G(life).WithError(err).Error("starting a new record of who may use images")
	}
	return &Provider{config: config, host: host, life: life, end: end, flights: map[task]*flight{}, silent: map[string]time.Time{},
		holds: map[string]map[string]bool{}, record: record, access: access, dropped: map[string]time.Time{}, wake: make(chan struct{}, 1),
		reclaims: make(chan chan error)}
}

// Close ends what is under way and waits for it.
func (p *Provider) Close() {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	p.end()
	p.work.Wait()
}

// onHost is OnHost without a library.
func (p *Provider) onHost(ctx context.Context, want Want) (engine.Image, error) {
	named, err := reference.ParseDockerRef(want.Ref)
	if err != nil {
		return engine.Image{}, &PullError{ReasonInvalid, fmt.Errorf("image %q: %w", want.Ref, err)}
	}
	if p.config.PullInside {
		return engine.Image{}, nil
	}
	if err := p.use(ctx, named.String()); err != nil {
		return engine.Image{}, err
	}
	image, err := p.host.Image(ctx, named.String())
	if err != nil && !errdefs.IsNotFound(err) {
		return image, invalidName(want, err)
	}
	absent := err != nil
	switch {
	case absent && want.Policy == v1.PullNever:
		return image, &PullError{ReasonNever, fmt.Errorf("image %s is not on this host and imagePullPolicy is Never", want.Ref)}
	case !absent && (want.Policy != v1.PullAlways || pinned(named) || p.isSilent(named)):
		return image, p.mayUse(ctx, named, want, image)
	}
	err = p.pull(ctx, named, want, image.ID)
	switch {
	case err == nil:
		if image, err = p.host.Image(ctx, named.String()); err != nil {
			return image, err
		}
		// Another pod's pull may have been ahead of ours.
		return image, p.mayUse(ctx, named, want, image)
	case !absent && ctx.Err() == nil && !errdefs.IsNotFound(err) && !errdefs.IsPermissionDenied(err):
		p.setSilent(named)
		log.G(ctx).WithField("image", want.Ref).WithError(err).Warn("the registry could not be asked for a newer image, the host's is used")
		return image, p.mayUse(ctx, named, want, image)
	case ctx.Err() != nil || errdefs.IsUnavailable(err):
		return image, err
	}
	return image, &PullError{ReasonPull, err}
}

// pinned says that a reference can only ever mean one image.
func pinned(named reference.Named) bool {
	_, digested := named.(reference.Digested)
	return digested
}

// Presence of an image.
type Presence int

// What Find may find.
const (
	// Absent from the sandbox, in need of a copy.
	Absent Presence = iota
	// Ready to run in the sandbox.
	Ready
	// Newer than the sandbox: one booted now would share it, this one needs a copy.
	Newer
)

// Find looks for an image of the host in a sandbox, without bringing it there.
func (p *Provider) Find(ctx context.Context, s *pool.Sandbox, onHost engine.Image) (Image, Presence, error) {
	if p.config.PullInside {
		return Image{}, Absent, nil
	}
	inside, err := p.find(ctx, s, onHost.ID)
	switch {
	case errdefs.IsNotFound(err) && p.config.Shared:
		return Image{}, Newer, nil
	case errdefs.IsNotFound(err):
		return Image{}, Absent, nil
	case err != nil:
		return Image{}, Absent, err
	case p.config.Shared && p.config.Library == nil && !slices.Equal(inside.Layers, onHost.Layers):
		// Removed from the host and fetched again: what the sandbox shares is gone.
		return Image{}, Newer, nil
	}
	return usable(inside, onHost), Ready, nil
}

// find looks for an image under its id on the host, or the name that it has where
// it was imported or copied.
func (p *Provider) find(ctx context.Context, s *pool.Sandbox, hostID string) (engine.Image, error) {
	if p.config.Library != nil {
		if p.outlived(s, hostID) {
			return engine.Image{}, errdefs.ErrNotFound
		}
		return s.Engine.Image(ctx, pool.StoredName(hostID))
	}
	inside, err := s.Engine.Image(ctx, hostID)
	if errdefs.IsNotFound(err) && !p.config.Shared {
		inside, err = s.Engine.Image(ctx, pool.StoredName(hostID))
	}
	return inside, err
}

// usable describes an image of the host as its sandbox runs it.
func usable(inside, onHost engine.Image) Image {
	out := Image{ID: inside.ID, HostID: onHost.ID, User: onHost.User, Env: onHost.Env}
	if len(onHost.Digests) > 0 {
		out.Digest = onHost.Digests[0]
	}
	return out
}

// Ensure makes an image usable in a sandbox, by a transfer if need be. A
// container that restarts does not depend on an image that the host has dropped.
func (p *Provider) Ensure(ctx context.Context, s *pool.Sandbox, want Want) (Image, error) {
	if p.config.PullInside {
		return p.pullInside(ctx, s, want)
	}
	onHost, err := p.OnHost(ctx, want)
	if err != nil {
		// What the sandbox shares of the host may be another pod's.
		if inside, insideErr := s.Engine.Image(ctx, want.Ref); insideErr == nil && want.Policy != v1.PullAlways && p.mayKeep(ctx, want, inside) {
			return usable(inside, inside), nil
		}
		return Image{}, err
	}
	found, presence, err := p.Find(ctx, s, onHost)
	if err != nil || presence == Ready {
		return found, err
	}
	if presence == Newer && p.config.Library == nil {
		if kept, err := clearStale(ctx, s, onHost.ID); err != nil || kept.ID != "" {
			return usable(kept, onHost), err
		}
	}
	inside, err := p.transfer(ctx, s, want, onHost.ID)
	if err != nil {
		return Image{}, err
	}
	return usable(inside, onHost), nil
}

// clearStale removes what a sandbox knows of an image whose shared layers are not
// the host's any more, since a copy would build on them. An image that one of the
// sandbox's containers was made from is whole, a copy or held, and is returned.
func clearStale(ctx context.Context, s *pool.Sandbox, id string) (engine.Image, error) {
	stale, err := s.Engine.Image(ctx, id)
	if errdefs.IsNotFound(err) {
		return engine.Image{}, nil
	}
	if err != nil {
		return engine.Image{}, err
	}
	for _, name := range append(append(slices.Clone(stale.Tags), stale.Digests...), id) {
		err := s.Engine.RemoveImage(ctx, name)
		if errdefs.IsConflict(err) {
			return stale, nil
		}
		if err != nil {
			return engine.Image{}, err
		}
	}
	return engine.Image{}, nil
}

// transfer copies an image of the host into a sandbox, once for all who ask, and returns it as
// the sandbox's engine knows it. A copy that fails is a PullError, unless ctx has ended or an
// engine is away.
func (p *Provider) transfer(ctx context.Context, s *pool.Sandbox, want Want, hostID string) (engine.Image, error) {
	ref := want.Ref
	if want.Tell != nil {
		want.Tell("copying image " + ref + " into the sandbox")
	}
	log.G(ctx).WithField("image", ref).Info("copying image into the sandbox")
	asker := ctx
	t := task{what: "copy", where: s.Name, ref: ref}
	id, err := p.shared(ctx, t, nil, func(ctx context.Context, _ *flight) (string, error) {
		_, done := p.config.Observer.Step(asker, StepCopy, "image", ref, "sandbox", s.Name)
		id, err := p.host.CopyImage(ctx, s.Engine, ref)
		if err == nil && id != hostID {
			// Another kind of store has another id for it, and it is asked for again.
			err = s.Engine.TagImage(ctx, id, pool.StoredName(hostID))
		}
		done(err)
		return id, err
	})
	if err != nil && ctx.Err() == nil && !errdefs.IsUnavailable(err) {
		err = &PullError{ReasonPull, err}
	}
	if err != nil {
		return engine.Image{}, fmt.Errorf("copy image %s into the sandbox: %w", ref, err)
	}
	fault.Point("images.copied")
	return s.Engine.Image(ctx, id)
}
