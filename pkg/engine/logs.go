package engine

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/docker/docker/api/types/container"
)

// LogOptions selects lines of a container's log. Since and Tail apply
// together: the last Tail lines of those not older than Since.
type LogOptions struct {
	Since      time.Time
	Tail       int // 0 = all
	Timestamps bool
	Follow     bool
	// TTY says that the container has a terminal, whose log is not framed.
	TTY bool
}

// eachPiece calls visit with each of the engine's pieces of a log. within says that the
// first piece may be the end of a long line.
func (o LogOptions) eachPiece(stream io.Reader, within bool, visit func(from byte, text []byte) error) error {
	e := ender{stamped: o.Timestamps}
	if within {
		e.startWithin()
	}
	each := eachPiece
	if o.TTY {
		each = eachStamped
	}
	return each(stream, func(from byte, text []byte) error { return visit(from, e.ended(from, text)) })
}

// Logs copies a container's log to w, both streams in the order in which they
// were written. With Follow it returns when the container ends.
//
// An engine keeps lines over 16 KiB in pieces, stamps each piece, and counts
// pieces for its tail. Here a line is a line.
func (c containerAPI) Logs(ctx context.Context, id string, options LogOptions, w io.Writer) error {
	bare := !options.Timestamps && (options.TTY || options.Follow)
	if bare {
		// By which a terminal's pieces are told apart, and those that come to a follower again.
		options.Timestamps = true
	}
	pieces, skip, err := c.tailPieces(ctx, id, options)
	if err != nil {
		return err
	}
	out := &lineWriter{w: w, skip: skip, stamped: options.Timestamps, bare: bare}
	if options.Follow {
		out.before = newReplayed()
	}
	return c.readLog(ctx, id, options, pieces, func(stream io.Reader) error {
		return options.eachPiece(stream, skip > 0, out.piece)
	})
}

// tailPieces finds how many of the engine's pieces hold the last lines that are
// wanted, and how many lines too many are in them. The first piece may be the
// end of a longer line, hence one line more than asked for.
func (c containerAPI) tailPieces(ctx context.Context, id string, options LogOptions) (pieces, skip int, err error) {
	if options.Tail <= 0 {
		return 0, 0, nil
	}
	options.Follow = false
	for pieces = options.Tail + 1; ; pieces *= 2 {
		seen, lines := 0, 0
		open := map[byte]bool{}
		err := c.readLog(ctx, id, options, pieces, func(stream io.Reader) error {
			return options.eachPiece(stream, true, func(from byte, text []byte) error {
				seen++
				if open[from] = !bytes.HasSuffix(text, []byte("\n")); !open[from] {
					lines++
				}
				return nil
			})
		})
		if err != nil {
			return 0, 0, err
		}
		for _, unended := range open {
			if unended {
				lines++
			}
		}
		if lines > options.Tail || seen < pieces {
			return pieces, max(lines-options.Tail, 0), nil
		}
	}
}

// readLog opens a log and has it read; tail 0 means all.
func (c containerAPI) readLog(ctx context.Context, id string, options LogOptions, tail int, read func(io.Reader) error) error {
	request := container.LogsOptions{ShowStdout: true, ShowStderr: true,
		Timestamps: options.Timestamps, Follow: options.Follow}
	if tail > 0 {
		request.Tail = strconv.Itoa(tail)
	}
	if !options.Since.IsZero() {
		request.Since = unixTime(options.Since)
	}
	ctx, silence, end := listen(ctx, c.limit)
	defer end()
	stream, err := c.sdk(ctx).ContainerLogs(ctx, id, request)
	if err != nil {
		return fmt.Errorf("open container log: %w", classify(ctx, err))
	}
	defer stream.Close()
	silence.rest()
	var source io.Reader = stream
	if !options.Follow {
		source = owed{stream, silence}
	}
	if err := read(source); err != nil {
		return fmt.Errorf("read container log: %w", silent(ctx, err))
	}
	return nil
}

// readBuffer in bytes, for logs.
const readBuffer = 32 << 10

// eachPiece calls visit with each piece of a framed log and the stream that it
// was written to. A piece is at most 16 KiB and its stamp.
func eachPiece(unbuffered io.Reader, visit func(from byte, text []byte) error) error {
	// An engine sends a line at a time, and owed has its price for each read.
	stream := bufio.NewReaderSize(unbuffered, readBuffer)
	var header [8]byte
	var text []byte
	for {
		if _, err := io.ReadFull(stream, header[:]); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		size := int(binary.BigEndian.Uint32(header[4:]))
		if size > maxPiece {
			return fmt.Errorf("a piece of %d bytes: this is not a framed log", size)
		}
		if cap(text) < size {
			text = make([]byte, size)
		}
		text = text[:size]
		if _, err := io.ReadFull(stream, text); err != nil {
			return err
		}
		if err := visit(header[0], text); err != nil {
			return err
		}
	}
}

// maxPiece is far above what an engine sends; a TTY's log read as a framed one
// would show up as more.
const maxPiece = 4 << 20

// lineWriter puts pieces together to lines: it leaves out the first ones, and
// the stamps inside a line.
type lineWriter struct {
	w       io.Writer
	skip    int
	stamped bool
	// bare says that nobody wants the stamps.
	bare bool
	// within says, by stream, that the last piece did not end its line.
	within [256]bool
	// before, unless nil, knows the pieces that have come.
	before *replayed
}

// piece writes one piece unless it belongs to a line that is left out.
func (l *lineWriter) piece(from byte, text []byte) error {
	if l.before != nil && l.before.has(from, text) {
		return nil
	}
	inside := l.within[from]
	ends := bytes.HasSuffix(text, []byte("\n"))
	l.within[from] = !ends
	if l.skip > 0 {
		if ends {
			l.skip--
		}
		return nil
	}
	if l.stamped && (inside || l.bare) {
		if _, rest, found := bytes.Cut(text, []byte(" ")); found {
			text = rest
		}
	}
	_, err := l.w.Write(text)
	return err
}
