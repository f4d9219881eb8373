package probes

import (
	"bytes"
	"context"
	"sync"

	v1 "k8s.io/api/core/v1"
)

// probeExec runs the command of the probe. Exit code 0 is a success. An error of the engine is unknown, as it says
// nothing about the container, unless it is the end of the time.
func (t Target) probeExec(ctx context.Context, a *v1.ExecAction) Result {
	var out output
	code, err := t.Exec(ctx, a.Command, &out)
	switch {
	case err != nil && ctx.Err() != nil:
		return failure("the command did not end: %s", out.String())
	case err != nil:
		return unknown("the command could not be run: %v", err)
	case code != 0:
		return failure("the command exited with code %d: %s", code, out.String())
	default:
		return success("")
	}
}

// output keeps the first maxMessage bytes written to it and takes the rest without a word, so that a talkative
// command is neither blocked nor held in memory. It is safe for a writer that outlives its command.
type output struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

// Write always reports the whole of p as written.
func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	room := maxMessage - o.buf.Len()
	o.buf.Write(p[:min(len(p), room)])
	return len(p), nil
}

// String returns what was kept.
func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.String()
}
