package pods

import (
	"context"
	"time"

	"github.com/containerd/containerd/log"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/containers"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/lifecycle"
)

// life carries out a pod's transitions. It belongs to the pod's goroutine.
type life struct {
	*pod
	// work ends when the pod is deleted or docker-sd shuts down.
	work context.Context
	// seen is the half of the pod's position that is not on disk.
	seen lifecycle.Observation
	// stay is the pod's time in its present sandbox, nil before the sandbox is there.
	stay *containers.Stay
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
	delays containers.RestartDelays
	ran    time.Duration
	erased bool
}

// run owns the pod until it is deleted or docker-sd shuts down. After a shutdown the
// containers go on, and the next docker-sd starts where the record says.
func (p *pod) run(work context.Context, seen lifecycle.Observation) {
	defer close(p.done)
	defer p.locate()
	l := &life{pod: p, work: p.begin(work, seen), seen: seen}
	defer l.startIsOver()
	l.restore()
	for p.life.Err() == nil && !p.record.Stage().Deleting() {
		l.advance(l.work)
	}
	if p.life.Err() == nil {
		l.remove()
	}
}

// remove is the part of the pod's life after its delete.
func (l *life) remove() {
	l.statuses.MarkEnded()
	l.locate() // the caller asks for no status any more, and the grace period runs
	l.startIsOver()
	ctx, done := l.events.Step(l.life, StepDelete)
	for l.life.Err() == nil && !l.erased {
		l.advance(ctx)
	}
	done(l.life.Err())
}

// restore shows what the record says of containers that ended for good.
func (l *life) restore() {
	r := l.record.Load()
	if !r.Stage.Over() {
		l.statuses.RestoreFinished(r.Ended)
		return
	}
	l.statuses.Restore(r.Ended)
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
	at := lifecycle.Position{Stage: l.record.Stage(), Seen: l.seen}
	do := lifecycle.Next(at)
	log.G(ctx).WithField("stage", at.Stage).WithField("seen", at.Seen).Debug("next: " + string(do))
	l.seen = l.carryOut(ctx, do)
}

func (l *life) carryOut(ctx context.Context, do lifecycle.Action) lifecycle.Observation {
	switch do {
	case lifecycle.ActionClaim:
		return l.claimAgain()
	case lifecycle.ActionClear:
		return l.clearReplaced(ctx)
	case lifecycle.ActionPlace:
		return l.place(ctx)
	case lifecycle.ActionFind:
		return l.find(ctx)
	case lifecycle.ActionAsk:
		return l.ask(ctx)
	case lifecycle.ActionRecover:
		return l.recoverSandbox(ctx)
	case lifecycle.ActionReplace:
		return l.replaceSandbox(ctx)
	case lifecycle.ActionRun:
		return l.runContainers(ctx)
	case lifecycle.ActionCondemn:
		return l.recordReason(ctx)
	case lifecycle.ActionStop:
		return l.stop(ctx)
	case lifecycle.ActionGiveUp:
		return l.giveUp(ctx)
	case lifecycle.ActionEnd:
		return l.recordEnd(ctx)
	case lifecycle.ActionArchive:
		return l.archive(ctx)
	case lifecycle.ActionRelease:
		return l.release(ctx)
	case lifecycle.ActionErase:
		return l.erase(ctx)
	case lifecycle.ActionRest:
		return l.rest()
	}
	log.G(ctx).WithField("seen", l.seen).Error("the pod is where it cannot be, it is left alone until it is deleted")
	return l.rest()
}

// rest waits for the pod's delete, or for docker-sd to shut down.
func (l *life) rest() lifecycle.Observation {
	l.startIsOver()
	<-l.work.Done()
	return l.seen
}
