package pool

import (
	"context"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/engine"
)

// Observer is told what becomes of sandboxes. Its methods are called from many
// goroutines and must not block.
type Observer interface {
	// Step begins what takes time; the function that it returns is called once, with
	// how that ended. of are names and values of what it is about.
	Step(ctx context.Context, step string, of ...string) (context.Context, func(error))
	// Sandbox is told of one of the events below.
	Sandbox(event, sandbox string)
	// Call is told of every request to the engine in a sandbox.
	Call(engine.Call)
}

// StepBoot is the boot of a sandbox, until its engine answers.
const StepBoot = "boot"

// What happens to sandboxes.
const (
	EventRejoined = "rejoined" // warm from before a restart of docker-sd
	EventSwept    = "swept"    // removed, since nobody knew it
	EventDied     = "died"     // while it waited for a pod
)

// unobserved is an Observer that nobody listens to.
type unobserved struct{}

func (unobserved) Sandbox(string, string) {}
func (unobserved) Call(engine.Call)       {}
func (unobserved) Step(ctx context.Context, _ string, _ ...string) (context.Context, func(error)) {
	return ctx, func(error) {}
}
