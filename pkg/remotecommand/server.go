package remotecommand

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/coder/websocket"
)

// Streams of a process, as its server has them.
type Streams struct {
	// Stdin is nil if the caller has none.
	Stdin          io.ReadCloser
	Stdout, Stderr io.Writer
	// Sizes are those of the caller's terminal, the newest one that has not been read.
	Sizes <-chan Size
}

// heartbeat is how often the server writes, so that it learns of a caller that has left
// while the process does not read what it sent.
const heartbeat = time.Second

// stuck is how long a run whose context has ended may still write to its caller.
const stuck = 500 * time.Millisecond

// errLeft is the cause of a context whose caller has left.
var errLeft = errors.New("the caller has left")

// Serve answers a request by a websocket and runs a process with its streams. The context
// of run ends when the caller has left. Serve returns when run has, with its error; what is
// wrong with the request is answered.
func Serve(ctx context.Context, w http.ResponseWriter, r *http.Request, stdin bool,
	run func(context.Context, Streams) (code int, err error)) error {
	ws, err := websocket.Accept(w, r, &websocket.AcceptOptions{Subprotocols: []string{Protocol}})
	if err != nil {
		return err
	}
	defer func() { _ = ws.CloseNow() }()
	if ws.Subprotocol() != Protocol {
		return ws.Close(websocket.StatusProtocolError, "the subprotocol is "+Protocol)
	}
	ws.SetReadLimit(mostMessage)
	running, end := context.WithCancelCause(ctx)
	s := &session{ws: ws, sizes: make(chan Size, 1)}
	// The websocket outlives run, which ends with running: its end is still to be told.
	open, shut := context.WithCancel(context.WithoutCancel(ctx))
	var helpers sync.WaitGroup
	defer helpers.Wait()
	defer shut()
	streams := Streams{Stdout: newChannel(open, ws, channelStdout), Stderr: newChannel(open, ws, channelStderr), Sizes: s.sizes}
	if stdin {
		streams.Stdin, s.stdin = io.Pipe()
	}
	helpers.Go(func() { s.read(open); end(errLeft) })
	helpers.Go(func() {
		if s.beat(running, open) != nil {
			end(errLeft)
		}
	})
	// Neither a caller that has left nor a server that ends keeps run in a write.
	cut := context.AfterFunc(running, func() { time.AfterFunc(stuck, func() { _ = ws.CloseNow() }) })
	code, err := run(running, streams)
	cut()
	if streams.Stdin != nil {
		_ = streams.Stdin.Close() // what still comes is dropped
	}
	last, problem := statusOf(code, err)
	end(nil)
	// The caller may take its time to read what comes before.
	if problem == nil {
		problem = ws.Write(ctx, websocket.MessageBinary, append([]byte{channelStatus}, last...))
	}
	if problem == nil {
		_ = ws.Close(websocket.StatusNormalClosure, "") // the caller has what it needs
	}
	return err
}

// session is the server's end of a websocket.
type session struct {
	ws    *websocket.Conn
	stdin *io.PipeWriter
	sizes chan Size
}

// read passes on what the caller sends until it has left.
func (s *session) read(ctx context.Context) {
	err := receive(ctx, s.ws, func(number byte, data []byte) error {
		switch {
		case number == channelStdin && s.stdin != nil:
			_, _ = s.stdin.Write(data) // dropped once the process has ended
		case number == channelClose && data[0] == channelStdin && s.stdin != nil:
			_ = s.stdin.Close() // never fails
		case number == channelSize:
			var size Size
			if err := json.Unmarshal(data, &size); err != nil {
				return fmt.Errorf("the size of a terminal: %w", err)
			}
			select {
			case <-s.sizes: // nobody has read it
			default:
			}
			s.sizes <- size
		}
		return nil
	})
	if s.stdin != nil {
		_ = s.stdin.CloseWithError(fmt.Errorf("%w: %w", errLeft, err)) // never fails
	}
}

// beat writes nothing until running ends.
func (s *session) beat(running, open context.Context) error {
	tick := time.NewTicker(heartbeat)
	defer tick.Stop()
	for {
		select {
		case <-running.Done():
			return nil
		case <-tick.C:
		}
		if err := s.ws.Write(open, websocket.MessageBinary, []byte{channelStdout}); err != nil {
			return err
		}
	}
}
