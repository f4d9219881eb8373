package images

import (
	"context"

	"github.com/containerd/errdefs"
	v1 "k8s.io/api/core/v1"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/sandbox"
)

// insidePulls are pulls by the engines of sandboxes.
type insidePulls struct {
	flights    *flights
	registries *registries
	observer   Observer
}

// pull has the sandbox's own engine pull an image.
func (i *insidePulls) pull(ctx context.Context, s *sandbox.Sandbox, want Want) (Image, error) {
	named, err := want.named()
	if err != nil {
		return Image{}, err
	}
	host := mirrored{s.Engine, i.registries.mirrors}
	inside, err := host.Image(ctx, named.String())
	if err == nil && want.Policy != v1.PullAlways || err != nil && !errdefs.IsNotFound(err) {
		return usable(inside, inside), invalidName(want, err)
	}
	asker := ctx
	if err := i.registries.sourced(ctx, named, want.Keys, func(g grant, from source) error {
		t := task{what: "pull", where: s.Name + from.mirrorName(), ref: named.String(), auth: g.auth}
		_, err := i.flights.share(ctx, t, want.Tell, func(ctx context.Context, f *flight) (string, error) {
			_, done := i.observer.Step(asker, StepPull, append([]string{"image", t.ref, "sandbox", s.Name}, from.words()...)...)
			err := from.explained(from.pull(ctx, host, g.auth, f.follow(ctx, t.ref)), true)
			done(err)
			return "", err
		})
		return err
	}); err != nil {
		if ctx.Err() != nil || errdefs.IsUnavailable(err) {
			return Image{}, err
		}
		return Image{}, &PullError{ReasonPull, err}
	}
	inside, err = host.Image(ctx, named.String())
	return usable(inside, inside), err
}
