package pods

import (
	"context"

	"github.com/containerd/containerd/log"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/containers"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/joining"
	v1 "k8s.io/api/core/v1"
)

// Observer is told what becomes of pods, for metrics, traces and the list of
// events. Its methods are called from many goroutines and must not block.
type Observer interface {
	// Pod marks life, the context of what is done for a pod, as that pod's. caller
	// is the context of the call that brought it, or of the start that found it.
	Pod(life, caller context.Context, spec *v1.Pod) context.Context
	// Step begins what takes time; the function that it returns is called once, with
	// how that ended. of are names and values of what it is about.
	Step(ctx context.Context, step string, of ...string) (context.Context, func(error))
	// Event is a change of state of the pod that ctx is of.
	Event(ctx context.Context, e Event)
}

// The steps of a pod's life.
const (
	// StepStart ends when the first main container runs, or none ever will.
	StepStart           = "start"
	StepImages          = containers.StepPull
	StepClaim           = "claim"
	StepVolumes         = "volumes"
	StepInit            = "init containers"
	StepNetwork         = joining.Step
	StepCreateContainer = containers.StepCreate
	StepStartContainer  = containers.StepStart
	// StepDelete includes the containers' grace, and ends when nothing of the pod is left.
	StepDelete = "delete"
	// StepRecord is the writing of a pod's record.
	StepRecord = "record"
)

// Event is a change of state of a pod, or of one of its containers.
type Event struct {
	// What is one of the constants below.
	What string
	// Container is empty for an event of the pod.
	Container string
	// Fields say more; they hold nothing that a container wrote.
	Fields log.Fields
}

// What happens to pods and containers.
const (
	EventCreated    = "created"
	EventAdopted    = "adopted" // found again after a restart of docker-sd
	EventPlaced     = "placed"  // has its sandbox
	EventLost       = "lost"    // its sandbox stopped or is gone
	EventJoined     = joining.EventJoined
	EventCutOff     = joining.EventCutOff
	EventStarted    = containers.EventStarted
	EventUnhealthy  = containers.EventUnhealthy
	EventRestarting = containers.EventRestarting
	EventEnded      = containers.EventEnded
	EventDeleting   = "deleting"
	EventDeleted    = "deleted"
)

// unobserved is an Observer that does nothing.
type unobserved struct{}

func (unobserved) Pod(life, _ context.Context, _ *v1.Pod) context.Context { return life }
func (unobserved) Event(context.Context, Event)                           {}
func (unobserved) Step(ctx context.Context, _ string, _ ...string) (context.Context, func(error)) {
	return ctx, func(error) {}
}

// reporter tells the log and the observer what becomes of a pod and its containers.
type reporter struct{ observer Observer }

// Tell logs a change of state and reports it; ctx carries the pod's logger. container is
// "" where the pod changes.
func (r reporter) Tell(ctx context.Context, what, container string, fields log.Fields) {
	subject, logger := "pod ", log.G(ctx).WithFields(fields)
	if container != "" {
		subject, logger = "container ", logger.WithField("container", container)
	}
	logger.Info(subject + what)
	r.Report(ctx, what, container, fields)
}

// Report is Tell for what has a line in the log already.
func (r reporter) Report(ctx context.Context, what, container string, fields log.Fields) {
	r.observer.Event(ctx, Event{What: what, Container: container, Fields: fields})
}

// Step begins a step of the pod's life; see Observer.
func (r reporter) Step(ctx context.Context, step string, of ...string) (context.Context, func(error)) {
	return r.observer.Step(ctx, step, of...)
}

// fieldsOf name a pod in every line about it.
func fieldsOf(spec *v1.Pod) log.Fields {
	return log.Fields{"pod": spec.UID, "namespace": spec.Namespace, "name": spec.Name}
}
