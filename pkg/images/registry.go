package images

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"sync"
	"time"

	"github.com/containerd/containerd/log"
	"github.com/containerd/errdefs"
	"github.com/cpuguy83/dockercfg"
	"github.com/distribution/reference"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/engine"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/keyring"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/mirrors"
)

// grant are the credentials that a registry is asked with.
type grant struct {
	auth engine.Credentials
	// pod says that the credentials came with the pod; docker-sd's own, and none at
	// all, are every pod's.
	pod bool
}

// registries are asked with the credentials of pods and of docker-sd.
type registries struct {
	// dockerConfig is the folder of Docker's config.json with docker-sd's own
	// credentials, "" for none.
	dockerConfig string
	// mirrors are asked first, and observer is told of those that fail.
	mirrors  mirrors.Registries
	observer Observer

	mu sync.Mutex
	// silent are registries that did not answer, until when they are not asked
	// again for an image that the host has; silentMirrors are mirrors, until when they are
	// not asked at all. A host may be both, and a mirror fails for images that it does not
	// get from its registry.
	silent, silentMirrors map[string]time.Time
}

// newRegistries makes registries that are all thought to answer.
func newRegistries(dockerConfig string) *registries {
	return &registries{dockerConfig: dockerConfig, observer: unobserved{}, silent: map[string]time.Time{}, silentMirrors: map[string]time.Time{}}
}

// authorized calls do with the credentials that match an image, one after the other for as
// long as its registry refuses them (ErrPermissionDenied): those of keys, which are a pod's,
// then docker-sd's own. Where none match, do is called once without any.
func (r *registries) authorized(ctx context.Context, named reference.Named, keys keyring.Keyring, do func(grant) error) error {
	own, err := r.ownKeys()
	if err != nil {
		return err
	}
	host, tried := reference.Domain(named), map[engine.Credentials]bool{}
	var problems []error
	for i, from := range []keyring.Keyring{keys, own} {
		for auth, err := range from.For(ctx, host, reference.Path(named)) {
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

// tellPassed logs why the first credentials were not enough: their errors are dropped once
// others have come further.
func tellPassed(ctx context.Context, named reference.Named, problems []error) {
	if len(problems) > 0 {
		log.G(ctx).WithField("image", named.String()).WithError(errors.Join(problems...)).
			Info("the first credentials for an image were of no use, others were tried")
	}
}

// ownKeys reads Docker's configuration file anew each time: people log in and
// out of registries while docker-sd runs.
func (r *registries) ownKeys() (keyring.Keyring, error) {
	if r.dockerConfig == "" {
		return nil, nil
	}
	var config dockercfg.Config
	err := dockercfg.FromFile(filepath.Join(r.dockerConfig, "config.json"), &config)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read registry credentials from %s: %w", r.dockerConfig, err)
	}
	return keyring.Keyring{config}, nil
}

// silence is how long a registry that did not answer is left alone.
const silence = time.Minute

// isSilent says whether the registry of an image did not answer a short while ago.
func (r *registries) isSilent(named reference.Named) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return time.Now().Before(r.silent[reference.Domain(named)])
}

// setSilent notes that the registry of an image does not answer.
func (r *registries) setSilent(named reference.Named) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.silent[reference.Domain(named)] = time.Now().Add(silence)
}

// isPassedOver says whether a mirror failed a short while ago.
func (r *registries) isPassedOver(mirror reference.Named) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return time.Now().Before(r.silentMirrors[reference.Domain(mirror)])
}

// passOver notes that a mirror has failed.
func (r *registries) passOver(mirror reference.Named) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.silentMirrors[reference.Domain(mirror)] = time.Now().Add(silence)
}
