package pods

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/containerd/containerd/log"
	"github.com/containerd/errdefs"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/containers"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/fault"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/initapi"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/pool"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/records"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/retry"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/volumes"
)

// serve runs the pod's containers in its sandbox, from wherever they are, until
// all have ended for good. Which of them exist and how they ended is read from
// the sandbox's engine, so the same code starts a pod and resumes one.
func (p *pod) serve(ctx context.Context, s *containers.Stay) error {
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
	set := containers.NewVolumes()
	watching.Go(func() { p.fit(measured, s.Sandbox) })
	watching.Go(func() { p.watchUsage(measured, s.Sandbox, set, cancel) })
	if s.Found {
		// What runs already is looked after whether its volumes can be made ready again
		// or not; only what is to be made waits for them.
		watching.Go(func() { set.Fill(p.makeReady(measured, s)) })
	} else if err := set.Fill(p.makeReady(ctx, s)); err != nil {
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
		err = p.containers.RunMains(ctx, s, set)
	}
	if err != nil {
		return causeOr(ctx, err)
	}
	stopSidecars()
	sidecars.Wait()
	if err := p.containers.StopSidecars(ctx, s.Sandbox, containers.GracePeriod(p.spec, nil)); err != nil && ctx.Err() == nil {
		log.G(ctx).WithError(err).Warn("not all sidecars could be stopped, they go with the pod's sandbox")
	}
	return causeOr(ctx, nil)
}

// makeReady is prepareUntil as a step of the pod's start.
func (p *pod) makeReady(ctx context.Context, s *containers.Stay) (*volumes.Set, error) {
	step, done := p.events.Step(ctx, StepVolumes)
	set, err := p.prepareUntil(step, s)
	done(err)
	return set, err
}

// prepareUntil tries again where another try may help: when an engine is away,
// and whenever the pod runs already, which a full disk must not end.
func (p *pod) prepareUntil(ctx context.Context, s *containers.Stay) (*volumes.Set, error) {
	tries := retry.New(time.Second, 30*time.Second)
	for {
		set, err := p.prepare(ctx, s.Sandbox)
		if err == nil || ctx.Err() != nil || !s.Found && !errdefs.IsUnavailable(err) {
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
	return set, containers.WriteManagedFiles(p.spec, s)
}

// initialize is runInits as a step of the pod's start.
func (p *pod) initialize(ctx, side context.Context, s *containers.Stay, set *containers.Volumes, running *sync.WaitGroup) (bool, error) {
	if len(p.spec.Spec.InitContainers) == 0 {
		return true, nil
	}
	step, done := p.events.Step(ctx, StepInit)
	ok, err := p.containers.RunInits(step, side, s, set, running)
	done(err)
	return ok, err
}
