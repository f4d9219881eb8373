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
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/pool"
)

// pull brings an image to the host, once for all who wait for it. had is the id
// of the one that the host has under that name, if any.
func (p *Provider) pull(ctx context.Context, named reference.Named, want Want, had string) error {
	return p.authorized(ctx, named, want, func(g grant) error { return p.pullAs(ctx, g, named, want, had) })
}

// pullAs is pull with certain credentials.
func (p *Provider) pullAs(ctx context.Context, g grant, named reference.Named, want Want, had string) error {
	ref, asker := named.String(), ctx
	_, err := p.shared(ctx, task{what: "pull", ref: ref, auth: g.auth, pod: g.pod}, want.Tell, func(ctx context.Context, f *flight) (string, error) {
		if had == "" {
			// It may have come between our look and this flight.
			if _, err := p.host.Image(ctx, ref); err == nil {
				return "", nil
			}
		}
		ended, err := p.intend(ctx, named, g)
		if err != nil {
			return "", err
		}
		began := time.Now()
		log.G(ctx).WithField("image", ref).Info("pulling image")
		came := p.recordPull(ctx, named, had)
		_, done := p.config.Observer.Step(asker, StepPull, "image", ref)
		err = p.host.Pull(ctx, ref, g.auth, f.follow(ctx, ref))
		done(err)
		if err != nil {
			came("")
			if ctx.Err() == nil && !errdefs.IsUnavailable(err) {
				err = errors.Join(err, ended(engine.Image{})) // the registry has given nothing
			}
			return "", p.givenUp(ctx, ref, err)
		}
		if image, err := p.host.Image(ctx, ref); err == nil {
			came(image.ID)
			if err := ended(image); err != nil {
				return "", err
			}
			if image.ID != had {
				p.config.Observer.Pulled(image.Size)
			}
		}
		fault.Point("images.pulled")
		log.G(ctx).WithField("image", ref).WithField("after", time.Since(began).Round(time.Millisecond)).Info("image pulled")
		return "", nil
	})
	return err
}

// givenUp explains the end of a pull that the registry did not end.
func (p *Provider) givenUp(ctx context.Context, ref string, err error) error {
	switch {
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return fmt.Errorf("pull image %s: it was not complete after %s (ImagePullTimeout)", ref, p.config.Timeout)
	case ctx.Err() != nil:
		log.G(ctx).WithField("image", ref).Info("the pull was given up, nobody waits for it any more")
	}
	return err
}

// authorized does what needs an image's registry, with the credentials that match
// the image one after the other for as long as the registry refuses them: those of
// the pod, then docker-sd's own. Where there are none it is done without.
func (p *Provider) authorized(ctx context.Context, named reference.Named, want Want, do func(grant) error) error {
	own, err := p.ownKeys()
	if err != nil {
		return err
	}
	host, tried := reference.Domain(named), map[engine.Credentials]bool{}
	var problems []error
	for i, keys := range []Keyring{want.Keys, own} {
		for auth, err := range keys.credentials(ctx, host, reference.Path(named)) {
			if err == nil && tried[auth] {
				continue
			}
			if err == nil {
				tried[auth] = true
				if err = do(grant{auth, i == 0}); !errdefs.IsPermissionDenied(err) {
					tellPassed(ctx, named, problems)
					return err
				}
			}
			problems = append(problems, err)
		}
	}
	switch len(problems) {
	case 0:
		return do(grant{})
	case 1:
		return problems[0]
	}
	return fmt.Errorf("none of %d credentials for image %s is of use: %w", len(problems), named, errors.Join(problems...))
}

// tellPassed logs why others were tried after the first credentials: nobody else
// is told once one of them has come further.
func tellPassed(ctx context.Context, named reference.Named, problems []error) {
	if len(problems) > 0 {
		log.G(ctx).WithField("image", named.String()).WithError(errors.Join(problems...)).
			Info("the first credentials for an image were of no use, others were tried")
	}
}

// pullInside has the sandbox's own engine pull an image.
func (p *Provider) pullInside(ctx context.Context, s *pool.Sandbox, want Want) (Image, error) {
	named, err := reference.ParseDockerRef(want.Ref)
	if err != nil {
		return Image{}, &PullError{ReasonInvalid, fmt.Errorf("image %q: %w", want.Ref, err)}
	}
	inside, err := s.Engine.Image(ctx, named.String())
	if err == nil && want.Policy != v1.PullAlways || err != nil && !errdefs.IsNotFound(err) {
		return usable(inside, inside), invalidName(want, err)
	}
	asker := ctx
	if err := p.authorized(ctx, named, want, func(g grant) error {
		t := task{what: "pull", where: s.Name, ref: named.String(), auth: g.auth}
		_, err := p.shared(ctx, t, want.Tell, func(ctx context.Context, f *flight) (string, error) {
			_, done := p.config.Observer.Step(asker, StepPull, "image", t.ref, "sandbox", s.Name)
			err := s.Engine.Pull(ctx, t.ref, g.auth, f.follow(ctx, t.ref))
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
	inside, err = s.Engine.Image(ctx, named.String())
	return usable(inside, inside), err
}

// invalidName makes a PullError of an engine's refusal to look an image up: an engine's
// rules for names differ from those that a reference is read by.
func invalidName(want Want, err error) error {
	if errdefs.IsInvalidArgument(err) {
		return &PullError{ReasonInvalid, fmt.Errorf("image %q: %w", want.Ref, err)}
	}
	return err
}

// silence is how long a registry that did not answer is left alone.
const silence = time.Minute

func (p *Provider) isSilent(named reference.Named) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return time.Now().Before(p.silent[reference.Domain(named)])
}

func (p *Provider) setSilent(named reference.Named) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.silent[reference.Domain(named)] = time.Now().Add(silence)
}

// Fetch brings an image to the host's engine if it is not there.
func (p *Provider) Fetch(ctx context.Context, ref string) error {
	_, err := p.onHost(ctx, Want{Ref: ref, Policy: v1.PullIfNotPresent, own: true})
	failure := &PullError{}
	if errors.As(err, &failure) && failure.Reason == ReasonInvalid {
		return fmt.Errorf("%w: %w", err, errdefs.ErrInvalidArgument)
	}
	return err
}
