package enginetest

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// maxPiece is how much of a line an engine keeps in one entry of a log.
const maxPiece = 16 << 10

// piece is one entry of a container's log: a line, or a part of a long one.
type piece struct {
	stream byte
	at     time.Time
	text   []byte
}

// frame is a piece on its way in a stream that is shared.
func frame(stream byte, text []byte) []byte {
	head := make([]byte, 8, 8+len(text))
	head[0] = stream
	binary.BigEndian.PutUint32(head[4:], uint32(len(text)))
	return append(head, text...)
}

// logWriter writes one stream of a container's log.
type logWriter struct {
	engine    *Engine
	container *container
	stream    byte
}

// Write adds the bytes to the log.
func (l *logWriter) Write(b []byte) (int, error) {
	l.engine.mu.Lock()
	defer l.engine.mu.Unlock()
	l.engine.write(l.container, l.stream, b)
	return len(b), nil
}

// Write adds to a container's log: stream 1 is its output, 2 its errors.
func (e *Engine) Write(nameOrID string, stream byte, text string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	c := e.find(nameOrID)
	if c == nil {
		e.t.Errorf("no container %s to write", nameOrID)
		return
	}
	e.write(c, stream, []byte(text))
}

// write cuts a text to pieces; the lock is held. An engine puts what ends no line to the
// next write; here it stands by itself.
func (e *Engine) write(c *container, stream byte, text []byte) {
	for line := range bytes.SplitAfterSeq(text, []byte("\n")) {
		for len(line) > 0 {
			// The line's end does not count, and is not left over.
			n := min(len(line), maxPiece)
			if len(line) == n+1 && line[n] == '\n' {
				n++
			}
			c.log = append(c.log, piece{stream: stream, at: e.now(), text: slices.Clone(line[:n])})
			line = line[n:]
		}
	}
	e.broadcast()
}

// logsOf answers GET /containers/{id}/logs, and goes on with new lines if they are followed.
func (e *Engine) logsOf(c *container, r *http.Request) http.HandlerFunc {
	query := r.URL.Query()
	since, err := moment(query.Get("since"))
	if err != nil {
		return refuses(http.StatusBadRequest, "%s", err)
	}
	shown := map[byte]bool{1: query.Get("stdout") == "1", 2: query.Get("stderr") == "1"}
	if !shown[1] && !shown[2] {
		return refuses(http.StatusBadRequest, "Bad parameters: you must choose at least one stream")
	}
	from := 0
	if tail, err := strconv.Atoi(query.Get("tail")); err == nil {
		from = max(len(c.log)-tail, 0)
	}
	follow, stamps, tty := query.Get("follow") == "1", query.Get("timestamps") == "1", c.config.Tty
	render := func(p piece) []byte {
		text := p.text
		if tty {
			text = bytes.ReplaceAll(text, []byte("\n"), []byte("\r\n"))
		}
		if stamps {
			text = append([]byte(p.at.Format(logStamp)+" "), text...)
		}
		if tty {
			return text
		}
		return frame(p.stream, text)
	}
	// One that was made and does not run yet has no end that could be waited for: an
	// engine ends its log at once.
	running := c.process
	return func(w http.ResponseWriter, r *http.Request) {
		begin(w, "application/vnd.docker.raw-stream")
		for at := from; ; {
			e.mu.Lock()
			over := func() bool { return !follow || c.process == nil || c.process != running || c.removed }
			err := e.until(r.Context(), func() bool { return len(c.log) > at || over() })
			pieces, last := slices.Clone(c.log[min(at, len(c.log)):]), over()
			e.mu.Unlock()
			for _, p := range pieces {
				if shown[p.stream] && !p.at.Before(since) {
					_, _ = w.Write(render(p)) // to a caller that may have left
				}
			}
			flush(w)
			if at += len(pieces); last || err != nil {
				return
			}
		}
	}
}

// moment reads seconds and nanoseconds, as engines take them.
func moment(text string) (time.Time, error) {
	if text == "" || text == "0" {
		return time.Time{}, nil
	}
	whole, fraction, _ := strings.Cut(text, ".")
	seconds, err := strconv.ParseInt(whole, 10, 64)
	nanos, errNanos := strconv.ParseInt((fraction + "000000000")[:9], 10, 64)
	if err != nil || errNanos != nil || seconds > math.MaxInt32*100 {
		return time.Time{}, fmt.Errorf("invalid time %q", text)
	}
	return time.Unix(seconds, nanos), nil
}
