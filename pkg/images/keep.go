package images

import (
	"context"
	"sync"
	"time"

	"github.com/containerd/containerd/log"
	v1 "k8s.io/api/core/v1"
)

const (
	// freshPeriod is how often a kept image is compared with its registry. Public
	// registries count such questions, some by a hundred in six hours.
	freshPeriod = 6 * time.Hour
	// keepRetry is when an image is asked for again that could not be had.
	keepRetry = 5 * time.Minute
)

// KeepOnHost pulls images now, and again when their registries have newer ones, until ctx
// ends, so that no pod waits for them. Where there is a library they are imported too.
func (p *Provider) KeepOnHost(ctx context.Context, refs []string) {
	var group sync.WaitGroup
	defer group.Wait()
	for _, ref := range refs {
		group.Go(func() { p.keepOnHost(ctx, ref) })
	}
}

func (p *Provider) keepOnHost(ctx context.Context, ref string) {
	for {
		period := freshPeriod
		_, err := p.OnHost(ctx, Want{Ref: ref, Policy: v1.PullAlways, own: true})
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			period = keepRetry
			log.G(ctx).WithField("image", ref).WithField("again", period).WithError(err).Warn("an image of ImagesToKeep could not be had")
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(period):
		}
	}
}
