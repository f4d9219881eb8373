package images

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/containerd/containerd/log"
	"github.com/containerd/errdefs"
	"github.com/distribution/reference"
	v1 "k8s.io/api/core/v1"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/engine"
)

// confirmingHost is what the verification needs of the host's engine.
type confirmingHost interface {
	Images(ctx context.Context) ([]engine.Image, error)
	// ConfirmImage is nil if an image's registry would give it for credentials.
	ConfirmImage(ctx context.Context, ref string, auth engine.Credentials) error
}

// verifier decides which pods may use which images of the host.
type verifier struct {
	policy     Verification
	access     *accesses
	registries *registries
	host       confirmingHost
	// limit of a question to a registry, 0 for none but the engine's.
	limit time.Duration
}

// giveKeys tells the user of a pod how it gets at an image.
const giveKeys = "give the pod a Secret of type kubernetes.io/dockerconfigjson for that registry, mounted as a volume so that it arrives here"

// mayUse is nil if a pod may use an image that the host has: it is for all, or came
// with credentials that this pod has, too, or its registry says so now.
func (v *verifier) mayUse(ctx context.Context, named reference.Named, want Want, image engine.Image) error {
	if v.isKnown(ctx, named, want, image) {
		return nil
	}
	switch {
	case want.Policy == v1.PullNever:
		return &PullError{ReasonNever, fmt.Errorf("image %s is on this host, but this pod has not shown that it may pull it, and imagePullPolicy Never forbids to ask its registry: %s, or use IfNotPresent", want.Ref, giveKeys)}
	case v.registries.isSilent(named):
		return &PullError{ReasonPull, fmt.Errorf("image %s is on this host, but this pod has not shown that it may pull it, and its registry does not answer", want.Ref)}
	}
	err := v.registries.sourced(ctx, originOf(named, image), want.Keys, func(g grant, from source) error {
		asked, cancel := bounded(ctx, v.limit)
		defer cancel()
		if err := v.host.ConfirmImage(asked, from.name().String(), g.auth); err != nil {
			return err
		}
		return v.access.allow(image.ID, g)
	})
	switch {
	case err == nil:
		log.G(ctx).WithField("image", want.Ref).Debug("the image's registry confirmed that the pod may use it")
		return nil
	case ctx.Err() != nil || errdefs.IsUnavailable(err):
		return err
	}
	return &PullError{ReasonPull, fmt.Errorf("image %s is on this host, but its registry does not confirm that this pod may pull it: %s: %w", want.Ref, giveKeys, err)}
}

// isKnown says whether a pod may use an image by the record, without a question to its registry.
func (v *verifier) isKnown(ctx context.Context, named reference.Named, want Want, image engine.Image) bool {
	if want.own || v.access.standing(image, v.policy) == free {
		return true
	}
	for auth, err := range want.Keys.For(ctx, reference.Domain(named), reference.Path(named)) {
		if err == nil && v.access.has(image.ID, auth) {
			return true
		}
	}
	return false
}

// mayKeep is isKnown for an image that only the sandbox has, with all its ids on the host.
func (v *verifier) mayKeep(ctx context.Context, want Want, onHost []engine.Image) bool {
	named, err := want.named()
	return err == nil && !slices.ContainsFunc(onHost, func(image engine.Image) bool { return !v.isKnown(ctx, named, want, image) })
}

// originOf is the name of an image in its registry that cannot mean another one,
// where that is known.
func originOf(named reference.Named, image engine.Image) reference.Named {
	at := slices.IndexFunc(image.Digests, func(digest string) bool {
		full, err := reference.ParseNormalizedNamed(digest)
		return err == nil && full.Name() == named.Name()
	})
	if at < 0 {
		return named
	}
	_, digest, _ := strings.Cut(image.Digests[at], "@")
	if origin, err := reference.ParseNamed(named.Name() + "@" + digest); err == nil {
		return origin
	}
	return named
}

// intend notes a pull with a pod's credentials before it begins, so that nothing
// comes of it unnoticed; the function that it returns is called at its end, with
// the image that came, or the zero value.
func (v *verifier) intend(ctx context.Context, named reference.Named, g grant) (func(came engine.Image) error, error) {
	if !g.pod {
		return func(came engine.Image) error { return v.noteOpen(came, g) }, nil
	}
	present, err := v.host.Images(ctx)
	if err != nil {
		return nil, err
	}
	before := idsOf(present)
	if err := v.access.begin(named, g.auth, before); err != nil {
		return nil, err
	}
	return func(came engine.Image) error {
		if came.ID == "" {
			if present, err := v.host.Images(ctx); err == nil {
				return v.access.failed(named, g.auth, present)
			}
			return nil // the engine is away: the pull stays on record, since the image may have come
		}
		// What the host had before is as free as it was.
		policy := v.policy
		if policy == NeverVerify {
			policy = NeverVerifyPreloaded // it may be another one at the next start
		}
		if !slices.Contains(before, came.ID) || v.access.standing(came, policy) == bound {
			if err := v.access.allow(came.ID, g); err != nil {
				return err
			}
		}
		return v.access.end(named, g.auth)
	}, nil
}

// noteOpen notes that an image came to a host without a pod's credentials.
func (v *verifier) noteOpen(came engine.Image, g grant) error {
	if came.ID == "" || g.pod {
		return nil
	}
	return v.access.allow(came.ID, g)
}

// compare forgets the access to images that have left the host long ago.
func (v *verifier) compare(ctx context.Context) error {
	present, err := v.host.Images(ctx)
	if err != nil {
		return err
	}
	return v.access.compare(present, time.Now())
}
