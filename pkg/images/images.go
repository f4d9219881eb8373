// Package images makes the images of the host's engine usable in sandboxes.
package images

import (
	"context"
	"fmt"
	"time"

	"github.com/containerd/containerd/log"
	"github.com/containerd/errdefs"
	v1 "k8s.io/api/core/v1"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/engine"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/mirrors"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/retry"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/sandbox"
)

// Config of a Provider.
type Config struct {
	// Instance names this docker-sd.
	Instance string
	// Timeout bounds one pull; 0 means no bound.
	Timeout time.Duration
	// DockerConfig is the folder of Docker's config.json with docker-sd's own
	// registry credentials, "" for none.
	DockerConfig string
	// Observer is told of pulls and copies; it may be nil.
	Observer Observer
	// Record is the file that lists the images that were pulled, Access the one that lists
	// the pods' access to them; "" for none.
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
	// Registries that have mirrors.
	Registries mirrors.Registries
	// PullInside has every sandbox pull for itself (ImageSharing pull); the host's images
	// are not used then.
	PullInside bool
}

// Host is what the parts of a Provider need of the host's engine.
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
	ResolveImage(ctx context.Context, ref string, auth engine.Credentials) (digest string, err error)
	TagImage(ctx context.Context, id, name string) error
}

// Provider brings images into sandboxes. Its parts are the images on the host, those in
// sandboxes, the pins of pods and what is collected; New puts them together.
type Provider struct {
	flights   *flights
	host      *hostImages
	verifier  *verifier
	sandboxes *sandboxImages
	collector *collector
	pins      *pins
	holders   *holders
	// library is nil without one.
	library *imports
	// shared says that sandboxes share layers.
	shared bool
	// inside, unless nil, is used in place of the host's images.
	inside *insidePulls
}

// New makes a Provider. A record that cannot be read is logged, and begun anew.
func New(config Config, host Host) *Provider {
	if config.Observer == nil {
		config.Observer = unobserved{}
	}
	if config.Verification == "" {
		config.Verification = NeverVerify
	}
	record, err := openRecord(config.Record)
	if err != nil {
		log.L.WithError(err).Warn("starting a new record")
	}
	access, err := openAccesses(config.Access)
	if err != nil {
		log.L.WithError(err).Error("starting a new record of who may use images")
	}
	registries, flights, pins := newRegistries(config.DockerConfig), newFlights(config.Timeout), newPins()
	registries.mirrors, registries.observer = config.Registries, config.Observer
	host = mirrored{host, config.Registries}
	verifier := &verifier{policy: config.Verification, access: access, registries: registries, host: host, limit: config.Timeout}
	onHost := &hostImages{host: host, flights: flights, registries: registries, record: record, verifier: verifier, observer: config.Observer}
	p := &Provider{flights: flights, host: onHost, verifier: verifier, collector: newCollector(host, record, pins, flights), pins: pins,
		holders: &holders{instance: config.Instance, host: host, pins: pins}, shared: config.Shared}
	if config.Library != nil {
		snapshots, _ := config.Library.(Snapshots)
		p.library = &imports{library: config.Library, snapshots: snapshots, host: host, onHost: onHost, flights: flights, pins: pins,
			sandboxImage: config.SandboxImage, changed: config.LibraryChanged, tending: retry.New(tendAgain, tendAgain), dropped: map[string]time.Time{}}
	}
	if config.PullInside {
		p.inside = &insidePulls{flights: flights, registries: registries, observer: config.Observer}
	}
	p.sandboxes = &sandboxImages{host: host, images: onHost, flights: flights, verifier: verifier, observer: config.Observer,
		shared: config.Shared, library: p.library}
	return p
}

// Close ends what is under way and waits for it.
func (p *Provider) Close() { p.flights.close() }

// OnHost returns the image on the host, pulled first where its policy asks for
// that (imagePullPolicy of Kubernetes). With Always, an image that the host has
// is used when its registry cannot be asked: offline hosts run what they hold. A
// registry that says no is obeyed. Where there is a library it has the image then.
// An image that cannot be had, or that the pod may not use, is a PullError.
func (p *Provider) OnHost(ctx context.Context, want Want) (engine.Image, error) {
	if p.inside != nil {
		_, err := want.named()
		return engine.Image{}, err
	}
	return p.sandboxes.onHost(ctx, want)
}

// Find looks for an image of the host in a sandbox, without bringing it there.
func (p *Provider) Find(ctx context.Context, s *sandbox.Sandbox, onHost engine.Image) (Image, Presence, error) {
	if p.inside != nil {
		return Image{}, Absent, nil
	}
	return p.sandboxes.find(ctx, s, onHost)
}

// Ensure makes an image usable in a sandbox, by a transfer if need be. A
// container that restarts does not depend on an image that the host has dropped.
// An image that cannot be had, or that the pod may not use, is a PullError.
func (p *Provider) Ensure(ctx context.Context, s *sandbox.Sandbox, want Want) (Image, error) {
	if p.inside != nil {
		return p.inside.pull(ctx, s, want)
	}
	return p.sandboxes.ensure(ctx, s, want)
}

// Fetch brings an image to the host's engine if it is not there. A name that is none is
// ErrInvalidArgument.
func (p *Provider) Fetch(ctx context.Context, ref string) error {
	want := Want{Ref: ref, Policy: v1.PullIfNotPresent, own: true}
	if _, err := want.named(); err != nil {
		return fmt.Errorf("%w: %w", err, errdefs.ErrInvalidArgument)
	}
	if p.inside != nil {
		return nil
	}
	_, err := p.host.get(ctx, want)
	return err
}

// Hold keeps an image of the host for a pod until Drop. It returns at once; the
// keeping is done by Run, a moment later.
func (p *Provider) Hold(podUID, hostID string) {
	if p.shared {
		p.pins.pin(podUID, hostID)
	}
}

// Drop lets go of all images of a pod.
func (p *Provider) Drop(podUID string) { p.pins.unpin(podUID) }

// Collect removes images until ctx ends.
func (p *Provider) Collect(ctx context.Context, c Collection) { p.collector.run(ctx, c) }

// Reclaim has a Collect that runs remove every unused image, but for those
// used within the minimum age, however full the disk is. It returns when that is done.
func (p *Provider) Reclaim(ctx context.Context) error { return p.collector.reclaim(ctx) }

// Run keeps the images that pods hold on the host until ctx ends. It is started when the pods
// of an earlier run have called Hold.
func (p *Provider) Run(ctx context.Context) {
	tries := retry.New(time.Second, time.Minute)
	if err := p.verifier.compare(ctx); err != nil && ctx.Err() == nil {
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
		changed, tick := p.due()
		select {
		case <-ctx.Done():
			return
		case <-changed:
		case <-tick:
		}
	}
}

// keep has the host hold the images that pods share, or tends the library that they share.
func (p *Provider) keep(ctx context.Context) error {
	if p.library != nil {
		return p.library.keep(ctx)
	}
	return p.holders.reconcile(ctx)
}

// due are when keep is called again: after pins have changed, or from time to time.
func (p *Provider) due() (changed <-chan struct{}, tick <-chan time.Time) {
	switch {
	case p.library == nil:
		return p.pins.changed, nil
	case p.library.snapshots == nil:
		return nil, time.After(tendPeriod)
	}
	return p.pins.changed, time.After(time.Until(p.library.tendAfter))
}

// ShowAll has new sandboxes see all images that are on the host now, where that takes no
// import but is not so by itself. It calls LibraryChanged if there were others before.
func (p *Provider) ShowAll(ctx context.Context) error {
	if p.library == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, showLimit)
	defer cancel()
	return p.library.showAll(ctx)
}

// showLimit bounds how long the pool waits for the images of the host to be shown; Run goes
// on with the others.
const showLimit = 30 * time.Second

// Arrived is called after images have come to the host.
func (p *Provider) Arrived(ctx context.Context, refresh func()) {
	if p.library == nil || p.library.snapshots == nil {
		refresh()
		return
	}
	if err := p.library.showAll(ctx); err != nil && ctx.Err() == nil {
		log.G(ctx).WithError(err).Warn("the host's new images could not be looked through, pods that ask for one show it")
	}
}
