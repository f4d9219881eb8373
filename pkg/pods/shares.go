package pods

import (
	"context"
	"time"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/podspec"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/retry"
)

// fitDelay bounds how long a pod's bounds wait for its first container.
const fitDelay = 2 * time.Second

// fit gives the sandbox the bounds of its pod as soon as its first container runs,
// and tries again until it has them. An update takes 17 ms of an engine and is a good
// part of a warm start on a machine of two cores, so it comes after that. Nothing
// waits for it, and a pod is not ended over it: what the sandbox was booted with, and
// what is above all sandboxes, holds meanwhile. It is not left at that, because only
// its own bound keeps a pod from what others were promised.
func (r *sandboxRun) fit(ctx context.Context) {
	delay := time.NewTimer(fitDelay)
	defer delay.Stop()
	select {
	case <-r.p.start:
	case <-delay.C:
	case <-ctx.Done():
		return
	}
	tries := retry.New(time.Second, 30*time.Second)
	for {
		err := r.p.node.sandboxes.Fit(ctx, r.stay.Sandbox, podspec.Bounds(r.p.spec))
		if err == nil {
			tries.Succeeded(ctx, "the sandbox has the bounds of its pod")
			return
		}
		if tries.Failed(ctx, "the sandbox keeps the bounds that it was booted with for now, trying again", err) != nil {
			return
		}
	}
}
