package pods

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/containerd/containerd/log"
	"github.com/containerd/errdefs"
	"github.com/google/renameio/v2"
	"golang.org/x/sync/errgroup"
	v1 "k8s.io/api/core/v1"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/fault"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/initapi"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/podspec"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/podstatus"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/pool"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/records"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/retry"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/volumes"
)

// serve runs the pod's containers in its sandbox, from wherever they are, until
// all have ended for good. Which of them exist and how they ended is read from
// the sandbox's engine, so the same code starts a pod and resumes one.
func (p *pod) serve(ctx context.Context, s *stay) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	stop := p.bound(s.Sandbox, cancel)
	defer stop()
	p.evict.Store(&cancel)
	defer p.evict.Store(nil)

	var watching sync.WaitGroup
	defer watching.Wait()
	measured, stopMeasuring := context.WithCancel(ctx)
	defer stopMeasuring()
	set := newPendingSet()
	watching.Go(func() { p.fit(measured, s.Sandbox) })
	watching.Go(func() { p.watchUsage(measured, s.Sandbox, set, cancel) })
	if s.found {
		// What runs already is looked after whether its volumes can be made ready again
		// or not; only what is to be made waits for them.
		watching.Go(func() { set.fill(p.makeReady(measured, s)) })
	} else if err := set.fill(p.makeReady(ctx, s)); err != nil {
		return causeOr(ctx, err)
	}
	// Sidecars live until the main containers have ended, not longer.
	var sidecars sync.WaitGroup
	defer sidecars.Wait()
	side, stopSidecars := context.WithCancel(ctx)
	defer stopSidecars()
	ok, err := p.initialize(ctx, side, s, set, &sidecars)
	if err != nil {
		return causeOr(ctx, err)
	}
	if ok {
		err = p.runMains(ctx, s, set)
	}
	if err != nil {
		return causeOr(ctx, err)
	}
	stopSidecars()
	sidecars.Wait()
	if err := p.stopSidecars(ctx, s.Sandbox, gracePeriod(p.spec, nil)); err != nil && ctx.Err() == nil {
		log.G(ctx).WithError(err).Warn("not all sidecars could be stopped, they go with the pod's sandbox")
	}
	return causeOr(ctx, nil)
}

// runMains runs the main containers side by side until all have ended for good.
func (p *pod) runMains(ctx context.Context, s *stay, set *pendingSet) error {
	var mains errgroup.Group
	for i := range p.spec.Spec.Containers {
		c := p.runner(&p.spec.Spec.Containers[i], s, set)
		mains.Go(func() error { _, err := c.run(ctx); return err })
	}
	return mains.Wait()
}

// pendingSet is a pod's volumes once they are ready.
type pendingSet struct {
	ready chan struct{}
	set   *volumes.Set
	err   error
}

func newPendingSet() *pendingSet { return &pendingSet{ready: make(chan struct{})} }

// fill ends the waiting, once.
func (v *pendingSet) fill(set *volumes.Set, err error) error {
	v.set, v.err = set, err
	close(v.ready)
	return err
}

// wait returns the volumes, or why there are none.
func (v *pendingSet) wait(ctx context.Context) (*volumes.Set, error) {
	select {
	case <-v.ready:
		return v.set, v.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// makeReady is prepareUntil as a step of the pod's start.
func (p *pod) makeReady(ctx context.Context, s *stay) (*volumes.Set, error) {
	step, done := p.step(ctx, StepVolumes)
	set, err := p.prepareUntil(step, s)
	done(err)
	return set, err
}

// prepareUntil tries again where another try may help: when an engine is away,
// and whenever the pod runs already, which a full disk must not end.
func (p *pod) prepareUntil(ctx context.Context, s *stay) (*volumes.Set, error) {
	tries := retry.New(time.Second, 30*time.Second)
	for {
		set, err := p.prepare(ctx, s.Sandbox)
		if err == nil || ctx.Err() != nil || !s.found && !errdefs.IsUnavailable(err) {
			if err == nil {
				tries.Succeeded(ctx, "the pod's volumes are ready")
			}
			return set, err
		}
		if err := tries.Failed(ctx, "the pod's volumes could not be made ready, trying again", err); err != nil {
			return nil, err
		}
	}
}

// causeOr prefers why the context was ended to what broke because of it.
func causeOr(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

// bound calls cancel when the sandbox stops or the pod's deadline passes, until stop.
func (p *pod) bound(s *pool.Sandbox, cancel context.CancelCauseFunc) (stop func()) {
	stopGone := s.AfterGone(func() { cancel(errGone) })
	seconds := p.spec.Spec.ActiveDeadlineSeconds
	if seconds == nil {
		return func() { stopGone() }
	}
	left := time.Duration(*seconds)*time.Second - p.record.Load().Age(records.Now(), time.Now())
	deadline := time.AfterFunc(left, func() { cancel(errDeadline) })
	return func() { stopGone(); deadline.Stop() }
}

// prepare makes the pod's volumes and the files that kubelet manages.
func (p *pod) prepare(ctx context.Context, s *pool.Sandbox) (*volumes.Set, error) {
	r := p.record.Load()
	set, err := volumes.Prepare(s.PodDir(), p.spec, r.Data, p.m.config.Volumes)
	if err != nil {
		return nil, err
	}
	fault.Point("pods.volumes.written")
	if err := os.Symlink(s.PodDir(), p.link()); err != nil && !errors.Is(err, os.ErrExist) {
		return nil, fmt.Errorf("name the pod's folder: %w", err)
	}
	fault.Point("pods.volumes.named")
	for _, tmpfs := range set.Tmpfs() {
		if err := s.Init.Tmpfs(ctx, initapi.Tmpfs{Path: tmpfs.Path, SizeBytes: tmpfs.SizeBytes, Mode: tmpfs.Mode, GID: tmpfs.GID}); err != nil {
			return nil, fmt.Errorf("volume %q: %w", tmpfs.Volume, err)
		}
		fault.Point("pods.volumes.mounted")
	}
	checks, err := set.Checks()
	if err != nil {
		return nil, err
	}
	for _, check := range checks {
		if err := s.Init.Check(ctx, check.Source); err != nil {
			return nil, fmt.Errorf("%s %w", check.Volume, err)
		}
	}
	if err := p.fitSandbox(ctx, s); err != nil {
		return nil, err
	}
	return set, p.managedFiles(s)
}

// managedFiles are those that every container gets: /etc/hosts, and one file
// per container for its termination message.
func (p *pod) managedFiles(s *pool.Sandbox) error {
	dir := filepath.Join(s.PodDir(), "managed")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("make the pod's managed files: %w", err)
	}
	// Containers have the file mounted: it is written once and never replaced.
	if _, err := os.Stat(hostsPath(s)); errors.Is(err, os.ErrNotExist) {
		if err := renameio.WriteFile(hostsPath(s), []byte(podspec.HostsFile(p.spec, s.IP)), 0o644, renameio.WithTempDir(dir)); err != nil {
			return fmt.Errorf("write the pod's /etc/hosts: %w", err)
		}
		fault.Point("pods.volumes.managed")
	}
	for _, c := range podspec.Containers(p.spec) {
		// Any user in the container may write its message, as in kubelet.
		f, err := os.OpenFile(messagePath(s, c.Name), os.O_CREATE|os.O_WRONLY, 0o666)
		if err != nil {
			return fmt.Errorf("make the termination message file: %w", err)
		}
		if err := errors.Join(f.Chmod(0o666), f.Close()); err != nil {
			return fmt.Errorf("make the termination message file: %w", err)
		}
	}
	return nil
}

func hostsPath(s *pool.Sandbox) string { return filepath.Join(s.PodDir(), "managed", "hosts") }

func messagePath(s *pool.Sandbox, container string) string {
	return filepath.Join(s.PodDir(), "managed", container+".message")
}

// initialize is runInits as a step of the pod's start.
func (p *pod) initialize(ctx, side context.Context, s *stay, set *pendingSet, running *sync.WaitGroup) (bool, error) {
	if len(p.spec.Spec.InitContainers) == 0 {
		return true, nil
	}
	step, done := p.step(ctx, StepInit)
	ok, err := p.runInits(step, side, s, set, running)
	done(err)
	return ok, err
}

// runInits runs the init containers in order. It returns false when one of them
// failed for good.
func (p *pod) runInits(ctx, side context.Context, s *stay, set *pendingSet, running *sync.WaitGroup) (bool, error) {
	for i := range p.spec.Spec.InitContainers {
		c := p.runner(&p.spec.Spec.InitContainers[i], s, set)
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
	for i := range p.spec.Spec.Containers {
		p.statuses.Update(p.spec.Spec.Containers[i].Name, func(s *v1.ContainerStatus) {
			if w := s.State.Waiting; w != nil && w.Reason == podstatus.ReasonInitializing {
				s.State = podstatus.Waiting(podstatus.ReasonCreating, "")
			}
		})
	}
	return true, nil
}

// awaitStarted waits until a container has started, startup probe included.
func (p *pod) awaitStarted(ctx context.Context, container string) bool {
	for {
		now, _ := p.statuses.Instance(container)
		statuses, _ := p.statuses.Snapshot()
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
