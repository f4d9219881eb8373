package images

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/containerd/containerd/log"
	"github.com/containerd/errdefs"
	"github.com/distribution/reference"
	v1 "k8s.io/api/core/v1"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/engine"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/fault"
)

// pullingHost is what pulls need of the host's engine.
type pullingHost interface {
	Image(ctx context.Context, ref string) (engine.Image, error)
	Images(ctx context.Context) ([]engine.Image, error)
	sourcedEngine
}

// hostImages are the images on the host: they are found there, or pulled, if the pod that
// asks may use them.
type hostImages struct {
	host       pullingHost
	flights    *flights
	registries *registries
	record     *record
	verifier   *verifier
	observer   Observer
}

// get returns an image on the host, pulled first where its policy asks for that; see
// Provider.OnHost. It is a PullError if the image cannot be had.
func (h *hostImages) get(ctx context.Context, want Want) (engine.Image, error) {
	named, err := want.named()
	if err != nil {
		return engine.Image{}, err
	}
	if err := h.record.use(ctx, named.String()); err != nil {
		return engine.Image{}, err
	}
	image, err := h.host.Image(ctx, named.String())
	if err != nil && !errdefs.IsNotFound(err) {
		return image, invalidName(want, err)
	}
	absent := err != nil
	switch {
	case absent && want.Policy == v1.PullNever:
		return image, &PullError{ReasonNever, fmt.Errorf("image %s is not on this host and imagePullPolicy is Never", want.Ref)}
	case !absent && (want.Policy != v1.PullAlways || isDigest(named) || h.registries.isSilent(named)):
		return image, h.verifier.mayUse(ctx, named, want, image)
	}
	err = h.pull(ctx, named, want, image.ID)
	switch {
	case err == nil:
		if image, err = h.host.Image(ctx, named.String()); err != nil {
			return image, err
		}
		// Another pod's pull may have been ahead of ours.
		return image, h.verifier.mayUse(ctx, named, want, image)
	case !absent && ctx.Err() == nil && !errdefs.IsNotFound(err) && !errdefs.IsPermissionDenied(err):
		h.registries.setSilent(named)
		log.G(ctx).WithField("image", want.Ref).WithError(err).Warn("the registry could not be asked for a newer image, the host's is used")
		return image, h.verifier.mayUse(ctx, named, want, image)
	case ctx.Err() != nil || errdefs.IsUnavailable(err):
		return image, err
	}
	return image, &PullError{ReasonPull, err}
}

// isDigest says that a reference can only ever mean one image.
func isDigest(named reference.Named) bool {
	_, digested := named.(reference.Digested)
	return digested
}

// pull brings an image to the host, once for all pods that wait for it. had is the id
// of the one that the host has under that name, if any.
func (h *hostImages) pull(ctx context.Context, named reference.Named, want Want, had string) error {
	return h.registries.sourced(ctx, named, want.Keys, func(g grant, from source) error { return h.pullAs(ctx, g, from, want, had) })
}

// pullAs is pull with certain credentials from one place.
func (h *hostImages) pullAs(ctx context.Context, g grant, from source, want Want, had string) error {
	named, ref, asker := from.named, from.named.String(), ctx
	_, err := h.flights.share(ctx, task{what: "pull", where: from.mirrorName(), ref: ref, auth: g.auth, pod: g.pod}, want.Tell, func(ctx context.Context, f *flight) (string, error) {
		if had == "" {
			// It may have come between our look and this flight.
			if _, err := h.host.Image(ctx, ref); err == nil {
				return "", nil
			}
		}
		ended, err := h.verifier.intend(ctx, named, g)
		if err != nil {
			return "", err
		}
		began := time.Now()
		log.G(ctx).WithField("image", ref).Info("pulling image")
		came := h.recordPull(ctx, named, had)
		_, done := h.observer.Step(asker, StepPull, append([]string{"image", ref}, from.words()...)...)
		err = from.explained(from.pull(ctx, h.host, g.auth, f.follow(ctx, ref)), false)
		done(err)
		if err != nil {
			came("")
			if ctx.Err() == nil && !errdefs.IsUnavailable(err) {
				err = errors.Join(err, ended(engine.Image{})) // the registry has given nothing
			}
			return "", h.givenUp(ctx, ref, err)
		}
		if image, err := h.host.Image(ctx, ref); err == nil {
			came(image.ID)
			if err := ended(image); err != nil {
				return "", err
			}
			if image.ID != had {
				h.observer.Pulled(image.Size)
			}
		}
		fault.Point("images.pulled")
		log.G(ctx).WithField("image", ref).WithField("after", time.Since(began).Round(time.Millisecond)).Info("image pulled")
		return "", nil
	})
	return err
}

// givenUp explains the error of a pull that ran out of time, or was cancelled.
func (h *hostImages) givenUp(ctx context.Context, ref string, err error) error {
	switch {
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return fmt.Errorf("pull image %s: it was not complete after %s (ImagePullTimeout)", ref, h.flights.limit)
	case ctx.Err() != nil:
		log.G(ctx).WithField("image", ref).Info("the pull was given up, nobody waits for it any more")
	}
	return err
}

// recordPull notes a pull that begins; the function that it returns is called
// with the id of the image that came, "" for none. An image whose pull cannot be noted is
// never collected.
func (h *hostImages) recordPull(ctx context.Context, named reference.Named, had string) func(id string) {
	logger := log.G(ctx).WithField("image", named.String())
	if had != "" && !h.record.has(named.String()) {
		return func(string) {} // there before us
	}
	present, err := h.host.Images(ctx)
	var ended func(id string) error
	if err == nil {
		ended, err = h.record.begin(named, had, idsOf(present))
	}
	if err != nil {
		logger.WithError(err).Warn("the image will not be collected, its pull could not be recorded")
		return func(string) {}
	}
	return func(id string) {
		if err := ended(id); err != nil {
			logger.WithError(err).Warn("the end of a pull could not be recorded")
		}
	}
}
