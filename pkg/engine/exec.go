package engine

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/pkg/stdcopy"
)

// execAPI is the part of a Client for processes that are started in containers.
type execAPI struct{ *connection }

// Exec runs argv inside a container, copies both its streams to out, and
// returns its exit code. When ctx ends first, the process is left to the
// engine and ctx's error is returned.
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
	_, err = stdcopy.StdCopy(out, out, stream.Reader)
	if caller.Err() != nil {
		return 0, caller.Err()
	}
	if err != nil {
		return 0, fmt.Errorf("read exec output: %w", err)
	}
	silence.heard()
	for {
		ended, err := c.sdk(ctx).ContainerExecInspect(ctx, made.ID)
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
