package eviction

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/containerd/containerd/log"
)

// Config of a Watch.
type Config struct {
	Thresholds []Threshold
	// Folders and Images measure the disks; Images is nil where the engine's data
	// cannot be seen.
	Folders, Images func() (Space, error)
	// Reclaim removes what nobody needs, such as images; nil if there is nothing.
	Reclaim func(context.Context) error
	Pods    Pods
}

const (
	// period is that of kubelet's eviction manager.
	period = 10 * time.Second
	// goneLimit is how long a disk may take to show that a pod has gone, as in kubelet,
	// before another one is evicted.
	goneLimit = 30 * time.Second
)

// Watch looks after the disks.
type Watch struct {
	config Config

	mu  sync.Mutex
	low string
}

// New makes a watch that does nothing until Run.
func New(config Config) *Watch { return &Watch{config: config} }

// Trouble says which disk is low, "" while none is.
func (w *Watch) Trouble() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.low
}

// Low says which disk is below a threshold now, "" where none is.
func (w *Watch) Low() (string, error) {
	crossed, err := w.crossed()
	if crossed == nil {
		return "", err
	}
	return crossed.String(), nil
}

// Run looks until ctx ends. As long as no threshold is crossed a look is two system
// calls for each disk.
func (w *Watch) Run(ctx context.Context) {
	if len(w.config.Thresholds) == 0 {
		return
	}
	tick := time.NewTicker(period)
	defer tick.Stop()
	failed := ""
	for {
		err := w.round(ctx)
		if err != nil && ctx.Err() == nil && err.Error() != failed {
			failed = err.Error()
			log.G(ctx).WithError(err).Warn("a disk could not be looked after")
		}
		if err == nil {
			failed = ""
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// round is one look: what nobody needs goes first, then one pod.
func (w *Watch) round(ctx context.Context) error {
	crossed, err := w.crossed()
	before := w.Trouble()
	if w.tell(crossed); crossed == nil {
		if before != "" && err == nil {
			log.G(ctx).Info("the disks have enough room again")
		}
		return err
	}
	if before == "" {
		log.G(ctx).Warn("a disk is low: " + crossed.String())
	}
	if w.config.Reclaim != nil {
		if err := w.config.Reclaim(ctx); err != nil && ctx.Err() == nil {
			log.G(ctx).WithError(err).Warn("unused images could not be removed from a disk that is low")
		}
		if crossed, err = w.crossed(); crossed == nil || ctx.Err() != nil {
			w.tell(crossed)
			return err
		}
	}
	return w.evict(ctx, *crossed)
}

func (w *Watch) tell(crossed *crossing) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.low = ""; crossed != nil {
		w.low = "a disk is low, pods that fill it are evicted: " + crossed.String()
	}
}

// crossed is the first threshold that is, nil if none is of those that can be told.
func (w *Watch) crossed() (*crossing, error) {
	var problems []error
	for _, t := range w.config.Thresholds {
		measure := w.config.Folders
		if t.Images {
			measure = w.config.Images
		}
		if measure == nil {
			continue
		}
		space, err := measure()
		if err != nil {
			problems = append(problems, err)
			continue
		}
		if c, below := t.crosses(space); below {
			return &c, nil
		}
	}
	return nil, errors.Join(problems...)
}

// evict ends the pod that has most above its request on the disk that is low.
func (w *Watch) evict(ctx context.Context, c crossing) error {
	on := w.parts(c)
	used := func(u User) int64 { return on.of(c, u) }
	above := func(u User) int64 {
		if c.threshold.Inodes {
			return used(u) // nobody requests them
		}
		return used(u) - u.Request
	}
	users := w.config.Pods.DiskUsers(ctx)
	if len(users) == 0 || ctx.Err() != nil {
		return nil
	}
	worst := slices.MaxFunc(users, func(a, b User) int { return cmp.Compare(above(a), above(b)) })
	if above(worst) < c.leastGain() {
		return fmt.Errorf("no pod uses much above its request, so none is evicted: others than pods fill the disk (%s)", c.threshold.Signal)
	}
	log.G(ctx).WithField("pod", worst.UID).WithField("used", c.amount(used(worst))).Warn("a pod is evicted because a disk is low: " + c.String())
	gone := w.config.Pods.Evict(worst.UID, c.message(worst, on))
	if gone == nil {
		return nil
	}
	timer := time.NewTimer(goneLimit)
	defer timer.Stop()
	select {
	case <-gone:
	case <-timer.C:
	case <-ctx.Done():
	}
	return nil
}

// parts of a pod that are on the disk that is low.
type parts struct{ folder, data bool }

// parts are all where the host has one disk, or where it cannot be told.
func (w *Watch) parts(c crossing) parts {
	other := w.config.Images
	if c.threshold.Images {
		other = w.config.Folders
	}
	if other == nil {
		return parts{true, true}
	}
	if space, err := other(); err == nil && space.Device == c.space.Device {
		return parts{true, true}
	}
	return parts{folder: !c.threshold.Images, data: c.threshold.Images}
}

func (on parts) of(c crossing, u User) (sum int64) {
	if on.folder {
		sum += c.of(u.Folder)
	}
	if on.data {
		sum += c.of(u.Data)
	}
	return sum
}

func (c crossing) of(a Amount) int64 {
	if c.threshold.Inodes {
		return a.Inodes
	}
	return a.Bytes
}

// leastGain is what a pod has to give back to be worth its end: less is what every
// sandbox has, and pods would be ended for a disk that somebody else fills.
func (c crossing) leastGain() int64 {
	if c.threshold.Inodes {
		return max(min(10_000, c.space.Inodes/100), 1)
	}
	return max(min(16<<20, c.space.Bytes/100), 1)
}

// message is kubelet's. What a pod has in its volumes is no container's, so the pod
// is named where no container is at fault.
func (c crossing) message(u User, on parts) string {
	var out strings.Builder
	fmt.Fprintf(&out, "The node was low on resource: %s. Threshold quantity: %s, available: %s. ", c.resource(), c.amount(c.want), c.amount(c.available))
	const larger = "was using %s, request is %s, has larger consumption of %s. "
	named := false
	for _, one := range u.Containers {
		if on.data && !c.threshold.Inodes && one.Used > one.Request && one.Used >= c.leastGain() {
			named = true
			fmt.Fprintf(&out, "Container %s "+larger, one.Name, amount(one.Used), amount(one.Request), c.resource())
		}
	}
	if !named {
		request := u.Request
		if c.threshold.Inodes {
			request = 0
		}
		fmt.Fprintf(&out, "Pod %s "+larger, u.Name, c.amount(on.of(c, u)), c.amount(request), c.resource())
	}
	return strings.TrimSpace(out.String())
}
