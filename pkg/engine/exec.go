package engine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/pkg/stdcopy"
)

// execAPI is the part of a Client for processes that are started in containers.
type execAPI struct{ *connection }

// UnfinishedError says that the caller's time was over before the process of an exec ended.
type UnfinishedError struct {
	// PID of the process as the engine's own process sees it; 0 if it is not known to run.
	PID int
	// Err is the error of the caller's context.
	Err error
}

// Error is that of the context.
func (e *UnfinishedError) Error() string { return e.Err.Error() }

// Unwrap gives the context's error.
func (e *UnfinishedError) Unwrap() error { return e.Err }

// Exec runs argv inside a container, copies both its streams to out, and
// returns its exit code. When ctx ends first, the process is left to the
// engine and ctx's error is returned; after a deadline that is an UnfinishedError.
//
// What the process leaves behind may hold its streams open: its exit code is returned
// all the same, soon after its end.
func (c execAPI) Exec(ctx context.Context, id string, argv []string, out io.Writer) (int, error) {
	caller := ctx
	ctx, silence, end := listen(ctx, c.limit)
	defer end()
	made, err := c.sdk(ctx).ContainerExecCreate(ctx, id, container.ExecOptions{Cmd: argv, AttachStdout: true, AttachStderr: true})
	if err != nil {
		return 0, fmt.Errorf("prepare exec: %w", classify(ctx, err))
	}
	stream, err := c.sdk(ctx).ContainerExecAttach(context.WithValue(ctx, hijacked{}, true), made.ID, container.ExecAttachOptions{})
	if err != nil {
		return 0, fmt.Errorf("start exec: %w", classify(ctx, err))
	}
	// The command itself takes as long as it takes; ctx bounds it.
	silence.rest()
	defer stream.Close()
	copied := make(chan error, 1)
	go func() { // ends with the stream, which is closed below
		_, err := stdcopy.StdCopy(out, out, stream.Reader)
		copied <- err
	}()
	inspect := func(ctx context.Context) (container.ExecInspect, error) {
		return c.sdk(ctx).ContainerExecInspect(ctx, made.ID)
	}
	code, over, err := awaitExec(ctx, inspect, copied)
	if !over {
		stream.Close()
		<-copied //nolint:errcheck // what was read counts
	}
	switch {
	case errors.Is(caller.Err(), context.DeadlineExceeded):
		return 0, &UnfinishedError{PID: pidOfExec(caller, inspect), Err: caller.Err()}
	case caller.Err() != nil:
		return 0, caller.Err()
	case err != nil:
		return 0, fmt.Errorf("read exec output: %w", err)
	case !over:
		return code, nil
	}
	silence.heard()
	for {
		ended, err := inspect(ctx)
		if err != nil {
			return 0, fmt.Errorf("inspect exec: %w", classify(ctx, err))
		}
		if !ended.Running {
			return ended.ExitCode, nil
		}
		// The streams can close a moment before the engine has the exit code.
		select {
		case <-ctx.Done():
			return 0, fmt.Errorf("inspect exec: %w", classify(ctx, ctx.Err()))
		case <-time.After(5 * time.Millisecond):
		}
	}
}

const (
	// execLook is the time before the engine is asked whether a process has ended whose
	// streams have not; it doubles up to execLookMost.
	execLook, execLookMost = 100 * time.Millisecond, time.Second
	// execDrain is how long the output of a process that has ended is waited for.
	execDrain = 100 * time.Millisecond
)

// inspectExec looks at an exec.
type inspectExec func(context.Context) (container.ExecInspect, error)

// awaitExec waits until the streams of an exec are over, with what ended them, or until its
// process is, with its exit code, or until ctx is.
func awaitExec(ctx context.Context, inspect inspectExec, copied <-chan error) (code int, over bool, err error) {
	timer := time.NewTimer(execLook)
	defer timer.Stop()
	for pause, started := execLook, false; ; {
		select {
		case err := <-copied:
			return 0, true, err
		case <-ctx.Done():
			return 0, false, ctx.Err()
		case <-timer.C:
		}
		seen, err := inspect(ctx)
		// One that has not begun does not run either.
		if err == nil && !seen.Running && started {
			select {
			case err := <-copied:
				return 0, true, err
			case <-time.After(execDrain):
				return seen.ExitCode, false, nil
			}
		}
		started = started || err == nil && seen.Pid > 0
		pause = min(2*pause, execLookMost)
		timer.Reset(pause)
	}
}

// execBegins bounds the wait for the id of a process that an engine is about to start.
const execBegins = 5 * time.Second

// pidOfExec is the id of the process of an exec, 0 if it has ended.
func pidOfExec(ctx context.Context, inspect inspectExec) int {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), execBegins)
	defer cancel()
	for {
		seen, err := inspect(ctx)
		switch {
		case err != nil || seen.Pid > 0 && !seen.Running:
			return 0
		case seen.Pid > 0:
			return seen.Pid
		}
		select {
		case <-ctx.Done():
			return 0
		case <-time.After(20 * time.Millisecond):
		}
	}
}
