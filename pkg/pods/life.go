package pods

import (
	"context"
	"time"

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

// restore shows what the record says of containers that ended for good.
func (l *life) restore() {
	r := l.record.Load()
	if !r.Stage.Over() {
		l.statuses.RestoreFinished(r.Ended)
		return
	}
	l.statuses.Restore(r.Ended)
	l.lookedUp()
	outcome{l.pod}.removeData(l.work)
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

// rest waits for the pod's delete, or for docker-sd to shut down.
func (l *life) rest() lifecycle.Observation {
	l.startIsOver()
	<-l.work.Done()
	return l.seen
}
