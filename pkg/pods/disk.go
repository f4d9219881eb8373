package pods

import (
	"context"
	"path"
	"time"

	"github.com/containerd/containerd/log"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/eviction"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/initapi"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/podspec"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/sandbox"
)

// measureLimit bounds the measuring of one pod. What was seen until then counts.
const measureLimit = 30 * time.Second

// containerUsers measures the containers that exist, those that have ended included: what
// each has written to its file system, and its log.
func (p *pod) containerUsers(ctx context.Context, s *sandbox.Sandbox) []eviction.Container {
	var out []eviction.Container
	for _, c := range podspec.Containers(p.spec) {
		now, _ := p.statuses.Instance(c.Name)
		if now.ID == "" {
			continue
		}
		written, err := s.Engine.WrittenBytes(ctx, now.ID)
		if err != nil {
			log.G(ctx).WithError(err).Debug("what a container has written could not be measured")
		}
		written += measureInside(ctx, s, path.Join(initapi.DataPath, "containers", now.ID)).Bytes
		out = append(out, eviction.Container{Name: c.Name, Used: written, Request: c.Resources.Requests.StorageEphemeral().Value()})
	}
	return out
}

// measureInside sums up a folder of the sandbox.
func measureInside(ctx context.Context, s *sandbox.Sandbox, folder string) eviction.Amount {
	got, err := s.Init.Measure(ctx, folder)
	if err != nil {
		log.G(ctx).WithError(err).Debug("a folder of the sandbox was measured in part")
	}
	return eviction.Amount{Bytes: got.Bytes, Inodes: got.Inodes}
}

// measure sums up a folder below root, on the host.
func (p *pod) measure(ctx context.Context, root, below string) eviction.Amount {
	got, err := p.node.config.Measure(ctx, root, below)
	if err != nil {
		log.G(p.life).WithError(err).Debug("a folder of the pod was measured in part")
	}
	return got
}
