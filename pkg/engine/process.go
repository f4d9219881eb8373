package engine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/pkg/stdcopy"
)

// Process is run beside a container's own, as the container's user and with its rights and
// limits.
type Process struct {
	Argv []string
	// TTY gives it a terminal; what it writes is then one stream.
	TTY bool
	// Began, unless nil, is called with the PID of the process, as the engine's own process
	// sees it, once that is known; a short one has ended before.
	Began func(pid int)
}

// telling is an inspectExec that calls began once, while Run waits.
func telling(inspect inspectExec, began func(int)) inspectExec {
	return func(ctx context.Context) (container.ExecInspect, error) {
		seen, err := inspect(ctx)
		if err == nil && seen.Running && seen.Pid > 0 && began != nil {
			began(seen.Pid)
			began = nil
		}
		return seen, err
	}
}

// Size of a terminal in characters.
type Size struct{ Width, Height uint16 }

// Streams of a Process.
type Streams struct {
	// Stdin is closed once the process has ended, and a Read must return then. nil is an
	// empty one.
	Stdin io.ReadCloser
	// Stdout gets all that a process with a terminal writes. With an error of a write the
	// call ends.
	Stdout, Stderr io.Writer
	// Sizes are those that the terminal gets, one after the other.
	Sizes <-chan Size
}

// Ended is a Process that has ended.
type Ended struct {
	Code int
	// PID of the process as the engine's own process sees it, 0 if the engine does not
	// tell. It may lead a session whose members live on.
	PID int
}

// processDrain is how long nothing may come of the output of a process that has ended
// before that is taken for all: what it left behind may hold its streams open.
const processDrain = 3 * time.Second

// neverTyped takes the place of the keys at which the engine leaves a terminal, ctrl-p and
// ctrl-q, which it would keep from the process. It cannot be told that there are none.
const neverTyped = "ctrl-^,ctrl-@,ctrl-^,ctrl-_,ctrl-^,ctrl-@,ctrl-_,ctrl-@,ctrl-^,ctrl-_"

// Run runs a process inside a container until it has ended and its output has been passed
// on. If ctx ends first, or the output cannot be passed on, the error is an UnfinishedError:
// the process is left to the engine, or has ended already and is returned as well.
func (c execAPI) Run(ctx context.Context, id string, process Process, streams Streams) (Ended, error) {
	caller := ctx
	ctx, silence, end := listen(ctx, c.limit)
	defer end()
	exec, err := c.startExec(ctx, id, container.ExecOptions{Cmd: process.Argv, Tty: process.TTY,
		AttachStdin: streams.Stdin != nil, AttachStdout: true, AttachStderr: !process.TTY, DetachKeys: neverTyped})
	if err != nil {
		if streams.Stdin != nil {
			_ = streams.Stdin.Close() // nobody reads it
		}
		if exec.id != "" && caller.Err() != nil {
			return unfinished(caller, exec, caller.Err())
		}
		return Ended{}, err
	}
	exec.inspect = telling(exec.inspect, process.Began)
	// The process takes as long as it takes; ctx bounds it.
	silence.rest()
	seen, over, err := c.stream(ctx, exec, process, streams)
	switch {
	case caller.Err() != nil || over && err != nil:
		return unfinished(caller, exec, errors.Join(caller.Err(), err))
	case err != nil:
		return Ended{}, fmt.Errorf("pass on the output of a process: %w", err)
	case over:
		if seen, err = exec.outlived(ctx, silence); err != nil {
			return unfinished(caller, exec, errors.Join(caller.Err(), err))
		}
	}
	return Ended{Code: seen.ExitCode, PID: seen.Pid}, nil
}

// unfinished is the result of a Run that was given up.
func unfinished(ctx context.Context, exec startedExec, why error) (Ended, error) {
	seen := begunExec(ctx, exec.inspect)
	if seen.Running {
		return Ended{}, &UnfinishedError{PID: seen.Pid, Err: why}
	}
	return Ended{Code: seen.ExitCode, PID: seen.Pid}, &UnfinishedError{Err: why}
}

// stream passes on the streams of a process until those that it writes are over, with what
// ended them, or it has ended, as the engine has seen it, or ctx has.
func (c execAPI) stream(ctx context.Context, exec startedExec, process Process, streams Streams) (seen container.ExecInspect, over bool, err error) {
	output := &waiting{from: exec.stream.Reader}
	copied := make(chan error, 1)
	var inward sync.WaitGroup
	feeding, stop := context.WithCancel(ctx)
	defer func() {
		stop()
		exec.stream.Close()
		if streams.Stdin != nil {
			_ = streams.Stdin.Close() // the process does not read it any more
		}
		inward.Wait()
	}()
	if streams.Stdin != nil {
		inward.Go(func() {
			if _, err := io.Copy(exec.stream.Conn, streams.Stdin); err == nil {
				_ = exec.stream.CloseWrite() // the process may have ended
			}
		})
	}
	if process.TTY && streams.Sizes != nil {
		inward.Go(func() { c.resize(feeding, exec.id, streams.Sizes) })
	}
	go func() { // ends with the stream, and is waited for below
		var err error
		if process.TTY {
			_, err = io.Copy(streams.Stdout, output)
		} else {
			_, err = stdcopy.StdCopy(streams.Stdout, streams.Stderr, output)
		}
		copied <- err
	}()
	seen, over, err = awaitExec(ctx, exec.inspect, copied)
	if !over && err == nil {
		over, err = output.drain(ctx, copied)
	}
	if !over {
		exec.stream.Close()
		<-copied //nolint:errcheck // what was read counts
	}
	return seen, over, err
}

// waiting is a stream that knows since when its reader waits.
type waiting struct {
	from io.Reader
	// since is when the Read that goes on began, in nanoseconds of Unix time, or 0: what
	// was read is being passed on.
	since atomic.Int64
}

// Read is that of the stream.
func (w *waiting) Read(b []byte) (int, error) {
	w.since.Store(time.Now().UnixNano())
	defer w.since.Store(0)
	return w.from.Read(b)
}

// drain waits for the rest of the output of a process that has ended: until the stream is
// over, with what ended it, or nothing has come for processDrain.
func (w *waiting) drain(ctx context.Context, copied <-chan error) (over bool, err error) {
	look := time.NewTicker(processDrain / 10)
	defer look.Stop()
	for {
		select {
		case err := <-copied:
			return true, err
		case <-ctx.Done():
			return false, ctx.Err()
		case <-look.C:
		}
		if since := w.since.Load(); since > 0 && time.Since(time.Unix(0, since)) > processDrain {
			return false, nil
		}
	}
}

const (
	// resizeAgain is the pause before a terminal that is not there yet is resized again,
	// and resizeLimit when that is given up.
	resizeAgain = 20 * time.Millisecond
	resizeLimit = 10 * time.Second
)

// resize gives a terminal its sizes until ctx ends. The newest one that is waiting counts.
func (c execAPI) resize(ctx context.Context, exec string, sizes <-chan Size) {
	for {
		var size Size
		var more bool
		select {
		case <-ctx.Done():
			return
		case size, more = <-sizes:
			if !more {
				return
			}
		}
		for began := time.Now(); time.Since(began) < resizeLimit; {
			// Until the process has begun, the engine does not know its terminal.
			if c.sdk(ctx).ContainerExecResize(ctx, exec, container.ResizeOptions{Width: uint(size.Width), Height: uint(size.Height)}) == nil {
				break
			}
			select {
			case <-ctx.Done():
				return
			case size = <-sizes:
			case <-time.After(resizeAgain):
			}
		}
	}
}
