package containers

import (
	"cmp"
	"context"
	"errors"
	"time"

	"github.com/containerd/containerd/log"
	v1 "k8s.io/api/core/v1"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/engine"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/images"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/podstatus"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/retry"
)

// configAgain is the time between two tries, as with kubelet.
const configAgain = 10 * time.Second

// awaitConfigured shows what is wrong with the container's configuration and waits for
// the next try. What may have changed is looked at anew then. The log has no text of the
// error, which may hold the value of a variable.
func (r *runner) awaitConfigured(ctx context.Context, wrong *configError) error {
	if !r.refetch {
		log.G(ctx).Warn("container waits: it cannot be made as its pod describes it, its status says why")
	}
	r.resume, r.refetch = true, true
	r.p.Statuses.Update(r.spec.Name, func(s *v1.ContainerStatus) {
		s.State = podstatus.Waiting(cmp.Or(wrong.reason, podstatus.ReasonConfig), wrong.Error())
	})
	return retry.Pause(ctx, configAgain)
}

// awaitMains waits until the configuration of every main container can be carried out, as
// far as the pod and its images tell before one is made. Otherwise the caller would
// call a pod Running and ready of which one container can never start (protocol 2.2).
// Where containers exist already nothing is waited for: they are looked after.
func (p *Pod) awaitMains(ctx context.Context, mains []*runner) error {
	for _, r := range mains {
		if now, _ := p.Statuses.Instance(r.spec.Name); now.ID != "" || now.Previous != "" {
			return nil
		}
	}
	held := false
	for {
		wrong := ""
		for _, r := range mains {
			if p.finishedBefore(r.spec.Name) == nil && r.showMistake(ctx) {
				wrong = cmp.Or(wrong, r.spec.Name)
			}
		}
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case wrong != "":
			held = true
			p.showHeldBack("waits for container " + wrong + ", whose configuration cannot be carried out")
		case held:
			p.showHeldBack("")
			return nil
		default:
			return nil
		}
		if err := retry.Pause(ctx, configAgain); err != nil {
			return err
		}
	}
}

// showHeldBack tells of the main containers that wait for another one.
func (p *Pod) showHeldBack(message string) {
	for i := range p.Spec.Spec.Containers {
		p.Statuses.Update(p.Spec.Spec.Containers[i].Name, func(s *v1.ContainerStatus) {
			if w := s.State.Waiting; w != nil && w.Reason == podstatus.ReasonCreating {
				w.Message = message
			}
		})
	}
}

// showMistake says whether the container's configuration is known to be wrong, and shows
// how. The images are asked for anew once it was.
func (r *runner) showMistake(ctx context.Context) bool {
	err := r.mistake(ctx)
	reason, invalid := podstatus.ReasonConfig, &images.PullError{}
	switch {
	case errors.As(err, &invalid):
		reason = invalid.Reason
	case err == nil && r.refetch:
		r.p.Images.showWaiting(r.spec.Name, podstatus.ReasonCreating, "")
	}
	if err != nil {
		r.refetch = true
		r.p.Images.showWaiting(r.spec.Name, reason, err.Error())
	}
	return err != nil
}

// mistake is what is wrong with the container's configuration before it is made, nil
// where nothing is or where the image that would tell is not there. It is a configError, or
// a PullError of a name that is none.
func (r *runner) mistake(ctx context.Context) error {
	image, err := r.p.Images.known(ctx, r.p.Images.want(r.spec), r.refetch)
	if invalid := (&images.PullError{}); errors.As(err, &invalid) && invalid.Reason == images.ReasonInvalid {
		return invalid
	}
	for _, v := range imageVolumes(r.p.Spec, r.spec) {
		_, err := r.p.Images.known(ctx, r.p.Images.wantVolume(v), r.refetch)
		if invalid := (&images.PullError{}); errors.As(err, &invalid) && invalid.Reason == images.ReasonInvalid {
			return invalid
		}
	}
	user := image.User
	if err != nil || image.ID == "" {
		user = unknownUser
	}
	set, err := r.set.Wait(ctx)
	if err != nil {
		return nil // it is told by the container itself
	}
	env, err := environment(ctx, r, set)
	switch {
	case err != nil && mayCome(r.p.Spec, r.spec):
		return nil
	case err == nil:
		_, _, err = r.plan(set, env, user)
	}
	if wrong := (&configError{}); errors.As(err, &wrong) {
		return wrong
	}
	return nil
}

// unknownUser stands for the user of an image that is not there: nothing is wrong with it.
const unknownUser = "1"

// known is what the host has of an image; an empty one, and an error, say that
// nothing is known. With again the image is brought anew, as its pull policy says.
func (i *Images) known(ctx context.Context, want images.Want, again bool) (engine.Image, error) {
	switch {
	case again:
		return i.Source.OnHost(ctx, want)
	case i.onHost == nil: // of a docker-sd before this one: looked at, and not pulled
		want.Policy = v1.PullNever
		return i.Source.OnHost(ctx, want)
	}
	if failure := i.missing[want.Ref]; failure != nil {
		return engine.Image{}, failure
	}
	return i.onHost[want.Ref], nil
}
