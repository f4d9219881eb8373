package pods

import (
	"context"
	"fmt"
	"time"

	"github.com/containerd/containerd/log"
	v1 "k8s.io/api/core/v1"
	quantity "k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/component-helpers/resource"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/podspec"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/volumes"
)

// usagePeriod is how often the disk usage of a pod with limits on it is
// measured, as often as kubelet does.
const usagePeriod = 10 * time.Second

// watchUsage evicts the pod when an emptyDir outgrows its sizeLimit or a
// container its ephemeral-storage limit. It returns when ctx ends.
func (r *sandboxRun) watchUsage(ctx context.Context, evict context.CancelCauseFunc) {
	if !limitsStorage(r.p.spec) {
		return
	}
	set, err := r.volumes.Wait(ctx)
	if err != nil {
		return
	}
	tick := time.NewTicker(usagePeriod)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if message := r.overUsage(ctx, set); message != "" {
			evict(&evicted{message: message})
			return
		}
	}
}

// limitsStorage says that the pod has a limit that watchUsage has to hold.
func limitsStorage(pod *v1.Pod) bool {
	for _, v := range pod.Spec.Volumes {
		if v.EmptyDir != nil && v.EmptyDir.SizeLimit != nil || v.Ephemeral != nil {
			return true
		}
	}
	for _, c := range podspec.Containers(pod) {
		if !c.Resources.Limits.StorageEphemeral().IsZero() {
			return true
		}
	}
	return false
}

// overUsage is a sentence on the first limit that is exceeded, "" if none is.
func (r *sandboxRun) overUsage(ctx context.Context, set *volumes.Set) string {
	over, err := set.OverLimit(ctx)
	if err != nil && ctx.Err() == nil {
		log.G(ctx).WithError(err).Warn("the size of a volume could not be measured")
	}
	if len(over) > 0 {
		volume, kind := over[0], "EmptyDir"
		if volume.Ephemeral {
			kind = "ephemeral"
		}
		return fmt.Sprintf("Usage of %s volume %q exceeds the limit %q", kind, volume.Volume,
			quantity.NewQuantity(volume.LimitBytes, quantity.BinarySI))
	}
	return r.overEphemeral(ctx, set)
}

// overEphemeral holds the limits of ephemeral storage as kubelet does: each container's own
// for its log and what it writes to its file system, and their sum for these of all
// containers together with the volumes that are on disk and not a claim's. It says which is
// exceeded.
func (r *sandboxRun) overEphemeral(ctx context.Context, set *volumes.Set) string {
	limits := resource.PodLimits(r.p.spec, resource.PodResourcesOptions{})
	sum := limits.StorageEphemeral()
	if sum.IsZero() {
		return ""
	}
	ctx, cancel := context.WithTimeout(ctx, measureLimit)
	defer cancel()
	total := r.p.measure(ctx, r.stay.Dir, ".").Bytes
	claimed, err := set.EphemeralBytes(ctx)
	if err != nil && ctx.Err() == nil {
		log.G(ctx).WithError(err).Warn("the size of an ephemeral volume could not be measured")
	}
	total -= claimed
	users := r.p.containerUsers(ctx, r.stay.Sandbox)
	metered{r.p}.keepStorage(total, users)
	for _, c := range users {
		total += c.Used
		limit := podspec.FindContainer(r.p.spec, c.Name).Resources.Limits.StorageEphemeral()
		if !limit.IsZero() && c.Used > limit.Value() {
			return fmt.Sprintf("Container %s exceeded its local ephemeral storage limit %q", c.Name, limit)
		}
	}
	if total > sum.Value() {
		return fmt.Sprintf("Pod ephemeral local storage usage exceeds the total limit of containers %s", sum)
	}
	return ""
}
