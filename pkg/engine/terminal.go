package engine

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"time"
)

const (
	// stampLayout is how an engine writes the time before each piece of a log.
	stampLayout = "2006-01-02T15:04:05.000000000Z07:00"
	// stampSize is that of a stamp in UTC and the space behind it.
	stampSize = len("2006-01-02T15:04:05.000000000Z ")
	// pieceText is how much of a line an engine keeps in one piece. Only the last piece of
	// a line is shorter.
	pieceText = 16 << 10
)

// eachStamped calls visit with each piece of a terminal's log, which is asked for with
// stamps. Nothing else tells the pieces of a long line apart. A piece without a stamp
// begins with a space.
func eachStamped(unbuffered io.Reader, visit func(from byte, text []byte) error) error {
	stream := bufio.NewReaderSize(unbuffered, 2*(pieceText+stampSize))
	// The first piece may be the last one of a long line.
	for continued := true; ; {
		head, err := stream.Peek(stampSize)
		switch {
		case len(head) == 0 && errors.Is(err, io.EOF):
			return nil
		case len(head) == 0:
			return err
		}
		piece := []byte{' '}
		if isStamp(head) {
			piece = bytes.Clone(head)
			_, _ = stream.Discard(stampSize)
		}
		after := piece
		if !continued {
			after = nil
		}
		size := pieceSize(stream, after)
		text, err := stream.Peek(size)
		if err != nil {
			return err
		}
		piece = append(piece, text...)
		_, _ = stream.Discard(size)
		if err := visit(1, piece); err != nil {
			return err
		}
		continued = size == pieceText && text[size-1] != '\n'
	}
}

// pieceSize is that of the text that begins here: it ends with its line, with the stream, or
// is full. What continues a line may lack the line's end (see ender), so that the next stamp
// that is not earlier than its own ends it; after is nil for any other piece.
func pieceSize(stream *bufio.Reader, after []byte) int {
	most := pieceText
	if after != nil {
		most += stampSize
	}
	for size := 1; ; {
		_, err := stream.Peek(size)
		text, _ := stream.Peek(min(stream.Buffered(), most))
		end := bytes.IndexByte(text[:min(len(text), pieceText)], '\n')
		if after != nil {
			if at := nextStamp(text, after); at >= 0 && at < pieceText && (end < 0 || at < end) {
				return at
			}
		}
		switch {
		case end >= 0:
			return end + 1
		case len(text) >= most || err != nil:
			return min(len(text), pieceText)
		}
		size = len(text) + 1
	}
}

// nextStamp is where a stamp is in a text that is not earlier than another one, -1 if
// nowhere. What a program prints was written before it was stamped.
func nextStamp(text, after []byte) int {
	for from := 0; ; {
		at := bytes.Index(text[from:], []byte("Z "))
		if at < 0 {
			return -1
		}
		from += at + len("Z ")
		if begin := from - stampSize; begin >= 0 && isStamp(text[begin:]) && bytes.Compare(text[begin:from], after) >= 0 {
			return begin
		}
	}
}

// isStamp says whether a piece begins here.
func isStamp(head []byte) bool {
	if len(head) < stampSize || head[stampSize-1] != ' ' {
		return false
	}
	_, err := time.Parse(stampLayout, string(head[:stampSize-1]))
	return err == nil
}

// ender ends the lines whose end an engine has dropped: the driver local of engine 20.10
// keeps none of a line that came in pieces. The last piece of such a line is shorter than the
// others. It cannot be told from a long line at the very end of a log that has no end.
type ender struct {
	// stamped says that pieces begin with a stamp.
	stamped bool
	// full says, by stream, that the last piece was full and did not end its line.
	full [256]bool
}

// startWithin says that the first piece of each stream may continue a line.
func (e *ender) startWithin() {
	for i := range e.full {
		e.full[i] = true
	}
}

// ended is a piece with its line's end.
func (e *ender) ended(from byte, text []byte) []byte {
	size := len(text)
	if e.stamped {
		size -= bytes.IndexByte(text, ' ') + 1
	}
	ends := bytes.HasSuffix(text, []byte("\n"))
	if !ends && e.full[from] && size < pieceText {
		text, ends = append(text, '\n'), true
	}
	e.full[from] = !ends && size >= pieceText
	return text
}
