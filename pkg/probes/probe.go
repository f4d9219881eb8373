// Package probes runs the probes and the lifecycle hooks of containers the way kubelet does.
//
// Nobody upstream runs them (docs/interlink-protocol.md 2.2 and 9.7): a failed liveness or startup probe must restart the
// container here, and readiness is kept truthful. The package knows neither pods nor the engine; a Target tells it
// where a container answers, and the caller acts on what Run reports.
package probes

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	v1 "k8s.io/api/core/v1"
)

// maxMessage bounds every message, in bytes; kubelet reads as much from a probe.
const maxMessage = 10 << 10

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

// Outcome is what one probe found.
type Outcome int

const (
	// Unknown means that the probe could not be made. Kubelet does not count it.
	Unknown Outcome = iota
	// Success means that the container answered as it should.
	Success
	// Failure means that the container answered wrongly, or not in time.
	Failure
)

// String returns the outcome as a word for logs.
func (o Outcome) String() string {
	switch o {
	case Success:
		return "success"
	case Failure:
		return "failure"
	default:
		return "unknown"
	}
}

// Result is the outcome of one probe. Message explains it, at most 10 KiB of valid UTF-8; of a command it is the
// output, of the other handlers it never holds what the container answered. A success with a message is a warning.
type Result struct {
	Outcome Outcome
	Message string
}

func success(warning string) Result { return Result{Success, warning} }

func failure(format string, args ...any) Result { return Result{Failure, fmt.Sprintf(format, args...)} }

func unknown(format string, args ...any) Result { return Result{Unknown, fmt.Sprintf(format, args...)} }

// Probe makes one probe, within its timeoutSeconds (1 when unset). A timeout is a failure; a probe that was cut
// short because ctx ended is unknown.
func (t Target) Probe(ctx context.Context, p *v1.Probe) Result {
	timeout := timingOf(p).timeout
	probeCtx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()

	r := t.shoot(probeCtx, p.ProbeHandler)
	if r.Outcome != Success {
		switch {
		case ctx.Err() != nil:
			r = unknown("stopped before the probe ended")
		case probeCtx.Err() != nil:
			r = failure("timed out after %s: %s", timeout, r.Message)
		}
	}
	r.Message = bounded(r.Message)
	return r
}

func (t Target) shoot(ctx context.Context, h v1.ProbeHandler) Result {
	switch {
	case h.Exec != nil:
		return t.probeExec(ctx, h.Exec)
	case h.HTTPGet != nil:
		return t.probeHTTP(ctx, h.HTTPGet)
	case h.TCPSocket != nil:
		return t.probeTCP(ctx, h.TCPSocket)
	case h.GRPC != nil:
		return t.probeGRPC(ctx, h.GRPC)
	default:
		return unknown("the probe has no handler: set exec, httpGet, tcpSocket or grpc")
	}
}

// bounded makes a message safe to be stored and sent as JSON.
func bounded(message string) string {
	if len(message) > maxMessage {
		message = message[:maxMessage]
	}
	return strings.ToValidUTF8(message, "")
}

// timing is the timing of a probe with the defaults of Kubernetes filled in. They are filled in by the API server,
// so a zero only comes from a pod that never went through one.
type timing struct {
	delay, period, timeout             time.Duration
	successThreshold, failureThreshold int
}

func timingOf(p *v1.Probe) timing {
	return timing{
		delay:            seconds(p.InitialDelaySeconds, 0),
		period:           seconds(p.PeriodSeconds, 10),
		timeout:          seconds(p.TimeoutSeconds, 1),
		successThreshold: positive(p.SuccessThreshold, 1),
		failureThreshold: positive(p.FailureThreshold, 3),
	}
}

func positive(n int32, otherwise int) int {
	if n <= 0 {
		return otherwise
	}
	return int(n)
}

func seconds(n int32, otherwise int) time.Duration {
	return time.Duration(positive(n, otherwise)) * time.Second
}
