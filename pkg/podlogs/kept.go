package podlogs

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

	"github.com/google/renameio/v2"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/durable"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/engine"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/fault"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/podspec"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/tree"
	v1 "k8s.io/api/core/v1"
)

// Keep copies the logs of all containers out of the sandbox, each line behind its time
// stamp. An earlier try may have been cut short; the sandbox still has all of it.
func (l *Logs) Keep(ctx context.Context, inner *engine.Client) error {
	if err := errors.Join(l.Remove(ctx), os.MkdirAll(l.dir, 0o700)); err != nil {
		return fmt.Errorf("keep the pod's logs: %w", err)
	}
	for _, c := range podspec.Containers(l.spec) {
		now, _ := l.statuses.Instance(c.Name)
		for _, kept := range []struct {
			id       string
			previous bool
		}{{now.ID, false}, {now.Previous, true}} {
			if err := l.keepOne(ctx, inner, &c, kept.id, kept.previous); err != nil {
				return err
			}
		}
	}
	// They are all that is left of the logs once the record says so.
	if err := errors.Join(durable.SyncFolder(l.dir), durable.SyncFolder(filepath.Dir(l.dir)), durable.SyncFolder(filepath.Dir(filepath.Dir(l.dir)))); err != nil {
		return fmt.Errorf("keep the pod's logs: %w", err)
	}
	return nil
}

// keepOne copies the log of one instance; "" is none.
func (l *Logs) keepOne(ctx context.Context, inner *engine.Client, c *v1.Container, id string, previous bool) error {
	if id == "" {
		return nil
	}
	file, err := renameio.NewPendingFile(l.Path(c.Name, previous), renameio.WithPermissions(0o600), renameio.WithTempDir(l.dir))
	if err != nil {
		return fmt.Errorf("keep the log of container %s: %w", c.Name, err)
	}
	defer file.Cleanup()
	buffered := bufio.NewWriterSize(file, 64<<10)
	err = inner.Logs(ctx, id, engine.LogOptions{Timestamps: true, TTY: c.TTY}, buffered)
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

// Path is the file of a container's log, or of that of its run before.
func (l *Logs) Path(container string, previous bool) string {
	name := container + ".log"
	if previous {
		name = container + ".previous.log"
	}
	return filepath.Join(l.dir, name)
}

// Remove removes the kept logs.
func (l *Logs) Remove(ctx context.Context) error { return tree.Remove(ctx, l.dir) }

// keptPrevious says whether an ended pod has a previous log of a container.
func (l *Logs) keptPrevious(container string) bool {
	_, err := os.Stat(l.Path(container, true))
	return err == nil
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
