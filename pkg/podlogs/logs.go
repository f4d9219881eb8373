package podlogs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/containerd/errdefs"
	"k8s.io/apimachinery/pkg/types"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/engine"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/podspec"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/retry"
)

// Query selects log lines: those since a time, of them the last Tail, of
// those the first Bytes (protocol 3.1). Zero values select everything.
type Query struct {
	UID        types.UID
	Namespace  string
	Container  string
	Since      time.Time
	Tail       int
	Bytes      int64
	Timestamps bool
	Follow     bool
	Previous   bool
}

// Open looks a log up without reading it. The query names the container. Errors:
// ErrNotFound.
func (l *Logs) Open(query Query) (*Source, error) {
	name := query.Container
	now, known := l.statuses.Instance(name)
	if !known {
		return nil, fmt.Errorf("pod %s has no container %q: %w", query.UID, name, errdefs.ErrNotFound)
	}
	if query.Previous && now.Previous == "" && !l.keptPrevious(name) {
		return nil, fmt.Errorf("container %q has not been restarted, there is no previous log: %w", name, errdefs.ErrNotFound)
	}
	return &Source{logs: l, name: name, query: query}, nil
}

// Source is a container whose log can be read.
type Source struct {
	logs  *Logs
	name  string
	query Query
}

// Copy writes the selected log to w. A container that has not started yet has
// an empty log. With Follow it returns once the container has ended and will
// not run again, the pod is deleted, or ctx ends.
func (l *Source) Copy(ctx context.Context, w io.Writer) error {
	if l.query.Bytes > 0 {
		limited := &limitedWriter{w: w, left: l.query.Bytes}
		if err := l.copy(ctx, limited); err != nil && !errors.Is(err, errLimit) {
			return err
		}
		return nil
	}
	return l.copy(ctx, w)
}

// copy is Copy without the limit of bytes.
func (l *Source) copy(ctx context.Context, w io.Writer) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	now, _ := l.logs.statuses.Instance(l.name)
	options := engine.LogOptions{Since: l.query.Since, Tail: l.query.Tail, Timestamps: l.query.Timestamps,
		TTY: podspec.FindContainer(l.logs.spec, l.name).TTY}
	if l.query.Previous {
		return l.read(ctx, now.Previous, options, w)
	}
	if !l.query.Follow {
		if now.ID == "" {
			now.ID = now.Previous // between two runs the last log is what people want
		}
		return l.read(ctx, now.ID, options, w)
	}
	if l.logs.kept() {
		return l.read(ctx, now.ID, options, w)
	}
	options.Follow = true
	read := ""
	for {
		if now.ID != "" && now.ID != read {
			if err := l.follow(ctx, now.ID, options, w); err != nil {
				return err
			}
			read = now.ID
			options.Tail, options.Since = 0, time.Time{}
			now, _ = l.logs.statuses.Instance(l.name)
			continue
		}
		if now.Finished {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-l.logs.done:
			return nil
		case <-now.Changed:
		}
		now, _ = l.logs.statuses.Instance(l.name)
	}
}

// lateEnd is how long an instance's log may take to end after the instance did.
const lateEnd = 5 * time.Second

// follow reads one instance's log until the instance ends. An engine that was
// restarted meanwhile may never say so, hence the watch.
func (l *Source) follow(ctx context.Context, id string, options engine.LogOptions, w io.Writer) error {
	reading, stop := context.WithCancel(ctx)
	var watch sync.WaitGroup
	defer watch.Wait()
	defer stop()
	watch.Go(func() {
		for {
			now, _ := l.logs.statuses.Instance(l.name)
			if now.ID != id || now.Finished {
				_ = retry.Pause(reading, lateEnd)
				stop()
				return
			}
			select {
			case <-reading.Done():
				return
			case <-now.Changed:
			}
		}
	})
	if err := l.read(reading, id, options, w); err != nil && (ctx.Err() != nil || reading.Err() == nil) {
		return err
	}
	return nil
}

// read copies one instance's log; one that is gone has none.
func (l *Source) read(ctx context.Context, id string, options engine.LogOptions, w io.Writer) error {
	if err := l.logs.reading.Acquire(ctx, 1); err != nil {
		return err
	}
	defer l.logs.reading.Release(1)
	if l.logs.kept() {
		return readArchive(l.logs.Path(l.name, l.query.Previous), options, w)
	}
	if id == "" {
		return nil
	}
	inner, err := l.logs.engine()
	if err != nil {
		return err
	}
	err = inner.Logs(ctx, id, options, w)
	if errdefs.IsNotFound(err) {
		return nil
	}
	return err
}

var errLimit = errors.New("the byte limit is reached")

// limitedWriter passes on the first bytes and then ends the copy.
type limitedWriter struct {
	w    io.Writer
	left int64
}

// Write returns errLimit with the write that reaches the limit.
func (l *limitedWriter) Write(b []byte) (int, error) {
	take := b[:min(int64(len(b)), l.left)]
	n, err := l.w.Write(take)
	l.left -= int64(n)
	if err == nil && l.left == 0 {
		err = errLimit
	}
	return n, err
}
