// Package probes runs the probes and the lifecycle hooks of containers the way kubelet does.
//
// Nobody upstream runs them (docs/interlink-protocol.md 2.2 and 9.7): a failed liveness or startup probe must restart the
// container here, and readiness is kept truthful. The package knows neither pods nor the engine; a Target tells it
// where a container answers, and the caller acts on what Run reports.
package probes

import (
	"context"
	"time"

	v1 "k8s.io/api/core/v1"
)

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
