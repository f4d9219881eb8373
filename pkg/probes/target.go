package probes

import (
	"context"
	"io"
	"time"

	v1 "k8s.io/api/core/v1"
)

// Target is one instance of a container and where it answers.
type Target struct {
	// PodIP returns the address of the pod, IPv4 or IPv6 without brackets, or "" while there is none.
	PodIP func() string
	// Container holds the probes and the named ports. It is read only.
	Container *v1.Container
	// Exec runs a command in the container, without a shell, and writes its stdout and stderr to out. The error is
	// the engine's: it says that the command could not be run or waited for. Exec must return soon after ctx ends, and
	// be safe for concurrent use: two probes and a hook may run at once.
	Exec func(ctx context.Context, argv []string, out io.Writer) (exitCode int, err error)
	// StartedAt is when this instance began to run; initialDelaySeconds counts from it. Zero means now.
	StartedAt time.Time
	// Started says that the startup probe of this instance has succeeded already, before a restart of the daemon.
	// It must not run again then: it could kill a healthy container.
	Started bool
}
