package containers

import (
	"context"
	"sync"

	"github.com/containerd/containerd/log"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/fault"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/podspec"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/podstatus"
	"golang.org/x/sync/errgroup"
	v1 "k8s.io/api/core/v1"
)

// RunInits runs the init containers in order. It returns false when one of them
// failed for good.
func (p *Pod) RunInits(ctx, side context.Context, s *Stay, set *Volumes, running *sync.WaitGroup) (bool, error) {
	for i := range p.Spec.Spec.InitContainers {
		c := p.runner(&p.Spec.Spec.InitContainers[i], s, set)
		if podspec.IsSidecar(c.spec) {
			running.Go(func() {
				if _, err := c.run(side); err != nil && side.Err() == nil {
					log.G(ctx).WithField("container", c.spec.Name).WithError(err).Warn("sidecar failed")
				}
			})
			if !p.awaitStarted(ctx, c.spec.Name) {
				return false, ctx.Err()
			}
			continue
		}
		end, err := c.run(ctx)
		if err != nil {
			return false, err
		}
		if end.ExitCode != 0 {
			return false, nil
		}
		fault.Point("pods.init.ended")
	}
	for i := range p.Spec.Spec.Containers {
		p.Statuses.Update(p.Spec.Spec.Containers[i].Name, func(s *v1.ContainerStatus) {
			if w := s.State.Waiting; w != nil && w.Reason == podstatus.ReasonInitializing {
				s.State = podstatus.Waiting(podstatus.ReasonCreating, "")
			}
		})
	}
	return true, nil
}

// awaitStarted waits until a container has started, startup probe included.
func (p *Pod) awaitStarted(ctx context.Context, container string) bool {
	for {
		now, _ := p.Statuses.Instance(container)
		statuses, _ := p.Statuses.Snapshot()
		if started := statuses[container].Started; started != nil && *started {
			return true
		}
		select {
		case <-ctx.Done():
			return false
		case <-now.Changed:
		}
	}
}

// RunMains runs the main containers side by side until all have ended for good.
func (p *Pod) RunMains(ctx context.Context, s *Stay, set *Volumes) error {
	var all []*runner
	for i := range p.Spec.Spec.Containers {
		all = append(all, p.runner(&p.Spec.Spec.Containers[i], s, set))
	}
	if err := p.awaitMains(ctx, all); err != nil {
		return err
	}
	var mains errgroup.Group
	for _, c := range all {
		mains.Go(func() error { _, err := c.run(ctx); return err })
	}
	return mains.Wait()
}
