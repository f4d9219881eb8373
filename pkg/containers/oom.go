package containers

import (
	"context"

	"github.com/containerd/containerd/log"
	"github.com/containerd/errdefs"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/sandbox"
)

// groupOOM has the kernel kill a container that runs as a whole where it kills one of its
// processes for memory. The engine has no option for that.
func (p *Pod) groupOOM(ctx context.Context, s *sandbox.Sandbox, id string) {
	if !p.Node.GroupOOM {
		return
	}
	if err := s.Init.GroupOOM(ctx, id); err != nil && !errdefs.IsNotImplemented(err) && ctx.Err() == nil && !isGone(s) {
		log.G(ctx).WithError(err).Warn("a container that runs out of memory may lose one process and go on")
	}
}
