package engine

import (
	"bytes"
	"strings"
	"testing"
)

// FuzzLogFrames reads bytes as a framed log, and a log that is framed from them.
func FuzzLogFrames(f *testing.F) {
	f.Add([]byte(frame(1, "one\n")+frame(2, "two\n")+frame(1, "three")), 0, false)
	f.Add([]byte(frame(1, "2026-01-02T03:04:05.6Z a")+frame(1, "2026-01-02T03:04:05.7Z b\n")), 1, true)
	f.Add([]byte(frame(1, "")+"\x01\x00\x00\x00\xff\xff\xff\xff"), 0, true)
	f.Add([]byte("no frame at all, but long enough"), -1, false)
	f.Fuzz(func(t *testing.T, stream []byte, skip int, stamped bool) {
		var out bytes.Buffer
		total := 0
		lines := &lineWriter{w: &out, skip: skip, stamped: stamped}
		_ = eachPiece(bytes.NewReader(stream), func(from byte, text []byte) error {
			total += len(text)
			return lines.piece(from, text)
		})
		if out.Len() > total || total > len(stream) {
			t.Fatalf("%d bytes came out of %d in pieces of %d", out.Len(), len(stream), total)
		}
		// The same bytes as the text of a log: each line whole, in order.
		var framed strings.Builder
		text := string(stream)
		for rest := text; rest != ""; {
			n := min(len(rest), 7)
			if at := strings.IndexByte(rest[:n], '\n'); at >= 0 {
				n = at + 1
			}
			framed.WriteString(frame(1, rest[:n]))
			rest = rest[n:]
		}
		out.Reset()
		lines = &lineWriter{w: &out}
		if err := eachPiece(strings.NewReader(framed.String()), lines.piece); err != nil || out.String() != text {
			t.Fatalf("%q was read as %q (%v)", text, out.String(), err)
		}
	})
}
