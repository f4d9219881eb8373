package pods

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/containerd/containerd/log"
	"golang.org/x/sync/semaphore"
	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/engine"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/fault"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/images"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/pool"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/retry"
)

// Why a pod's goroutine was told to stop.
var (
	errDeleted  = errors.New("the pod was deleted")
	errShutdown = errors.New("docker-sd is shutting down")
	errGone     = errors.New("the pod's sandbox stopped")
	errDeadline = errors.New("the pod was active longer than its activeDeadlineSeconds")
)

// pod is one pod and the goroutine that owns its life.
type pod struct {
	*state

	m    *Manager
	spec *v1.Pod
	// claim is nil for a pod that was found again after a restart.
	claim *pool.Claim
	// admitted is closed once the pod is on disk, or refused with admitErr.
	admitted chan struct{}
	admitErr error
	// adopted is closed once the containers of an earlier run have been looked up.
	adopted chan struct{}
	// located is closed once their logs can be read, too.
	located chan struct{}
	// cancel tells the goroutine why to stop; done is closed when it has.
	cancel context.CancelCauseFunc
	done   chan struct{}
	// life is the context of all that is done for the pod; a delete does not end it.
	life context.Context
	// running ends StepStart; it may be called more than once.
	running func(error)

	// swapped says that the first sandbox was given back for a fresh one.
	swapped bool
	// resumed says that containers may exist from before: after a restart of
	// docker-sd, or when the sandbox was lost and found.
	resumed bool
	// startedOver says that the containers run again in another sandbox.
	startedOver bool
	// loss says what happened to the sandbox, for containers that died with it.
	loss string
	// reading is held by log readers; the sandbox stays while one reads.
	reading *semaphore.Weighted
	// found are images that were in the sandbox when the pod was placed; only
	// read after that.
	found map[string]images.Image
	// onHost are the pod's images on the host, by reference.
	onHost map[string]engine.Image
	// missing are those that could not be had before the pod was placed.
	missing map[string]*images.PullError
	// pidNamespace is what shareProcessNamespace joins; set before containers start.
	pidNamespace string
	// sandbox is set once the pod has been placed.
	sandbox atomic.Pointer[pool.Sandbox]

	// evict ends the pod while its containers are served, nil otherwise.
	evict atomic.Pointer[context.CancelCauseFunc]
	// released is closed once the pod has given up its sandbox, or docker-sd ends.
	released chan struct{}

	// start is closed when the first container runs, or the pod's start is over
	// otherwise.
	start   chan struct{}
	started sync.Once

	// kept is the record; saving serialises its changes. Readers never wait for
	// a disk.
	kept   atomic.Pointer[record]
	saving sync.Mutex
}

// change edits the record, if that can be saved: it is for intents, which are on
// disk before they are acted on.
func (p *pod) change(edit func(*record)) error {
	p.saving.Lock()
	defer p.saving.Unlock()
	changed := *p.kept.Load()
	edit(&changed)
	if err := p.save(&changed); err != nil {
		return err
	}
	p.kept.Store(&changed)
	return nil
}

// note edits the record whether it can be saved or not: it is for what is so
// already, and for a delete, which a full disk must not stop.
func (p *pod) note(edit func(*record)) error {
	p.saving.Lock()
	defer p.saving.Unlock()
	changed := *p.kept.Load()
	edit(&changed)
	p.kept.Store(&changed)
	return p.save(&changed)
}

func (p *pod) save(r *record) error {
	_, done := p.step(p.m.life, StepRecord)
	err := p.m.store.save(r)
	done(err)
	return err
}

// peek returns a shallow copy of the record.
func (p *pod) peek() record { return *p.kept.Load() }

// settled tells the pool, and what waits for it here, that this pod's start is over.
func (p *pod) settled() {
	p.started.Do(func() { close(p.start) })
	if p.claim != nil {
		p.claim.Settled()
	}
}

// run owns the pod until it is deleted or docker-sd shuts down.
func (p *pod) run(ctx context.Context) {
	defer close(p.done)
	defer p.locate()
	var s *pool.Sandbox
	if !p.peek().Gone {
		s = p.live(p.begin(ctx))
		close(p.released)
		p.running(errNeverRan)
		p.settled()
		<-ctx.Done()
	}
	if !p.peek().Gone && !errors.Is(context.Cause(ctx), errDeleted) {
		return // shutting down: the containers go on, the record brings us back
	}
	p.state.end()
	p.locate() // nobody asks for its status any more, and nobody waits for its grace
	gone, done := p.step(p.life, StepDelete)
	p.teardown(gone, s)
	done(p.life.Err())
}

// lookedUp lets the pod's status be told.
func (p *pod) lookedUp() {
	if !closed(p.adopted) {
		close(p.adopted)
	}
}

// locate lets the pod's logs be read as well. The status of a pod that has ended
// is known from its record, its logs may still be in a sandbox that is away.
func (p *pod) locate() {
	p.lookedUp()
	if !closed(p.located) {
		close(p.located)
	}
}

// place finds the pod's sandbox: the claimed one, or after a restart of
// docker-sd the one in its record. A boot that fails is tried again, since a
// refused create would be final for the cluster.
func (p *pod) place(ctx context.Context) (*pool.Sandbox, error) {
	if p.claim == nil && p.peek().Placed {
		s, err := p.find(ctx)
		if err == nil {
			fault.Point("pods.place.adopted")
			p.noteLoss(s)
			err = p.settle(ctx, s)
		}
		return s, err
	}
	claim := p.claim
	if claim == nil {
		if err := p.dropFormer(ctx); err != nil {
			return nil, err
		}
		claim = p.m.sandboxes.Rebook(p.peek().Sandbox, hostPorts(p.spec))
	}
	tries := retry.New(time.Second, 15*time.Second)
	for {
		s, err := claim.Sandbox(ctx)
		if err == nil {
			fault.Point("pods.place.found")
		}
		if err == nil && p.claim != nil && !p.swapped && p.lacksImages(ctx, s) {
			fresh, err := p.swap(ctx)
			if err == nil {
				claim = fresh
				continue
			}
			log.G(ctx).WithError(err).Warn("no fresh sandbox could be claimed, the image is copied into this one")
		}
		if err == nil {
			err = p.settle(ctx, s)
		}
		if err == nil {
			tries.Succeeded(ctx, "the pod has a sandbox")
			return s, nil
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		p.explain("waiting for a sandbox: " + err.Error())
		if err := tries.Failed(ctx, "no sandbox yet, trying again", err); err != nil {
			return nil, err
		}
	}
}

// swap gives the sandbox back unused and claims one that sees the host's new
// images: half a second, where copying a large image takes many.
func (p *pod) swap(ctx context.Context) (*pool.Claim, error) {
	old := p.claim
	claim := p.m.sandboxes.ReserveFresh(hostPorts(p.spec))
	if err := p.change(func(r *record) { r.Sandbox, r.Placed = claim.Name, false }); err != nil {
		return nil, err
	}
	fault.Point("pods.swap.recorded")
	log.G(ctx).Info("an image came after the sandbox was booted, taking a fresh one")
	p.claim, p.swapped = claim, true
	p.m.sandboxes.Return(old)
	fault.Point("pods.swap.returned")
	return claim, nil
}

// settle notes that the sandbox exists and gives it the pod's name. No container
// may start before that is on disk: after a crash it would be started once more,
// in another sandbox.
func (p *pod) settle(ctx context.Context, s *pool.Sandbox) error {
	if r := p.peek(); !r.Placed || r.Sandbox != s.Name {
		if err := p.change(func(r *record) { r.Placed, r.Sandbox, r.Former = true, s.Name, "" }); err != nil {
			return err
		}
		fault.Point("pods.place.recorded")
	}
	p.sandbox.Store(s)
	if p.claim != nil {
		p.tell(ctx, EventPlaced, "", log.Fields{"sandbox": s.Name})
	}
	if p.claim != nil || p.resumed {
		// People read this name; nothing waits for it.
		p.m.workers.Go(func() {
			if err := p.m.sandboxes.Assign(ctx, s, string(p.spec.UID)); err != nil && ctx.Err() == nil {
				log.G(ctx).WithError(err).Warn("the sandbox keeps its pool name")
			}
			fault.Point("pods.place.named")
		})
	}
	return nil
}

// explain shows people why containers still wait.
func (p *pod) explain(message string) {
	for i := range p.spec.Spec.Containers {
		p.update(p.spec.Spec.Containers[i].Name, func(s *v1.ContainerStatus) {
			if s.State.Waiting != nil {
				s.State.Waiting.Message = message
			}
		})
	}
}

// fail ends what has not ended with one state.
func (p *pod) fail(ctx context.Context, end v1.ContainerStateTerminated) {
	end.FinishedAt = metav1.Now()
	p.abandon(func(status v1.ContainerStatus) v1.ContainerState {
		state := end
		state.ContainerID = status.ContainerID
		if running := status.State.Running; running != nil {
			state.StartedAt = running.StartedAt
		} else {
			state.StartedAt = end.FinishedAt
		}
		return v1.ContainerState{Terminated: &state}
	})
	log.G(ctx).WithField("reason", end.Reason).Warn("pod failed: " + end.Message)
	p.conclude(ctx)
}

// conclude keeps the outcome on disk and releases what only a living pod needs.
func (p *pod) conclude(ctx context.Context) {
	p.keepTrouble()
	p.state.end()
	statuses, _ := p.snapshot()
	final := make([]v1.ContainerStatus, 0, len(statuses))
	for _, status := range statuses {
		final = append(final, status)
	}
	if err := p.note(func(r *record) { r.Final = final }); err != nil {
		log.G(ctx).WithError(err).Warn("the pod's outcome could not be saved")
	}
	fault.Point("pods.outcome.recorded")
	p.letGoOfDevices(ctx)
	p.running(errNeverRan)
	p.tell(ctx, EventEnded, "", p.outcomeFields())
}

// gracePeriod is how long containers have to stop: the lesser of what the pod
// and the delete allow (protocol 4).
func gracePeriod(spec *v1.Pod, deletion *int64) time.Duration {
	seconds := int64(v1.DefaultTerminationGracePeriodSeconds)
	if spec.Spec.TerminationGracePeriodSeconds != nil {
		seconds = *spec.Spec.TerminationGracePeriodSeconds
	}
	if deletion != nil {
		seconds = min(seconds, *deletion)
	}
	return time.Duration(max(seconds, 0)) * time.Second
}
