package containers

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
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/fault"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/images"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/keyring"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/podspec"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/podstatus"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/retry"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/sandbox"
)

// Source makes an image usable in a sandbox.
type Source interface {
	OnHost(ctx context.Context, want images.Want) (engine.Image, error)
	Find(ctx context.Context, s *sandbox.Sandbox, onHost engine.Image) (images.Image, images.Presence, error)
	Ensure(ctx context.Context, s *sandbox.Sandbox, want images.Want) (images.Image, error)
	// Hold keeps an image on the host until the pod drops it.
	Hold(podUID, hostID string)
}

// Images are the images of one pod. Fetch and Lacks are called before a container is
// run.
type Images struct {
	Source   Source
	Spec     *v1.Pod
	Statuses *podstatus.Statuses
	Observer Observer
	// Secrets of the pod hold the keys of registries. They are set before Fetch.
	Secrets map[string]v1.Secret

	// found are images that were in the sandbox when the pod was placed, by reference.
	found map[string]images.Image
	// onHost are the images on the host, by reference, nil before Fetch.
	onHost map[string]engine.Image
	// missing are those that could not be had before the pod was placed.
	missing map[string]*images.PullError
}

// want is a container's image as its engine and registry understand it.
func (i *Images) want(c *v1.Container) images.Want { return i.wantOf(c.Image, c.ImagePullPolicy) }

// wantOf is an image as its engine and registry understand it. The API server sets a
// policy on every pod; an empty one gets what is harmless.
func (i *Images) wantOf(ref string, policy v1.PullPolicy) images.Want {
	return images.Want{Ref: ref, Policy: cmp.Or(policy, v1.PullIfNotPresent), Keys: keyring.Of(i.Secrets),
		Tell: func(message string, now *engine.PullProgress) { i.showPull(ref, message, now) }}
}

// needed is an image of the pod and the containers that wait for it.
type needed struct {
	want       images.Want
	containers []string
}

// needs are the images of the pod's containers, then those of its volumes, each once.
func (i *Images) needs() []*needed {
	var out []*needed
	byRef := map[string]*needed{}
	add := func(want images.Want, container string) {
		n := byRef[want.Ref]
		if n == nil {
			n = &needed{want: want}
			byRef[want.Ref], out = n, append(out, n)
		}
		n.containers = append(n.containers, container)
	}
	all := podspec.Containers(i.Spec)
	for c := range all {
		add(i.want(&all[c]), all[c].Name)
	}
	for c := range all {
		for _, v := range imageVolumes(i.Spec, &all[c]) {
			add(i.wantVolume(v), all[c].Name)
		}
	}
	return out
}

// showPull tells people what containers wait for that have not run because of
// an image.
func (i *Images) showPull(ref, message string, now *engine.PullProgress) {
	var waiting []string
	for _, n := range i.needs() {
		if n.want.Ref == ref {
			waiting = n.containers
		}
	}
	for _, name := range waiting {
		i.Statuses.SetPull(name, pullOf(now))
		i.Statuses.Update(name, func(s *v1.ContainerStatus) {
			w := s.State.Waiting
			switch {
			case w == nil || w.Reason == podstatus.ReasonCrashLoop || w.Reason == podstatus.ReasonConfig:
			case w.Reason == podstatus.ReasonCreating || w.Reason == podstatus.ReasonInitializing:
				w.Message = message
			default: // after a failure
				s.State = podstatus.Waiting(podstatus.ReasonCreating, message)
			}
		})
	}
}

// pullOf is what operators see of a pull, nil for none.
func pullOf(now *engine.PullProgress) *podstatus.Pull {
	if now == nil {
		return nil
	}
	return &podstatus.Pull{Done: now.Done, Total: now.Total, Percent: now.Percent(), AtLeast: now.Unsized > 0, Unpacking: now.Unpacking}
}

// Fetch brings the pod's images to the host before the pod is placed: what
// is there when its sandbox boots is shared with it, what comes later is copied.
// An image that cannot be had keeps no other container waiting; its own one
// tells why and tries again later. It does nothing the second time.
func (i *Images) Fetch(ctx context.Context) {
	if i.onHost != nil {
		return
	}
	var mu sync.Mutex
	var pulls sync.WaitGroup
	i.onHost, i.missing = map[string]engine.Image{}, map[string]*images.PullError{}
	ctx, done := i.Observer.Step(ctx, StepPull)
	defer done(nil) // a container tells that its image cannot be had
	for _, n := range i.needs() {
		pulls.Go(func() {
			image, err := i.Source.OnHost(ctx, n.want)
			mu.Lock()
			defer mu.Unlock()
			failure := &images.PullError{}
			switch {
			case err == nil:
				i.onHost[n.want.Ref] = image
				i.showPull(n.want.Ref, "", nil)
			case errors.As(err, &failure):
				i.missing[n.want.Ref] = failure
				i.showWaiting(n.containers[0], failure.Reason, failure.Error())
			}
		})
	}
	pulls.Wait()
	fault.Point("pods.images.fetched")
}

// Lacks looks for the pod's images in its sandbox and tells whether one
// came to the host after the sandbox was booted. What it finds is kept for the
// containers' first start.
func (i *Images) Lacks(ctx context.Context, s *sandbox.Sandbox) bool {
	i.found = map[string]images.Image{}
	newer := false
	for ref, onHost := range i.onHost {
		image, presence, err := i.Source.Find(ctx, s, onHost)
		if err == nil && presence == images.Ready {
			i.found[ref] = image
		}
		newer = newer || presence == images.Newer
	}
	return newer
}

// pullErrorShown is how long ErrImagePull stands before ImagePullBackOff takes
// its place.
const pullErrorShown = 2 * time.Second

// untilPulled tries to get a container's image until that works, telling people
// why it is not there, with kubelet's reasons and delays. Errors other than a
// PullError or an engine that is away are returned.
func (i *Images) untilPulled(ctx context.Context, c *v1.Container, pull func() error) error {
	delays := RestartDelays{last: firstRestartDelay}
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
			i.showWaiting(c.Name, images.ReasonPull, err.Error())
			if err := tries.Failed(ctx, "image is not available", err); err != nil {
				return err
			}
			continue
		}
		delay, reason := delays.Next(0), failure.Reason
		tries.Note(ctx, "image is not available", err)
		i.showWaiting(c.Name, reason, err.Error())
		shown := min(delay, pullErrorShown)
		if err := retry.Pause(ctx, shown); err != nil {
			return err
		}
		if reason == images.ReasonPull {
			i.showWaiting(c.Name, "ImagePullBackOff", fmt.Sprintf("back-off %s: %s", delay, err))
		}
		if err := retry.Pause(ctx, delay-shown); err != nil {
			return err
		}
	}
}

func (i *Images) showWaiting(container, reason, message string) {
	i.Statuses.Update(container, func(s *v1.ContainerStatus) { s.State = podstatus.Waiting(reason, message) })
}
