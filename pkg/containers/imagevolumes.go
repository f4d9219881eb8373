package containers

import (
	"context"
	"fmt"

	"github.com/containerd/containerd/log"
	"github.com/containerd/errdefs"
	v1 "k8s.io/api/core/v1"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/engine"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/fault"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/images"
)

// imageVolumes are the volumes of a container that show images, in the order of its
// mounts.
func imageVolumes(pod *v1.Pod, c *v1.Container) []*v1.Volume {
	var out []*v1.Volume
	seen := map[string]bool{}
	for _, m := range c.VolumeMounts {
		for i := range pod.Spec.Volumes {
			if v := &pod.Spec.Volumes[i]; v.Name == m.Name && v.Image != nil && !seen[v.Name] {
				seen[v.Name] = true
				out = append(out, v)
			}
		}
	}
	return out
}

// wantVolume is the image of a volume as its engine and registry understand it.
func (i *Images) wantVolume(v *v1.Volume) images.Want {
	return i.wantOf(v.Image.Reference, v.Image.PullPolicy)
}

// holderName is the container in a sandbox that holds the image of a volume. It is no pod's
// container: those have three parts.
func holderName(volume string) string { return "image-" + volume }

// imageMounts are the volumes of a container that show images.
type imageMounts struct{ *runner }

// mount makes the volumes ready before their container is made, as kubelet does: the
// container alone waits for an image that cannot be had. A volume shows one image for as
// long as the pod is in its sandbox.
func (r imageMounts) mount(ctx context.Context) error {
	for _, v := range imageVolumes(r.p.Spec, r.spec) {
		if err := r.mountOne(ctx, v); err != nil {
			return err
		}
	}
	return nil
}

func (r imageMounts) mountOne(ctx context.Context, v *v1.Volume) error {
	if mounted, err := r.s.Init.HasImage(ctx, v.Name); err != nil || mounted {
		return err
	}
	held, err := r.held(ctx, v)
	if err == nil {
		err = r.s.Init.MountImage(ctx, v.Name, held.Layers)
		fault.Point("pods.image.mounted")
	}
	if err != nil {
		return fmt.Errorf("volume %s with image %s: %w", v.Name, v.Image.Reference, err)
	}
	return nil
}

// held is the image of a volume as the sandbox's engine knows it, with a container
// that is never started: it keeps the engine from dropping the layers, and tells later
// containers and a docker-sd after this one which image it is.
func (r imageMounts) held(ctx context.Context, v *v1.Volume) (engine.Image, error) {
	holder, err := r.s.Engine.Inspect(ctx, holderName(v.Name))
	if errdefs.IsNotFound(err) {
		var image images.Image
		if image, err = r.image(ctx, r.p.Images.wantVolume(v)); err != nil {
			return engine.Image{}, err
		}
		r.p.Images.Source.Hold(string(r.p.Spec.UID), image.HostID)
		spec := engine.Spec{Name: holderName(v.Name), Image: image.ID, Entrypoint: []string{"hold"}, Network: "none"}
		if _, err = r.s.Engine.CreateOnce(ctx, spec); err != nil {
			return engine.Image{}, err
		}
		fault.Point("pods.image.held")
		holder, err = r.s.Engine.Inspect(ctx, holderName(v.Name))
	}
	if err != nil {
		return engine.Image{}, err
	}
	return r.s.Engine.Image(ctx, holder.ImageID)
}

// holdFound has the host keep the images of volumes that an earlier docker-sd mounted.
func (p *Pod) holdFound(ctx context.Context, s *Stay) {
	for i := range p.Spec.Spec.Volumes {
		v := &p.Spec.Spec.Volumes[i]
		if v.Image == nil {
			continue
		}
		seen, err := s.Engine.Inspect(ctx, holderName(v.Name))
		if err == nil {
			p.Images.Source.Hold(string(p.Spec.UID), seen.ImageID)
		} else if !errdefs.IsNotFound(err) {
			log.G(ctx).WithField("volume", v.Name).WithError(err).Warn("the image of a volume could not be looked up")
		}
	}
}
