package containers

import (
	"context"
	"fmt"
	"slices"

	"github.com/containerd/errdefs"
	v1 "k8s.io/api/core/v1"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/engine"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/initapi"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/podspec"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/sandbox"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/volumes"
)

// fuseAccess is what a container gets to mount FUSE file systems; nothing for most.
type fuseAccess struct {
	// source is what volumes of /dev/fuse show, by its path in the sandbox.
	source  string
	devices []engine.Device
	mounts  []engine.Mount
}

// noFuse is a device that can be opened. Libraries open /dev/fuse before they try to
// mount, are refused, and run fusermount, which brings the descriptor that they need.
const noFuse = "/dev/null"

// fuseAccess asks the sandbox's init for what the container may have. One that may mount by
// itself gets the device; any other one gets the command that asks for a mount, since
// with the device it could mount in a namespace of its own, out of docker-sd's sight.
func (p *Pod) fuseAccess(ctx context.Context, s *sandbox.Sandbox, c *v1.Container, set *volumes.Set, planned []volumes.Mount) (fuseAccess, error) {
	asked := slices.ContainsFunc(planned, func(m volumes.Mount) bool { return m.Fuse })
	if !asked && !podspec.WantsFuse(c, p.Node) {
		return fuseAccess{}, nil
	}
	offer, err := s.Init.Fuse(ctx, set.EmptyDirs())
	if errdefs.IsNotImplemented(err) {
		err = nil // a sandbox from before docker-sd was upgraded
	}
	switch {
	case err != nil:
		return fuseAccess{}, err
	case offer == nil && asked:
		return fuseAccess{}, fmt.Errorf("container %q asks for %s, which its sandbox does not have", c.Name, initapi.FuseDevice)
	case offer == nil:
		return fuseAccess{}, nil
	case podspec.MayMount(c, p.Node):
		return fuseAccess{source: initapi.FuseDevice,
			devices: []engine.Device{{Host: initapi.FuseDevice, Container: initapi.FuseDevice, Permissions: "rw"}}}, nil
	}
	out := fuseAccess{source: noFuse, mounts: []engine.Mount{{Source: noFuse, Target: initapi.FuseDevice},
		{Source: offer.Socket, Target: initapi.FuseSocket}}}
	for _, path := range initapi.FusePrograms() {
		out.mounts = append(out.mounts, engine.Mount{Source: offer.Program, Target: path, ReadOnly: true})
	}
	return out, nil
}

// addTo adds the mounts of which none is asked for at the same place.
func (a fuseAccess) addTo(mounts []engine.Mount) []engine.Mount {
	for _, m := range a.mounts {
		if !slices.ContainsFunc(mounts, func(other engine.Mount) bool { return other.Target == m.Target }) {
			mounts = append(mounts, m)
		}
	}
	return mounts
}
