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

	"github.com/google/renameio/v2"
	v1 "k8s.io/api/core/v1"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/engine"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/pool"
)

// An ended pod stays until it is deleted, which may be never. It must not hold a
// sandbox, an engine and a network for that long: its logs are kept as files,
// each line behind its time stamp, and its sandbox is let go.

// maxReaders is more than there are log readers; the archive takes them all.
const maxReaders = 1 << 30

// archive moves the logs of an ended pod out of its sandbox and removes that.
func (p *pod) archive(ctx context.Context, s *pool.Sandbox) error {
	if err := os.MkdirAll(p.archiveDir(), 0o700); err != nil {
		return fmt.Errorf("keep the pod's logs: %w", err)
	}
	for _, c := range allContainers(p.spec) {
		now, _ := p.instance(c.Name)
		for _, kept := range []struct {
			id       string
			previous bool
		}{{now.id, false}, {now.previous, true}} {
			if err := p.archiveLog(ctx, s, &c, kept.id, kept.previous); err != nil {
				return err
			}
		}
	}
	if err := p.change(func(r *record) { r.Archived = true }); err != nil {
		return err
	}
	// Whoever reads from the sandbox finishes first; new readers take the files.
	if err := p.reading.Acquire(ctx, maxReaders); err != nil {
		return err
	}
	defer p.reading.Release(maxReaders)
	p.m.images.Drop(string(p.spec.UID))
	return p.m.sandboxes.Retire(ctx, s.Name)
}

func (p *pod) archiveLog(ctx context.Context, s *pool.Sandbox, c *v1.Container, id string, previous bool) error {
	if id == "" {
		return nil
	}
	file, err := renameio.NewPendingFile(p.archivePath(c.Name, previous), renameio.WithPermissions(0o600))
	if err != nil {
		return fmt.Errorf("keep the log of container %s: %w", c.Name, err)
	}
	defer file.Cleanup()
	buffered := bufio.NewWriterSize(file, 64<<10)
	err = s.Engine.Logs(ctx, id, engine.LogOptions{Timestamps: true, TTY: c.TTY}, buffered)
	if err == nil {
		err = buffered.Flush()
	}
	if err == nil {
		err = file.CloseAtomicallyReplace()
	}
	if err != nil {
		return fmt.Errorf("keep the log of container %s: %w", c.Name, err)
	}
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
		lines := 0
		if err := eachLine(file, options.Since, func(_, _ []byte) error { lines++; return nil }); err != nil {
			return err
		}
		skip = max(lines-options.Tail, 0)
		if _, err := file.Seek(0, io.SeekStart); err != nil {
			return fmt.Errorf("read a kept log: %w", err)
		}
	}
	return eachLine(file, options.Since, func(stamp, line []byte) error {
		if skip > 0 {
			skip--
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
// time stamp and the space before it.
func eachLine(r io.Reader, since time.Time, visit func(stamp, line []byte) error) error {
	lines := bufio.NewReaderSize(r, 64<<10)
	for {
		line, err := lines.ReadBytes('\n')
		if len(line) > 0 {
			stamp, rest := line[:0], line
			if at := bytes.IndexByte(line, ' '); at > 0 {
				if t, err := time.Parse(time.RFC3339Nano, string(line[:at])); err == nil {
					if t.Before(since) {
						continue
					}
					stamp, rest = line[:at+1], line[at+1:]
				}
			}
			if err := visit(stamp, rest); err != nil {
				return err
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read a kept log: %w", err)
		}
	}
}
