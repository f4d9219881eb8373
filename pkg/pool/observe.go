package pool

import "context"

// Observer is told what becomes of sandboxes. Its methods are called from many
// goroutines and must not block.
type Observer interface {
	// Step begins what takes time; the function that it returns is called once, with
	// how that ended. of are names and values of what it is about.
	Step(ctx context.Context, step string, of ...string) (context.Context, func(error))
	// Sandbox is told of one of the events below.
	Sandbox(event, sandbox string)
}

// StepBoot is the boot of a sandbox, until its engine answers.
const StepBoot = "boot"

// What happens to sandboxes.
const (
	EventRejoined = "rejoined" // warm from before a restart of docker-sd
	EventSwept    = "swept"    // removed, since it had no owner
	EventDied     = "died"     // while it waited for a pod
)

// unobserved is an Observer that nothing listens to.
type unobserved struct{}

func (unobserved) Sandbox(string, string) {}
func (unobserved) Step(ctx context.Context, _ string, _ ...string) (context.Context, func(error)) {
	return ctx, func(error) {}
}
