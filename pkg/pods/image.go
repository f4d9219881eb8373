package pods

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/containerd/containerd/log"
	"github.com/containerd/errdefs"
	v1 "k8s.io/api/core/v1"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/engine"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/images"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/podspec"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/podstatus"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/pool"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/retry"
)

// want is a container's image as its engine and registry understand it. The API
// server sets a policy on every pod; an empty one gets what is harmless.
func (p *pod) want(c *v1.Container) images.Want {
	return images.Want{Ref: c.Image, Policy: cmp.Or(c.ImagePullPolicy, v1.PullIfNotPresent),
		Keys: images.KeysOf(p.record.Load().Data.Secrets),
		Tell: func(message string) { p.showPull(c.Image, message) }}
}

// showPull tells people what containers wait for that have not run because of
// their image.
func (p *pod) showPull(ref, message string) {
	for _, c := range podspec.Containers(p.spec) {
		if c.Image != ref {
			continue
		}
		p.statuses.Update(c.Name, func(s *v1.ContainerStatus) {
			w := s.State.Waiting
			switch {
			case w == nil || w.Reason == podstatus.ReasonCrashLoop:
			case w.Reason == podstatus.ReasonCreating || w.Reason == podstatus.ReasonInitializing:
				w.Message = message
			default: // after a failure
				s.State = podstatus.Waiting(podstatus.ReasonCreating, message)
			}
		})
	}
}

// fetchImages brings the pod's images to the host before the pod is placed: what
// is there when its sandbox boots is shared with it, what comes later is copied.
// An image that cannot be had keeps no other container waiting; its own one
// tells why and tries again later.
func (p *pod) fetchImages(ctx context.Context) {
	var mu sync.Mutex
	var pulls sync.WaitGroup
	p.onHost, p.missing = map[string]engine.Image{}, map[string]*images.PullError{}
	ctx, done := p.step(ctx, StepImages)
	defer done(nil) // what cannot be had is told by who needs it
	asked := map[string]bool{}
	for _, c := range podspec.Containers(p.spec) {
		if asked[c.Image] {
			continue
		}
		asked[c.Image] = true
		pulls.Go(func() {
			image, err := p.m.images.OnHost(ctx, p.want(&c))
			mu.Lock()
			defer mu.Unlock()
			failure := &images.PullError{}
			switch {
			case err == nil:
				p.onHost[c.Image] = image
				p.showPull(c.Image, "")
			case errors.As(err, &failure):
				p.missing[c.Image] = failure
				p.showWaiting(c.Name, failure.Reason, failure.Error())
			}
		})
	}
	pulls.Wait()
}

// lacksImages looks for the pod's images in its sandbox and tells whether one
// came to the host after the sandbox was booted. What it finds is kept for the
// containers' first start.
func (p *pod) lacksImages(ctx context.Context, s *pool.Sandbox) bool {
	p.found = map[string]images.Image{}
	newer := false
	for ref, onHost := range p.onHost {
		image, presence, err := p.m.images.Find(ctx, s, onHost)
		if err == nil && presence == images.Ready {
			p.found[ref] = image
		}
		newer = newer || presence == images.Newer
	}
	return newer
}

// image is the container's, usable in the sandbox.
func (r *runner) image(ctx context.Context) (images.Image, error) {
	if image, found := r.p.found[r.spec.Image]; found && r.attempt == 0 {
		return image, nil
	}
	var image images.Image
	asked := false
	err := r.p.untilPulled(ctx, r.spec, func() (err error) {
		if failure := r.p.missing[r.spec.Image]; failure != nil && r.attempt == 0 && !asked {
			asked = true
			return failure
		}
		image, err = r.p.m.images.Ensure(ctx, r.s.Sandbox, r.p.want(r.spec))
		return err
	})
	return image, err
}

// ImagesInUse lists the images of all pods that have not ended, as they name them.
func (m *Manager) ImagesInUse() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	var out []string
	for _, p := range m.pods {
		if p.statuses.HasEnded() {
			continue
		}
		for _, c := range podspec.Containers(p.spec) {
			out = append(out, c.Image)
		}
	}
	return out
}

// pullErrorShown is how long ErrImagePull stands before ImagePullBackOff takes
// its place.
const pullErrorShown = 2 * time.Second

// untilPulled tries to get a container's image until that works, telling people
// why it is not there, with kubelet's reasons and delays. Errors other than a
// PullError or an engine that is away are returned.
func (p *pod) untilPulled(ctx context.Context, c *v1.Container, pull func() error) error {
	delays := restartDelays{last: firstRestartDelay}
	ctx = log.WithLogger(ctx, log.G(ctx).WithField("container", c.Name))
	tries := retry.New(time.Second, 10*time.Second)
	for {
		err := pull()
		if err == nil || ctx.Err() != nil {
			return err
		}
		failure := &images.PullError{}
		if !errors.As(err, &failure) {
			if !errdefs.IsUnavailable(err) {
				return err
			}
			p.showWaiting(c.Name, images.ReasonPull, err.Error())
			if err := tries.Failed(ctx, "image is not available", err); err != nil {
				return err
			}
			continue
		}
		delay, reason := delays.next(0), failure.Reason
		tries.Note(ctx, "image is not available", err)
		p.showWaiting(c.Name, reason, err.Error())
		shown := min(delay, pullErrorShown)
		if err := pause(ctx, shown); err != nil {
			return err
		}
		if reason == images.ReasonPull {
			p.showWaiting(c.Name, "ImagePullBackOff", fmt.Sprintf("back-off %s: %s", delay, err))
		}
		if err := pause(ctx, delay-shown); err != nil {
			return err
		}
	}
}

func (p *pod) showWaiting(container, reason, message string) {
	p.statuses.Update(container, func(s *v1.ContainerStatus) { s.State = podstatus.Waiting(reason, message) })
}
