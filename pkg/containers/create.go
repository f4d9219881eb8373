package containers

import (
	"context"
	"fmt"
	"os"
	"strconv"

	"github.com/containerd/containerd/log"
	"github.com/containerd/errdefs"
	v1 "k8s.io/api/core/v1"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/engine"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/fault"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/images"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/podspec"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/volumes"
)

// configError says that a container cannot be made as its pod describes it, because of
// its image, its variables, what is in a volume, or because its engine refuses. As with
// kubelet, that is no end of the container: it waits, and is tried again.
type configError struct {
	err error
	// reason is kubelet's word for it, "" for that of a mistake in the configuration.
	reason string
}

// Error is for the pod's owner.
func (e *configError) Error() string { return e.err.Error() }

// Unwrap gives the cause.
func (e *configError) Unwrap() error { return e.err }

// create makes the container's next instance. It waits for the image as long
// as it takes; with every other refusal the container waits for the next try.
func (r *runner) create(ctx context.Context) (string, error) {
	image, err := r.image(ctx, r.p.Images.want(r.spec))
	if err != nil {
		return "", err
	}
	r.p.Images.Source.Hold(string(r.p.Spec.UID), image.HostID)
	set, err := r.set.Wait(ctx)
	if err != nil {
		return "", err
	}
	env, err := environment(ctx, r, set)
	if err != nil {
		return "", err
	}
	if len(env.Skipped) > 0 && r.attempt == 0 {
		log.G(ctx).WithField("container", r.spec.Name).WithField("names", env.Skipped).
			Warn("variables without a value were left out: their source was not resolved")
	}
	spec, planned, err := r.plan(set, env, image.User)
	if err != nil {
		return "", err
	}
	spec.Image = image.ID
	spec.Labels[engine.LabelAttempt] = strconv.Itoa(r.attempt)
	if err := r.completeGroups(ctx, &spec, image); err != nil {
		return "", err
	}
	if err := confine(&spec, r.p.Spec, r.spec, r.p.Node.SeccompRoot); err != nil {
		return "", err
	}
	access, err := r.p.fuseAccess(ctx, r.s.Sandbox, r.spec, set, planned)
	if err != nil {
		return "", err
	}
	if spec.Mounts, err = r.mounts(ctx, planned, access); err != nil {
		return "", err
	}
	spec.Devices = append(spec.Devices, access.devices...)
	if err := equip(ctx, r, &spec, image); err != nil {
		return "", err
	}
	if err := keepRuntime(r, spec); err != nil {
		return "", err
	}
	if err := makeAmendable(r, &spec); err != nil {
		return "", err
	}
	fault.Point("pods.container.ready")
	step, done := r.p.Observer.Step(ctx, StepCreate, "container", r.spec.Name)
	id, err := r.s.Engine.CreateOnce(step, spec)
	done(err)
	if err != nil {
		return "", runtimeUnknown(ctx, r, err)
	}
	fault.Point("pods.container.created")
	r.p.Statuses.Update(r.spec.Name, func(s *v1.ContainerStatus) {
		s.ContainerID, s.ImageID, s.RestartCount = engineID(id), image.Name(), int32(r.attempt)
	})
	return id, nil
}

// equip adds what the container has of its node: devices, and files of the site.
func equip(ctx context.Context, r *runner, spec *engine.Spec, image images.Image) error {
	if err := r.p.Owner.Inject(r.spec.Name, image.Env, spec); err != nil {
		return err
	}
	return siteFiles{r}.give(ctx, spec, image)
}

// plan is what follows from the pod and the user of its image alone: the container's spec
// without image and mounts, and the mounts before anything is opened. A configError says
// that they contradict each other.
func (r *runner) plan(set *volumes.Set, env podspec.Environment, imageUser string) (engine.Spec, []volumes.Mount, error) {
	spec, err := podspec.Container(r.p.Spec, r.spec, env, r.p.Node, r.p.PIDNamespace)
	if err != nil {
		return spec, nil, err
	}
	spec.Resources.CgroupParent, spec.Runtime = r.p.CgroupParent, r.p.Runtime
	r.p.Cluster.Join(&spec, r.p.Spec)
	if spec.User, err = podspec.User(r.p.Spec, r.spec, spec.User, imageUser); err != nil {
		return spec, nil, &configError{err: err}
	}
	planned, err := set.Mounts(r.spec, env.ExpandStrict)
	if errdefs.IsInvalidArgument(err) {
		err = &configError{err: err}
	}
	return spec, planned, err
}

// mounts are the container's volumes, opened and pinned, and the files that kubelet
// manages. A subPath that cannot be opened is a configError.
func (r *runner) mounts(ctx context.Context, planned []volumes.Mount, access fuseAccess) ([]engine.Mount, error) {
	if err := (imageMounts{r}).mount(ctx); err != nil {
		return nil, err
	}
	var err error
	hosts := engine.Mount{Source: hostsPath(r.s.Sandbox), Target: "/etc/hosts"}
	out := []engine.Mount{}
	for i, m := range planned {
		if m.Fuse {
			m.Source = access.source
		}
		if m.Open != nil {
			place := fmt.Sprintf("%s/%d", r.spec.Name, i)
			if m.Source, err = r.s.Init.Pin(ctx, place, *m.Open); err != nil {
				err = fmt.Errorf("container %q volumeMounts[%d] %q: %s %w", r.spec.Name, i, m.Target, m.Volume, err)
				if m.Open.SubPath != "" && !errdefs.IsUnavailable(err) {
					err = &configError{err: err}
				}
				return nil, err
			}
		}
		out = append(out, engine.Mount{Source: m.Source, Target: m.Target, ReadOnly: m.ReadOnly, Propagation: m.Propagation})
		if m.Target == hosts.Target {
			hosts.Target = ""
		}
	}
	if hosts.Target != "" {
		out = append(out, hosts)
	}
	if path := r.spec.TerminationMessagePath; path != "" {
		if err := os.Truncate(messagePath(r.s.Sandbox, r.spec.Name), 0); err != nil {
			return nil, fmt.Errorf("empty the termination message: %w", err)
		}
		out = append(out, engine.Mount{Source: messagePath(r.s.Sandbox, r.spec.Name), Target: path})
	}
	return access.addTo(out), nil
}

// image makes an image that the container needs usable in the sandbox.
func (r *runner) image(ctx context.Context, want images.Want) (images.Image, error) {
	if image, found := r.p.Images.found[want.Ref]; found && r.attempt == 0 && !r.refetch {
		return image, nil
	}
	var image images.Image
	asked := false
	err := r.p.Images.untilPulled(ctx, r.spec, func() (err error) {
		if failure := r.p.Images.missing[want.Ref]; failure != nil && r.attempt == 0 && !asked && !r.refetch {
			asked = true
			return failure
		}
		image, err = r.p.Images.Source.Ensure(ctx, r.s.Sandbox, want)
		return err
	})
	if err == nil {
		r.p.Images.showPull(want.Ref, "", nil)
	}
	return image, err
}
