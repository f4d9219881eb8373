package pods

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/containerd/containerd/log"
	"github.com/google/renameio/v2"
	"golang.org/x/sys/unix"
	v1 "k8s.io/api/core/v1"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/durable"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/engine"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/fault"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/lifecycle"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/podspec"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/pool"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/records"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/retry"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/tree"
)

// An ended pod stays until it is deleted, which may be never. It must not hold a
// sandbox, an engine and a network for that long: its logs are kept as files,
// each line behind its time stamp, and its sandbox is let go.

// maxReaders is more than there are log readers; the archive takes them all.
const maxReaders = 1 << 30

// archive copies the logs of an ended pod out of its sandbox. It tries again where that
// may help, such as when the disk is full.
func (l *life) archive(ctx context.Context) lifecycle.Observation {
	tries := retry.New(time.Second, time.Minute)
	for {
		err := l.keepLogs(ctx, l.stay.Sandbox)
		if err == nil {
			tries.Succeeded(ctx, "the ended pod's logs are kept")
			return lifecycle.SeenRunning
		}
		if tries.Failed(ctx, "the ended pod keeps its sandbox for now: its logs could not be kept elsewhere", err) != nil {
			return l.seen
		}
		if closed(l.stay.Gone()) {
			return lifecycle.SeenExited // once more, as when its engine is being restarted
		}
	}
}

// keepLogs writes the logs and then the record. Of a pod that was evicted the logs are
// removed where a disk is full: they are what fills it.
func (p *pod) keepLogs(ctx context.Context, s *pool.Sandbox) error {
	evicted := p.wasEvicted()
	err := p.archiveLogs(ctx, s)
	if evicted && errors.Is(err, unix.ENOSPC) {
		log.G(ctx).Warn("the disk is too full to keep the logs of the evicted pod")
		err = tree.Remove(ctx, p.archiveDir())
	}
	if err != nil {
		return err
	}
	archived := func(r *records.Record) { r.Stage = r.Stage.Reach(lifecycle.StageArchived) }
	err = p.record.Change(archived)
	if evicted && errors.Is(err, unix.ENOSPC) {
		_ = p.record.Note(archived) // release saves it again, when there is room
		err = nil
	}
	if err == nil {
		fault.Point("pods.archive.recorded")
	}
	return err
}

// release gives up the sandbox of a pod whose logs are kept: all of it but its folder,
// which has the pod's volumes, and the folder as well if the pod was evicted. What
// cannot be removed is left to the sweep.
func (l *life) release(ctx context.Context) lifecycle.Observation {
	evicted := l.wasEvicted()
	if l.seen == lifecycle.SeenNothing && !evicted {
		l.locate()
		return lifecycle.SeenReleased // by an earlier run, or by the sweep of this one
	}
	l.locate()
	// Readers of the sandbox's logs finish first; new ones take the files.
	if err := l.reading.Acquire(ctx, maxReaders); err != nil {
		return l.seen
	}
	defer l.reading.Release(maxReaders)
	l.m.images.Drop(string(l.spec.UID))
	name, err := l.record.Load().Sandbox, error(nil)
	if evicted {
		err = errors.Join(l.m.sandboxes.Destroy(ctx, name), l.record.Note(func(*records.Record) {}))
	} else {
		err = l.m.sandboxes.Retire(ctx, name)
	}
	if err != nil && ctx.Err() == nil {
		log.G(ctx).WithError(err).Warn("the ended pod's sandbox is left to the sweep")
	}
	l.sandbox.Store(nil)
	return lifecycle.SeenReleased
}

// logsKept says that the pod's logs are files, as far as there are any.
func (p *pod) logsKept() bool {
	at := p.record.Load().Stage
	return at == lifecycle.StageArchived || at == lifecycle.StageRemoving
}

func (p *pod) archiveLogs(ctx context.Context, s *pool.Sandbox) error {
	// An earlier try may have been cut short; the sandbox still has all of it.
	if err := errors.Join(tree.Remove(ctx, p.archiveDir()), os.MkdirAll(p.archiveDir(), 0o700)); err != nil {
		return fmt.Errorf("keep the pod's logs: %w", err)
	}
	for _, c := range podspec.Containers(p.spec) {
		now, _ := p.statuses.Instance(c.Name)
		for _, kept := range []struct {
			id       string
			previous bool
		}{{now.ID, false}, {now.Previous, true}} {
			if err := p.archiveLog(ctx, s, &c, kept.id, kept.previous); err != nil {
				return err
			}
		}
	}
	// They are all that is left of the logs once the record says so.
	if err := errors.Join(durable.SyncFolder(p.archiveDir()), durable.SyncFolder(filepath.Dir(p.archiveDir())), durable.SyncFolder(p.m.config.Dir)); err != nil {
		return fmt.Errorf("keep the pod's logs: %w", err)
	}
	return nil
}

func (p *pod) archiveLog(ctx context.Context, s *pool.Sandbox, c *v1.Container, id string, previous bool) error {
	if id == "" {
		return nil
	}
	file, err := renameio.NewPendingFile(p.archivePath(c.Name, previous), renameio.WithPermissions(0o600), renameio.WithTempDir(p.archiveDir()))
	if err != nil {
		return fmt.Errorf("keep the log of container %s: %w", c.Name, err)
	}
	defer file.Cleanup()
	buffered := bufio.NewWriterSize(file, 64<<10)
	err = s.Engine.Logs(ctx, id, engine.LogOptions{Timestamps: true, TTY: c.TTY}, buffered)
	fault.Point("pods.archive.pending")
	if err == nil {
		err = buffered.Flush()
	}
	if err == nil {
		err = file.CloseAtomicallyReplace()
	}
	if err != nil {
		return fmt.Errorf("keep the log of container %s: %w", c.Name, err)
	}
	fault.Point("pods.archive.written")
	return nil
}

func (p *pod) archiveDir() string {
	return filepath.Join(p.m.config.Dir, "archive", string(p.spec.UID))
}

func (p *pod) archivePath(container string, previous bool) string {
	name := container + ".log"
	if previous {
		name = container + ".previous.log"
	}
	return filepath.Join(p.archiveDir(), name)
}

// readArchive copies the selected lines of a kept log. A container that never
// ran has none.
func readArchive(path string, options engine.LogOptions, w io.Writer) error {
	file, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("open a kept log: %w", err)
	}
	defer file.Close()
	skip := 0
	if options.Tail > 0 {
		lines, unended := 0, 0
		err := eachLine(file, options.Since, func(_, text []byte) error {
			ends := bytes.Count(text, []byte("\n"))
			lines, unended = lines+ends, 1-ends
			return nil
		})
		if err != nil {
			return err
		}
		lines += unended
		skip = max(lines-options.Tail, 0)
		if _, err := file.Seek(0, io.SeekStart); err != nil {
			return fmt.Errorf("read a kept log: %w", err)
		}
	}
	return eachLine(file, options.Since, func(stamp, line []byte) error {
		if skip > 0 {
			skip -= bytes.Count(line, []byte("\n"))
			return nil
		}
		if options.Timestamps {
			if _, err := w.Write(stamp); err != nil {
				return err
			}
		}
		_, err := w.Write(line)
		return err
	})
}

// eachLine calls visit with each line that is not older than since, and with the
// time stamp and the space before it. A line longer than the buffer comes in
// several calls, of which the first has the stamp and the last the line's end.
func eachLine(r io.Reader, since time.Time, visit func(stamp, line []byte) error) error {
	lines := bufio.NewReaderSize(r, 64<<10)
	within, old := false, false
	for {
		text, err := lines.ReadSlice('\n')
		if len(text) > 0 {
			stamp := text[:0]
			if !within {
				stamp, text, old = cutStamp(text, since)
			}
			within = !bytes.HasSuffix(text, []byte("\n"))
			if !old {
				if err := visit(stamp, text); err != nil {
					return err
				}
			}
		}
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil && !errors.Is(err, bufio.ErrBufferFull):
			return fmt.Errorf("read a kept log: %w", err)
		}
	}
}

// cutStamp parts a line from its time stamp and tells whether it is too old.
func cutStamp(line []byte, since time.Time) (stamp, rest []byte, old bool) {
	at := bytes.IndexByte(line, ' ')
	if at <= 0 {
		return line[:0], line, false
	}
	t, err := time.Parse(time.RFC3339Nano, string(line[:at]))
	if err != nil {
		return line[:0], line, false
	}
	return line[:at+1], line[at+1:], t.Before(since)
}
