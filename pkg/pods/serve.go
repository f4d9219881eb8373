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
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/joining"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/retry"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/volumes"
)

// serve runs the pod's containers in its sandbox, from wherever they are, until
// all have ended for good. Which of them exist and how they ended is read from
// the sandbox's engine, so the same code starts a pod and resumes one.
func (r *sandboxRun) serve(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	stop := r.bound(cancel)
	defer stop()
	r.p.evict.Store(&cancel)
	defer r.p.evict.Store(nil)

	var watching sync.WaitGroup
	defer watching.Wait()
	measured, stopMeasuring := context.WithCancel(ctx)
	defer stopMeasuring()
	watching.Go(func() { r.fit(measured) })
	watching.Go(func() { r.watchUsage(measured, cancel) })
	network := r.join(measured, &watching)
	if r.stay.Found {
		// What runs already is looked after whether its volumes can be made ready again
		// or not; only what is to be made waits for them.
		watching.Go(func() { r.volumes.Fill(r.makeReady(measured)) })
	} else if err := r.volumes.Fill(r.makeReady(ctx)); err != nil {
		return causeOr(ctx, err)
	}
	if err := network.Wait(ctx); err != nil {
		return causeOr(ctx, err)
	}
	return r.rounds(ctx)
}

// join begins to join the network of the pod's cluster, if the pod is to.
func (r *sandboxRun) join(ctx context.Context, group *sync.WaitGroup) *joining.Attempt {
	statuses, _ := r.p.statuses.Snapshot()
	return r.p.network.Join(ctx, group, joining.Stay{Init: r.stay.Init, Found: r.stay.Found, RanBefore: r.p.statuses.RanBefore(),
		Statuses: statuses, Explain: r.p.containers.Explain})
}

// rounds runs all containers, and once more whenever the end of one of them asks for that.
func (r *sandboxRun) rounds(ctx context.Context) error {
	all := r.p.containers.Everything(r.stay)
	why, err := all.Interrupted(ctx)
	for err == nil {
		if why != nil {
			if err = all.Again(ctx, why); err != nil {
				break
			}
		}
		round, cancel := all.Round(ctx)
		err = r.round(round)
		cancel(nil)
		if ctx.Err() != nil || !errors.As(err, &why) {
			break
		}
		err = nil
	}
	return causeOr(ctx, err)
}

// round runs all containers to their ends. ctx ends when they are to be started again.
func (r *sandboxRun) round(ctx context.Context) error {
	// Sidecars live until the main containers have ended, not longer.
	var sidecars sync.WaitGroup
	defer sidecars.Wait()
	side, stopSidecars := context.WithCancel(ctx)
	defer stopSidecars()
	ok, err := r.initialize(ctx, side, &sidecars)
	if err != nil {
		return causeOr(ctx, err)
	}
	if ok {
		err = r.p.containers.RunMains(ctx, r.stay, r.volumes)
	}
	if err != nil {
		return causeOr(ctx, err)
	}
	stopSidecars()
	sidecars.Wait()
	if err := r.p.containers.StopSidecars(ctx, r.stay.Sandbox, containers.GracePeriod(r.p.spec, nil)); err != nil && ctx.Err() == nil {
		log.G(ctx).WithError(err).Warn("not all sidecars could be stopped, they go with the pod's sandbox")
	}
	return causeOr(ctx, nil)
}

// makeReady prepares the volumes, as a step of the pod's start.
func (r *sandboxRun) makeReady(ctx context.Context) (*volumes.Set, error) {
	step, done := r.p.events.Step(ctx, StepVolumes)
	set, err := r.prepareUntil(step)
	done(err)
	return set, err
}

// volumeError says that a volume could not be set up. As with kubelet, the pod waits, says
// why, and the volume is tried again.
type volumeError struct{ err error }

// Error is for the pod's owner.
func (e *volumeError) Error() string { return e.err.Error() }

// Unwrap gives the cause.
func (e *volumeError) Unwrap() error { return e.err }

// prepareUntil tries again where another try may help: when an engine is away, when a
// volume is not as its pod wants it, and whenever the pod runs already, which a full disk
// must not end.
func (r *sandboxRun) prepareUntil(ctx context.Context) (*volumes.Set, error) {
	tries, explained := retry.New(time.Second, 30*time.Second), false
	for {
		set, err := r.prepare(ctx)
		volume := &volumeError{}
		fault := errors.As(err, &volume) && !errdefs.IsUnavailable(err)
		if err == nil || ctx.Err() != nil || !r.stay.Found && !errdefs.IsUnavailable(err) && !fault {
			if err == nil {
				tries.Succeeded(ctx, "the pod's volumes are ready")
			}
			if err == nil && explained {
				r.p.containers.Explain("")
			}
			return set, err
		}
		switch {
		case fault:
			r.p.containers.Explain(volume.Error())
			explained = true
		case !r.stay.Found:
			r.p.containers.Explain("waiting for its volumes: " + err.Error())
			explained = true
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
func (r *sandboxRun) bound(cancel context.CancelCauseFunc) (stop func()) {
	stopGone := r.stay.AfterGone(func() { cancel(errSandboxExited) })
	if r.p.spec.Spec.ActiveDeadlineSeconds == nil {
		return func() { stopGone() }
	}
	deadline := time.AfterFunc(r.p.timeLeft(), func() { cancel(errDeadline) })
	return func() { stopGone(); deadline.Stop() }
}

// prepare makes the pod's volumes and the files that kubelet manages.
func (r *sandboxRun) prepare(ctx context.Context) (*volumes.Set, error) {
	set, err := r.setUp(ctx)
	if err != nil {
		return nil, &volumeError{err}
	}
	if err := r.fitSandbox(ctx); err != nil {
		return nil, err
	}
	return set, r.p.containers.WriteManagedFiles(r.stay.Sandbox)
}

// setUp makes the pod's volumes.
func (r *sandboxRun) setUp(ctx context.Context) (*volumes.Set, error) {
	if err := r.p.node.claims.Await(ctx, volumes.ClaimFolders(r.p.spec)); err != nil {
		return nil, err
	}
	data := r.p.record.Load().Data
	set, err := volumes.Prepare(r.stay.PodDir(), r.p.spec, data, r.p.node.config.Volumes)
	if err != nil {
		return nil, err
	}
	fault.Point("pods.volumes.written")
	if err := os.Symlink(r.stay.PodDir(), r.p.link()); err != nil && !errors.Is(err, os.ErrExist) {
		return nil, fmt.Errorf("name the pod's folder: %w", err)
	}
	fault.Point("pods.volumes.named")
	for _, tmpfs := range set.Tmpfs() {
		if err := r.mountMemory(ctx, tmpfs); err != nil {
			return nil, fmt.Errorf("volume %q: %w", tmpfs.Volume, err)
		}
		fault.Point("pods.volumes.mounted")
	}
	for _, export := range set.Exports() {
		if err := r.stay.Init.MountNFS(ctx, export.NFS); err != nil {
			return nil, fmt.Errorf("%s: %w", export.Volume, err)
		}
	}
	checks, err := set.Checks()
	if err != nil {
		return nil, err
	}
	for _, check := range checks {
		if err := r.stay.Init.Check(ctx, check.Source); err != nil {
			return nil, fmt.Errorf("%s %w", check.Volume, err)
		}
	}
	return set, nil
}

// mountMemory mounts an emptyDir of memory, or of huge pages.
func (r *sandboxRun) mountMemory(ctx context.Context, t volumes.Tmpfs) error {
	memory := initapi.Tmpfs{Path: t.Path, SizeBytes: t.SizeBytes, Mode: t.Mode, GID: t.GID}
	if t.PageBytes > 0 {
		return r.stay.Init.Hugetlbfs(ctx, initapi.Hugetlbfs{Tmpfs: memory, PageBytes: t.PageBytes})
	}
	return r.stay.Init.Tmpfs(ctx, memory)
}

// initialize runs the init containers, as a step of the pod's start.
func (r *sandboxRun) initialize(ctx, side context.Context, running *sync.WaitGroup) (bool, error) {
	if len(r.p.spec.Spec.InitContainers) == 0 {
		return true, nil
	}
	step, done := r.p.events.Step(ctx, StepInit)
	ok, err := r.p.containers.RunInits(step, side, r.stay, r.volumes, running)
	done(err)
	return ok, err
}
