package probes

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"time"

	"github.com/containerd/errdefs"
	v1 "k8s.io/api/core/v1"
)

// Hook runs a postStart or preStop handler and returns when it has ended, or when ctx has. Kubernetes gives hooks no
// time limit of their own, so the deadline is the caller's: for preStop the grace period, for postStart a bound of
// its choice.
//
// As in kubelet, a command must exit with 0, and an HTTP request succeeds with any answer, whatever its status code.
// tcpSocket always fails, as the Kubernetes API says of it. The error says what went wrong, in at most 10 KiB of
// output; it wraps the error of ctx when that ended first, and is ErrInvalidArgument for a handler that cannot run.
func (t Target) Hook(ctx context.Context, h *v1.LifecycleHandler) error {
	switch {
	case h.Exec != nil:
		return t.hookExec(ctx, h.Exec)
	case h.HTTPGet != nil:
		return t.hookHTTP(ctx, h.HTTPGet)
	case h.Sleep != nil:
		return hookSleep(ctx, h.Sleep)
	case h.TCPSocket != nil:
		return fmt.Errorf("tcpSocket is not supported as a hook; use exec, httpGet or sleep: %w", errdefs.ErrInvalidArgument)
	default:
		return fmt.Errorf("the hook has no handler; set exec, httpGet or sleep: %w", errdefs.ErrInvalidArgument)
	}
}

func (t Target) hookExec(ctx context.Context, a *v1.ExecAction) error {
	var out output
	code, err := t.Exec(ctx, a.Command, &out)
	switch {
	case err != nil && ctx.Err() != nil:
		return fmt.Errorf("the command of the hook did not end in time: %s: %w", bounded(out.String()), ctx.Err())
	case err != nil:
		return fmt.Errorf("run the command of the hook: %w", err)
	case code != 0:
		return &ExitError{Code: code, Output: bounded(out.String())}
	default:
		return nil
	}
}

// ExitError says that the command of a hook ended with another code than 0.
type ExitError struct {
	Code int
	// Output of the command, which is for the pod's owner and for no log.
	Output string
}

// Error is for the pod's owner.
func (e *ExitError) Error() string {
	return fmt.Sprintf("the command of the hook exited with code %d: %s", e.Code, e.Output)
}

func (t Target) hookHTTP(ctx context.Context, a *v1.HTTPGetAction) error {
	req, err := t.request(ctx, a, "lifecycle")
	if err != nil {
		return fmt.Errorf("%w: %w", err, errdefs.ErrInvalidArgument)
	}
	_, err = get(t.transport(a), req)
	if errors.Is(err, http.ErrSchemeMismatch) {
		// Older kubelets sent every hook as plain HTTP; those pods still work, but get no credentials that way.
		plain := req.Clone(ctx)
		plain.URL.Scheme = "http"
		plain.Header.Del("Authorization")
		_, err = get(t.transport(a), plain)
	}
	if err != nil {
		return fmt.Errorf("GET %s for the hook: %w", pageOf(req.URL), err)
	}
	return nil
}

func hookSleep(ctx context.Context, a *v1.SleepAction) error {
	timer := time.NewTimer(time.Duration(min(a.Seconds, math.MaxInt32)) * time.Second)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("the sleep of the hook was cut short: %w", ctx.Err())
	}
}
