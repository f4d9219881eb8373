package engine

import (
	"bufio"
	"bytes"
	"io"
	"testing"
	"testing/synctest"
	"time"
)

// lines is a log of which one line comes every so often, and a reader takes what
// has come.
type lines struct {
	line        []byte
	every       time.Duration
	began       time.Time
	sent, total int
	reads       int
}

func (l *lines) Read(b []byte) (int, error) {
	if l.reads++; l.sent == l.total {
		return 0, io.EOF
	}
	come := min(int(time.Since(l.began)/l.every), l.total)
	if come == l.sent {
		<-time.After(l.every)
		come++
	}
	n := min(come-l.sent, len(b)/len(l.line))
	l.sent += n
	return copy(b, bytes.Repeat(l.line, n)), nil
}

// TestLongLogsAreReadInLargePieces, and short ones as they come.
func TestLongLogsAreReadInLargePieces(t *testing.T) {
	line := append(bytes.Repeat([]byte("x"), 99), '\n')
	for name, c := range map[string]struct{ lines, least, most int }{
		"short": {gatherAfter / 100, gatherAfter / 100, gatherAfter/100 + 1},
		// A hundred lines come in a pause: one read takes them, one finds too few.
		"long": {100_000, gatherAfter / 100, gatherAfter/100 + 100_000/40},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				source := &lines{line: line, every: 5 * time.Microsecond, began: time.Now(), total: c.lines}
				var text bytes.Buffer
				_, err := io.Copy(&text, bufio.NewReaderSize(struct{ io.Reader }{&gathered{Reader: source}}, readBuffer))
				if err != nil || !bytes.Equal(text.Bytes(), bytes.Repeat(line, c.lines)) {
					t.Errorf("%d bytes of %d, %v", text.Len(), c.lines*len(line), err)
				}
				if source.reads < c.least || source.reads > c.most {
					t.Errorf("%d reads of %d lines, want %d to %d", source.reads, c.lines, c.least, c.most)
				}
			})
		})
	}
}
