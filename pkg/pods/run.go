package pods

import (
	"context"

	"github.com/containerd/containerd/log"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/lifecycle"
)

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

// advance does what comes next. An action that ctx ends returns what was seen before,
// so that it is done again if the pod is still there.
func (l *life) advance(ctx context.Context) {
	at := lifecycle.Position{Stage: l.record.Stage(), Seen: l.seen}
	do := lifecycle.Next(at)
	log.G(ctx).WithField("stage", at.Stage).WithField("seen", at.Seen).Debug("next: " + string(do))
	l.seen = l.carryOut(ctx, do)
}

// carryOut does an action and returns what was seen by it.
func (l *life) carryOut(ctx context.Context, do lifecycle.Action) lifecycle.Observation {
	switch do {
	case lifecycle.ActionClaim:
		return l.claimAgain()
	case lifecycle.ActionClear:
		return l.clearReplaced(ctx)
	case lifecycle.ActionPlace:
		return l.place(ctx)
	case lifecycle.ActionGiveBack:
		return l.giveBack(ctx)
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
	case lifecycle.ActionRecordReason:
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
