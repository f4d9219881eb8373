package engine

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/pkg/stdcopy"
)

// LogOptions selects lines of a container's log. Since and Tail apply
// together: the last Tail lines of those not older than Since.
type LogOptions struct {
	Since      time.Time
	Tail       int // 0 = all
	Timestamps bool
	Follow     bool
	// TTY says that the container has a terminal, whose log is not framed.
	TTY bool
}

// Logs copies a container's log to w, both streams in the order in which they
// were written. With Follow it returns when the container ends.
func (c *Client) Logs(ctx context.Context, id string, options LogOptions, w io.Writer) error {
	request := container.LogsOptions{ShowStdout: true, ShowStderr: true,
		Timestamps: options.Timestamps, Follow: options.Follow}
	if options.Tail > 0 {
		request.Tail = strconv.Itoa(options.Tail)
	}
	if !options.Since.IsZero() {
		request.Since = fmt.Sprintf("%d.%09d", options.Since.Unix(), options.Since.Nanosecond())
	}
	stream, err := c.docker.ContainerLogs(ctx, id, request)
	if err != nil {
		return fmt.Errorf("open container log: %w", classify(ctx, err))
	}
	defer stream.Close()
	if options.TTY {
		_, err = io.Copy(w, stream)
	} else {
		_, err = stdcopy.StdCopy(w, w, stream)
	}
	if err != nil {
		return fmt.Errorf("read container log: %w", err)
	}
	return nil
}
