package images

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"time"

	"github.com/containerd/containerd/log"
	"github.com/containerd/errdefs"
	"github.com/cpuguy83/dockercfg"
	"github.com/distribution/reference"
	v1 "k8s.io/api/core/v1"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/engine"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/fault"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/pool"
)

// Keyring holds registry credentials, in the form of Docker's own configuration.
type Keyring []dockercfg.Config

// KeysOf reads the credentials among secrets that came with a pod. interLink
// sends the secrets that a pod mounts, not its imagePullSecrets (contract 5).
func KeysOf(secrets map[string]v1.Secret) Keyring {
	var keys Keyring
	for _, secret := range secrets {
		if secret.Type != v1.SecretTypeDockerConfigJson {
			continue
		}
		var config dockercfg.Config
		if json.Unmarshal(secret.Data[v1.DockerConfigJsonKey], &config) == nil {
			// A pod's secret must not name programs that this host would run.
			config.CredentialsStore, config.CredentialHelpers = "", nil
			keys = append(keys, config)
		}
	}
	return keys
}

// credentials for a registry; none is not an error, since images may be public.
func (k Keyring) credentials(host string) (engine.Credentials, error) {
	server := dockercfg.ResolveRegistryHost(host)
	for i := range k {
		_, listed := k[i].AuthConfigs[server]
		if _, helped := k[i].CredentialHelpers[server]; !listed && !helped && k[i].CredentialsStore == "" {
			continue // the library would look for a helper that nobody named
		}
		user, password, err := k[i].GetRegistryCredentials(server)
		if err != nil && !errors.Is(err, dockercfg.ErrCredentialsNotFound) {
			return engine.Credentials{}, fmt.Errorf("look for credentials of registry %s: %w", host, err)
		}
		if user != "" || password != "" {
			return engine.Credentials{User: user, Password: password, Server: host}, nil
		}
	}
	return engine.Credentials{}, nil
}

// pull brings an image to the host, once for all who wait for it. had is the id
// of the one that the host has under that name, if any.
func (p *Provider) pull(ctx context.Context, named reference.Named, want Want, had string) error {
	auth, err := p.credentials(named, want)
	if err != nil {
		return err
	}
	ref, asker := named.String(), ctx
	_, err = p.shared(ctx, task{what: "pull", ref: ref, auth: auth}, want.Tell, func(ctx context.Context, f *flight) (string, error) {
		if had == "" {
			// It may have come between our look and this flight.
			if _, err := p.host.Image(ctx, ref); err == nil {
				return "", nil
			}
		}
		began := time.Now()
		log.G(ctx).WithField("image", ref).Info("pulling image")
		came := p.recordPull(ctx, named, had)
		_, done := p.config.Observer.Step(asker, StepPull, "image", ref)
		err := p.host.Pull(ctx, ref, auth, f.follow(ctx, ref))
		done(err)
		if err != nil {
			came("")
			return "", p.givenUp(ctx, ref, err)
		}
		if image, err := p.host.Image(ctx, ref); err == nil {
			came(image.ID)
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

// credentials are the pod's own for this registry, else those of docker-sd.
func (p *Provider) credentials(named reference.Named, want Want) (engine.Credentials, error) {
	own, err := p.ownKeys()
	if err != nil {
		return engine.Credentials{}, err
	}
	return append(append(Keyring{}, want.Keys...), own...).credentials(reference.Domain(named))
}

// pullInside has the sandbox's own engine pull an image.
func (p *Provider) pullInside(ctx context.Context, s *pool.Sandbox, want Want) (Image, error) {
	named, err := reference.ParseDockerRef(want.Ref)
	if err != nil {
		return Image{}, &PullError{ReasonInvalid, fmt.Errorf("image %q: %w", want.Ref, err)}
	}
	inside, err := s.Engine.Image(ctx, named.String())
	if err == nil && want.Policy != v1.PullAlways || err != nil && !errdefs.IsNotFound(err) {
		return usable(inside, inside), err
	}
	auth, err := p.credentials(named, want)
	if err != nil {
		return Image{}, err
	}
	t := task{what: "pull", where: s.Name, ref: named.String(), auth: auth}
	asker := ctx
	if _, err := p.shared(ctx, t, want.Tell, func(ctx context.Context, f *flight) (string, error) {
		_, done := p.config.Observer.Step(asker, StepPull, "image", t.ref, "sandbox", s.Name)
		err := s.Engine.Pull(ctx, t.ref, auth, f.follow(ctx, t.ref))
		done(err)
		return "", err
	}); err != nil {
		if ctx.Err() != nil || errdefs.IsUnavailable(err) {
			return Image{}, err
		}
		return Image{}, &PullError{ReasonPull, err}
	}
	inside, err = s.Engine.Image(ctx, named.String())
	return usable(inside, inside), err
}

// ownKeys reads Docker's configuration file anew each time: people log in and
// out of registries while docker-sd runs.
func (p *Provider) ownKeys() (Keyring, error) {
	if p.config.DockerConfig == "" {
		return nil, nil
	}
	var config dockercfg.Config
	err := dockercfg.FromFile(filepath.Join(p.config.DockerConfig, "config.json"), &config)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read registry credentials from %s: %w", p.config.DockerConfig, err)
	}
	return Keyring{config}, nil
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
	_, err := p.onHost(ctx, Want{Ref: ref, Policy: v1.PullIfNotPresent})
	failure := &PullError{}
	if errors.As(err, &failure) && failure.Reason == ReasonInvalid {
		return fmt.Errorf("%w: %w", err, errdefs.ErrInvalidArgument)
	}
	return err
}
