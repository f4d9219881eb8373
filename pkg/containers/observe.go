package containers

import (
	"context"

	"github.com/containerd/containerd/log"
)

// Observer is told what becomes of containers. Its methods do not block.
type Observer interface {
	// Step begins what takes time. The function that it returns is called once, with how
	// that ended.
	Step(ctx context.Context, step string, of ...string) (context.Context, func(error))
	// Tell logs a change of a container's state and reports it.
	Tell(ctx context.Context, what, container string, fields log.Fields)
	// Report is Tell for what has a line in the log already.
	Report(ctx context.Context, what, container string, fields log.Fields)
}

// The steps of a container's life.
const (
	StepPull   = "images"
	StepCreate = "create container"
	StepStart  = "start container"
)

// What happens to containers.
const (
	EventStarted    = "started"
	EventUnhealthy  = "unhealthy"
	EventRestarting = "restarting"
	EventEnded      = "ended"
)
