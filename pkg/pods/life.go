package pods

import (
	"context"
	"time"

	"github.com/containerd/containerd/log"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/pool"
)

// life carries out a pod's transitions. It belongs to the pod's goroutine.
type life struct {
	*pod
	// work ends when the pod is deleted or docker-sd shuts down.
	work context.Context
	// seen is the half of the pod's position that is not on disk.
	seen observation
	// stay is the pod's time in its present sandbox, nil before the sandbox is there.
	stay *stay
	// reason is why the pod is to be ended, or why its sandbox is lost.
	reason error
	// atOnce ends the containers without their grace period.
	atOnce bool
	// again says that the pod's containers may have run in a sandbox that was lost.
	again bool
	// swapped says that the claimed sandbox was given back for a fresh one.
	swapped bool
	// delays are those before a sandbox that stopped is started again, ran is how long
	// the containers were looked after before it stopped.
	delays restartDelays
	ran    time.Duration
	erased bool
}

// stay is a pod's time in one sandbox.
type stay struct {
	*pool.Sandbox
	// found says that containers may exist in the sandbox from before: docker-sd was
	// restarted, or the sandbox stopped and was started again.
	found bool
	// again says that the pod's containers may have run in another sandbox.
	again bool
	// loss says why containers ended that ran when the sandbox stopped, "" if it never
	// did.
	loss string
}

// run owns the pod until it is deleted or docker-sd shuts down. After a shutdown the
// containers go on, and the next docker-sd starts where the record says.
func (p *pod) run(work context.Context, seen observation) {
	defer close(p.done)
	defer p.locate()
	l := &life{pod: p, work: p.begin(work, seen), seen: seen}
	defer l.startIsOver()
	l.restore()
	for p.life.Err() == nil && !p.stage().deleting() {
		l.advance(l.work)
	}
	if p.life.Err() == nil {
		l.remove()
	}
}

// remove is the part of the pod's life after its delete.
func (l *life) remove() {
	l.state.end()
	l.locate() // the caller asks for no status any more, and the grace period runs
	l.startIsOver()
	ctx, done := l.step(l.life, StepDelete)
	for l.life.Err() == nil && !l.erased {
		l.advance(ctx)
	}
	done(l.life.Err())
}

// restore shows what the record says of containers that ended for good.
func (l *life) restore() {
	r := l.peek()
	if !r.Stage.over() {
		l.restoreOver(r.Ended)
		return
	}
	l.state.restore(r.Ended)
	l.lookedUp()
}

// startIsOver tells the pool, the observer and an eviction that they need not wait for
// the pod any more: it rests, is deleted, or docker-sd shuts down.
func (l *life) startIsOver() {
	if !closed(l.released) {
		close(l.released)
	}
	l.running(errNeverRan)
	l.settled()
}

// advance does what comes next. An action that ctx ends returns what was seen before,
// so that it is done again if the pod is still there.
func (l *life) advance(ctx context.Context) {
	at := position{l.stage(), l.seen}
	do := next(at)
	log.G(ctx).WithField("stage", at.stage).WithField("seen", at.seen).Debug("next: " + string(do))
	l.seen = l.carryOut(ctx, do)
}

func (l *life) carryOut(ctx context.Context, do action) observation {
	switch do {
	case actionClaim:
		return l.claimAgain()
	case actionClear:
		return l.clearReplaced(ctx)
	case actionPlace:
		return l.place(ctx)
	case actionFind:
		return l.find(ctx)
	case actionAsk:
		return l.ask(ctx)
	case actionRecover:
		return l.recoverSandbox(ctx)
	case actionReplace:
		return l.replaceSandbox(ctx)
	case actionRun:
		return l.runContainers(ctx)
	case actionCondemn:
		return l.recordReason(ctx)
	case actionStop:
		return l.stop(ctx)
	case actionGiveUp:
		return l.giveUp(ctx)
	case actionEnd:
		return l.recordEnd(ctx)
	case actionArchive:
		return l.archive(ctx)
	case actionRelease:
		return l.release(ctx)
	case actionErase:
		return l.erase(ctx)
	case actionRest:
		return l.rest()
	}
	log.G(ctx).WithField("seen", l.seen).Error("the pod is where it cannot be, it is left alone until it is deleted")
	return l.rest()
}

// rest waits for the pod's delete, or for docker-sd to shut down.
func (l *life) rest() observation {
	l.startIsOver()
	<-l.work.Done()
	return l.seen
}
