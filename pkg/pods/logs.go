package pods

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/containerd/errdefs"
	"k8s.io/apimachinery/pkg/types"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/engine"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/podspec"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/retry"
)

// LogQuery selects log lines: those since a time, of them the last Tail, of
// those the first Bytes (protocol 3.1). Zero values select everything.
type LogQuery struct {
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

// LogSource is a container whose log can be read.
type LogSource struct {
	p     *pod
	name  string
	query LogQuery
}

// FindLogs looks a log up without reading it, so that a refusal comes before
// the first byte. Errors: ErrInvalidArgument, ErrNotFound, and ErrUnavailable as
// long as the containers of an earlier run have not been found again.
func (m *Manager) FindLogs(query LogQuery) (*LogSource, error) {
	if err := podspec.ValidateUID(string(query.UID)); err != nil {
		return nil, err
	}
	if query.Container != "" {
		if err := podspec.ValidateContainerName(query.Container); err != nil {
			return nil, err
		}
	}
	m.mu.Lock()
	p, known := m.pods[query.UID]
	m.mu.Unlock()
	if !known || query.Namespace != "" && query.Namespace != p.spec.Namespace {
		return nil, fmt.Errorf("pod %s is not on this node: %w", query.UID, errdefs.ErrNotFound)
	}
	name := query.Container
	if name == "" {
		if len(p.spec.Spec.Containers) != 1 {
			return nil, fmt.Errorf("the pod has %d containers, name one: %w", len(p.spec.Spec.Containers), errdefs.ErrInvalidArgument)
		}
		name = p.spec.Spec.Containers[0].Name
	}
	if !closed(p.located) {
		return nil, fmt.Errorf("the logs of pod %s are looked for after a start of docker-sd, try again: %w", query.UID, errdefs.ErrUnavailable)
	}
	now, known := p.statuses.Instance(name)
	if !known {
		return nil, fmt.Errorf("pod %s has no container %q: %w", query.UID, name, errdefs.ErrNotFound)
	}
	if query.Previous && now.Previous == "" && !p.keptPrevious(name) {
		return nil, fmt.Errorf("container %q has not been restarted, there is no previous log: %w", name, errdefs.ErrNotFound)
	}
	return &LogSource{p: p, name: name, query: query}, nil
}

// keptPrevious says whether an ended pod has a previous log of a container.
func (p *pod) keptPrevious(container string) bool {
	_, err := os.Stat(p.archivePath(container, true))
	return err == nil
}

// Copy writes the selected log to w. A container that has not started yet has
// an empty log. With Follow it returns once the container has ended and will
// not run again, the pod is deleted, or ctx ends.
func (l *LogSource) Copy(ctx context.Context, w io.Writer) error {
	if l.query.Bytes > 0 {
		limited := &limitedWriter{w: w, left: l.query.Bytes}
		if err := l.copy(ctx, limited); err != nil && !errors.Is(err, errLimit) {
			return err
		}
		return nil
	}
	return l.copy(ctx, w)
}

func (l *LogSource) copy(ctx context.Context, w io.Writer) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	now, _ := l.p.statuses.Instance(l.name)
	options := engine.LogOptions{Since: l.query.Since, Tail: l.query.Tail, Timestamps: l.query.Timestamps,
		TTY: podspec.FindContainer(l.p.spec, l.name).TTY}
	if l.query.Previous {
		return l.read(ctx, now.Previous, options, w)
	}
	if !l.query.Follow {
		if now.ID == "" {
			now.ID = now.Previous // between two runs the last log is what people want
		}
		return l.read(ctx, now.ID, options, w)
	}
	if l.p.logsKept() {
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
			now, _ = l.p.statuses.Instance(l.name)
			continue
		}
		if now.Finished {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-l.p.done:
			return nil
		case <-now.Changed:
		}
		now, _ = l.p.statuses.Instance(l.name)
	}
}

// lateEnd is how long an instance's log may take to end after the instance did.
const lateEnd = 5 * time.Second

// follow reads one instance's log until the instance ends. An engine that was
// restarted meanwhile may never say so, hence the watch.
func (l *LogSource) follow(ctx context.Context, id string, options engine.LogOptions, w io.Writer) error {
	reading, stop := context.WithCancel(ctx)
	var watch sync.WaitGroup
	defer watch.Wait()
	defer stop()
	watch.Go(func() {
		for {
			now, _ := l.p.statuses.Instance(l.name)
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
func (l *LogSource) read(ctx context.Context, id string, options engine.LogOptions, w io.Writer) error {
	if err := l.p.reading.Acquire(ctx, 1); err != nil {
		return err
	}
	defer l.p.reading.Release(1)
	if l.p.logsKept() {
		return readArchive(l.p.archivePath(l.name, l.query.Previous), options, w)
	}
	if id == "" {
		return nil
	}
	inner, err := l.p.engine()
	if err != nil {
		return err
	}
	err = inner.Logs(ctx, id, options, w)
	if errdefs.IsNotFound(err) {
		return nil
	}
	return err
}

// engine of the pod's sandbox, which exists once an instance does.
func (p *pod) engine() (*engine.Client, error) {
	s := p.sandbox.Load()
	if s == nil {
		return nil, fmt.Errorf("the sandbox of pod %s is not there: %w", p.spec.UID, errdefs.ErrUnavailable)
	}
	return s.Engine, nil
}

var errLimit = errors.New("the byte limit is reached")

// limitedWriter passes on the first bytes and then ends the copy.
type limitedWriter struct {
	w    io.Writer
	left int64
}

func (l *limitedWriter) Write(b []byte) (int, error) {
	take := b[:min(int64(len(b)), l.left)]
	n, err := l.w.Write(take)
	l.left -= int64(n)
	if err == nil && l.left == 0 {
		err = errLimit
	}
	return n, err
}
