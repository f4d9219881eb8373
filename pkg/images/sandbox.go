package images

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/containerd/containerd/log"
	"github.com/containerd/errdefs"
	v1 "k8s.io/api/core/v1"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/engine"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/fault"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/sandbox"
)

// copyingHost is what copies need of the host's engine.
type copyingHost interface {
	CopyImage(ctx context.Context, to *engine.Client, ref string) (string, error)
}

// sandboxImages brings images of the host into sandboxes.
type sandboxImages struct {
	host     copyingHost
	images   *hostImages
	flights  *flights
	verifier *verifier
	observer Observer
	// shared says that sandboxes share the layers of the host or, unless it is nil, of the
	// library.
	shared  bool
	library *imports
}

// onHost is Provider.OnHost.
func (i *sandboxImages) onHost(ctx context.Context, want Want) (engine.Image, error) {
	image, err := i.images.get(ctx, want)
	if err != nil || i.library == nil {
		return image, err
	}
	if err := i.library.shelve(ctx, image.ID, want.Ref); err != nil {
		if ctx.Err() != nil {
			return image, err
		}
		log.G(ctx).WithField("image", want.Ref).WithError(err).
			Warn("image could not be imported to be shared, sandboxes that need it get a copy each")
	}
	return image, nil
}

// find is Provider.Find.
func (i *sandboxImages) find(ctx context.Context, s *sandbox.Sandbox, onHost engine.Image) (Image, Presence, error) {
	inside, err := i.lookup(ctx, s, onHost.ID)
	switch {
	case errdefs.IsNotFound(err) && i.shared:
		return Image{}, Newer, nil
	case errdefs.IsNotFound(err):
		return Image{}, Absent, nil
	case err != nil:
		return Image{}, Absent, err
	case i.shared && i.library == nil && !slices.Equal(inside.Layers, onHost.Layers):
		// Removed from the host and fetched again: what the sandbox shares is gone.
		return Image{}, Newer, nil
	case i.library != nil && i.library.stale(onHost.ID, inside.Layers):
		return Image{}, Newer, nil
	}
	return usable(inside, onHost), Ready, nil
}

// lookup finds an image under its id on the host, or the name that it has where
// it was imported or copied.
func (i *sandboxImages) lookup(ctx context.Context, s *sandbox.Sandbox, hostID string) (engine.Image, error) {
	if i.library != nil {
		if i.library.outlived(s.Booted, hostID) {
			return engine.Image{}, errdefs.ErrNotFound
		}
		return s.Engine.Image(ctx, sandbox.StoredName(hostID))
	}
	inside, err := s.Engine.Image(ctx, hostID)
	if errdefs.IsNotFound(err) && !i.shared {
		inside, err = s.Engine.Image(ctx, sandbox.StoredName(hostID))
	}
	return inside, err
}

// ensure is Provider.Ensure.
func (i *sandboxImages) ensure(ctx context.Context, s *sandbox.Sandbox, want Want) (Image, error) {
	onHost, err := i.onHost(ctx, want)
	if err != nil {
		// What the sandbox shares of the host may be another pod's.
		if inside, insideErr := s.Engine.Image(ctx, want.Ref); insideErr == nil && want.Policy != v1.PullAlways && i.verifier.mayKeep(ctx, want, asOnHost(inside)) {
			return usable(inside, inside), nil
		}
		return Image{}, err
	}
	found, presence, err := i.find(ctx, s, onHost)
	if err != nil || presence == Ready {
		return found, err
	}
	if name, shared := i.sharedAs(onHost.ID); presence == Newer && shared {
		if kept, err := clearStale(ctx, s, name); err != nil || kept.ID != "" {
			return usable(kept, onHost), err
		}
	}
	inside, err := i.transfer(ctx, s, want, onHost.ID)
	if err != nil {
		return Image{}, err
	}
	return usable(inside, onHost), nil
}

// sharedAs is the name in sandboxes of an image whose layers there are the host's own.
func (i *sandboxImages) sharedAs(hostID string) (name string, shared bool) {
	if i.library == nil {
		return hostID, true
	}
	return sandbox.StoredName(hostID), i.library.snapshots != nil
}

// asOnHost is an image of a sandbox with each id that it has on the host: an image that
// was imported, or copied from another kind of store, has another id in the sandbox, and
// the record of access goes by the host's.
func asOnHost(inside engine.Image) []engine.Image {
	var out []engine.Image
	for _, tag := range inside.Tags {
		if digest, stored := strings.CutPrefix(tag, sandbox.StoredName("")); stored {
			onHost := inside
			onHost.ID = "sha256:" + digest
			out = append(out, onHost)
		}
	}
	if len(out) == 0 {
		out = append(out, inside)
	}
	return out
}

// clearStale removes an image from a sandbox if its shared layers are not
// the host's any more, since a copy would build on them. An image that one of the
// sandbox's containers was made from is whole, a copy or held, and is returned.
func clearStale(ctx context.Context, s *sandbox.Sandbox, id string) (engine.Image, error) {
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

// transfer copies an image of the host into a sandbox, once for all callers, and returns it as
// the sandbox's engine knows it. A copy that fails is a PullError, unless ctx has ended or an
// engine is away.
func (i *sandboxImages) transfer(ctx context.Context, s *sandbox.Sandbox, want Want, hostID string) (engine.Image, error) {
	ref := want.Ref
	if want.Tell != nil {
		want.Tell("copying image "+ref+" into the sandbox", nil)
	}
	log.G(ctx).WithField("image", ref).Info("copying image into the sandbox")
	asker := ctx
	t := task{what: "copy", where: s.Name, ref: ref}
	id, err := i.flights.share(ctx, t, nil, func(ctx context.Context, _ *flight) (string, error) {
		_, done := i.observer.Step(asker, StepCopy, "image", ref, "sandbox", s.Name)
		id, err := i.host.CopyImage(ctx, s.Engine, ref)
		if err == nil && id != hostID {
			// Another kind of store has another id for it, and it is asked for again.
			err = s.Engine.TagImage(ctx, id, sandbox.StoredName(hostID))
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
