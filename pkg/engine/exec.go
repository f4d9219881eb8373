package engine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/docker/docker/api/types"
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
	exec, err := c.startExec(ctx, id, container.ExecOptions{Cmd: argv, AttachStdout: true, AttachStderr: true})
	if err != nil {
		return 0, err
	}
	// The command itself takes as long as it takes; ctx bounds it.
	silence.rest()
	defer exec.stream.Close()
	copied := make(chan error, 1)
	go func() { // ends with the stream, which is closed below
		_, err := stdcopy.StdCopy(out, out, exec.stream.Reader)
		copied <- err
	}()
	seen, over, err := awaitExec(ctx, exec.inspect, copied)
	if !over && err == nil {
		select {
		case err = <-copied:
			over = true
		case <-time.After(execDrain):
		}
	}
	if !over {
		exec.stream.Close()
		<-copied //nolint:errcheck // what was read counts
	}
	switch {
	case errors.Is(caller.Err(), context.DeadlineExceeded):
		return 0, &UnfinishedError{PID: pidOfExec(caller, exec.inspect), Err: caller.Err()}
	case caller.Err() != nil:
		return 0, caller.Err()
	case err != nil:
		return 0, fmt.Errorf("read exec output: %w", err)
	case !over:
		return seen.ExitCode, nil
	}
	seen, err = exec.outlived(ctx, silence)
	if errors.Is(caller.Err(), context.DeadlineExceeded) {
		return 0, &UnfinishedError{PID: pidOfExec(caller, exec.inspect), Err: caller.Err()}
	}
	return seen.ExitCode, err
}

// startedExec is an exec that the engine has been asked to start.
type startedExec struct {
	id      string
	stream  types.HijackedResponse
	inspect inspectExec
}

// startExec makes and starts an exec. With an error, the id is that of one that may have
// begun all the same, "" if none has.
func (c execAPI) startExec(ctx context.Context, id string, options container.ExecOptions) (startedExec, error) {
	made, err := c.sdk(ctx).ContainerExecCreate(ctx, id, options)
	if err != nil {
		return startedExec{}, fmt.Errorf("prepare exec: %w", classify(ctx, err))
	}
	out := startedExec{id: made.ID, inspect: func(ctx context.Context) (container.ExecInspect, error) {
		return c.sdk(ctx).ContainerExecInspect(ctx, made.ID)
	}}
	attach := container.ExecAttachOptions{Tty: options.Tty, ConsoleSize: options.ConsoleSize}
	if out.stream, err = c.sdk(ctx).ContainerExecAttach(context.WithValue(ctx, hijacked{}, true), made.ID, attach); err != nil {
		return out, fmt.Errorf("start exec: %w", classify(ctx, err))
	}
	return out, nil
}

// outlived waits for the exit code of a process whose streams are over. The process may have
// closed them and go on, so the engine owes its answers alone, and not the end.
func (e startedExec) outlived(ctx context.Context, s *silence) (container.ExecInspect, error) {
	for pause := 5 * time.Millisecond; ; pause = min(2*pause, execLookMost) {
		s.heard()
		seen, err := e.inspect(ctx)
		s.rest()
		if err != nil {
			return seen, fmt.Errorf("inspect exec: %w", classify(ctx, err))
		}
		if !seen.Running {
			return seen, nil
		}
		select {
		case <-ctx.Done():
			return seen, fmt.Errorf("inspect exec: %w", classify(ctx, ctx.Err()))
		case <-time.After(pause):
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
// process is, which it returns, or until ctx is.
func awaitExec(ctx context.Context, inspect inspectExec, copied <-chan error) (seen container.ExecInspect, over bool, err error) {
	timer := time.NewTimer(execLook)
	defer timer.Stop()
	for pause, started := execLook, false; ; {
		select {
		case err := <-copied:
			return seen, true, err
		case <-ctx.Done():
			return seen, false, ctx.Err()
		case <-timer.C:
		}
		seen, err := inspect(ctx)
		// One that has not begun does not run either.
		if err == nil && !seen.Running && started {
			return seen, false, nil
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
	if seen := begunExec(ctx, inspect); seen.Running {
		return seen.Pid
	}
	return 0
}

// begunExec looks at an exec until its process has begun, or has ended, and gives up after a
// while. Its caller may have left.
func begunExec(ctx context.Context, inspect inspectExec) container.ExecInspect {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), execBegins)
	defer cancel()
	for {
		seen, err := inspect(ctx)
		if err != nil {
			return container.ExecInspect{}
		}
		if seen.Pid > 0 {
			return seen
		}
		select {
		case <-ctx.Done():
			return container.ExecInspect{}
		case <-time.After(20 * time.Millisecond):
		}
	}
}
