package engine

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/pkg/stdcopy"
)

// Exec runs argv inside a container, copies both its streams to out, and
// returns its exit code. When ctx ends first, the process is left to the
// engine and ctx's error is returned.
func (c *Client) Exec(ctx context.Context, id string, argv []string, out io.Writer) (int, error) {
	made, err := c.docker.ContainerExecCreate(ctx, id, container.ExecOptions{Cmd: argv, AttachStdout: true, AttachStderr: true})
	if err != nil {
		return 0, fmt.Errorf("prepare exec: %w", classify(ctx, err))
	}
	stream, err := c.docker.ContainerExecAttach(ctx, made.ID, container.ExecAttachOptions{})
	if err != nil {
		return 0, fmt.Errorf("start exec: %w", classify(ctx, err))
	}
	defer stream.Close()
	// A hijacked connection knows nothing of ctx: close it to end the copy.
	stop := context.AfterFunc(ctx, stream.Close)
	defer stop()
	_, err = stdcopy.StdCopy(out, out, stream.Reader)
	if ctx.Err() != nil {
		return 0, ctx.Err()
	}
	if err != nil {
		return 0, fmt.Errorf("read exec output: %w", err)
	}
	for {
		ended, err := c.docker.ContainerExecInspect(ctx, made.ID)
		if err != nil {
			return 0, fmt.Errorf("inspect exec: %w", classify(ctx, err))
		}
		if !ended.Running {
			return ended.ExitCode, nil
		}
		// The streams can close a moment before the engine has the exit code.
		select {
		case <-ctx.Done():
			return 0, ctx.Err()
		case <-time.After(5 * time.Millisecond):
		}
	}
}
