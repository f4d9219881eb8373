// Package remotecommand carries the streams of a process that is run elsewhere over one
// websocket, in the protocol that Kubernetes has for exec, v5.channel.k8s.io: the first
// byte of each binary message is a channel.
//
//	0    stdin
//	1    stdout; an empty message only shows that the server is there
//	2    stderr
//	3    how it ended, the last message: a metav1.Status as JSON
//	4    the size of the terminal: {"Width": columns, "Height": rows}
//	255  the channel in the next byte is closed, as stdin is at its end
package remotecommand

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"

	"github.com/coder/websocket"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/remotecommand"
)

// Protocol is the subprotocol of the websocket.
const Protocol = remotecommand.StreamProtocolV5Name

// The channels.
const (
	channelStdin  = remotecommand.StreamStdIn
	channelStdout = remotecommand.StreamStdOut
	channelStderr = remotecommand.StreamStdErr
	channelStatus = remotecommand.StreamErr
	channelSize   = remotecommand.StreamResize
	channelClose  = remotecommand.StreamClose
)

const (
	// pieceSize is the most that one message carries of a stream, in bytes.
	pieceSize = 32 << 10
	// mostMessage is what a message may have, in bytes: others send larger ones.
	mostMessage = 1 << 20
)

// Size of a terminal in characters.
type Size struct {
	Width, Height uint16
}

// CodeError says that the process ended with another exit code than 0.
type CodeError struct{ Code int }

// Error is the sentence that kubectl prints.
func (e *CodeError) Error() string {
	return fmt.Sprintf("command terminated with exit code %d", e.Code)
}

// channel writes to one channel of a websocket.
type channel struct {
	ctx context.Context
	ws  *websocket.Conn
	// message has the channel's number first.
	message []byte
}

func newChannel(ctx context.Context, ws *websocket.Conn, number byte) *channel {
	return &channel{ctx: ctx, ws: ws, message: append(make([]byte, 0, 1+pieceSize), number)}
}

// Write sends the bytes, in several messages if need be.
func (c *channel) Write(b []byte) (n int, err error) {
	for len(b) > 0 {
		piece := b[:min(len(b), pieceSize)]
		if err := c.ws.Write(c.ctx, websocket.MessageBinary, append(c.message[:1], piece...)); err != nil {
			return n, err
		}
		n, b = n+len(piece), b[len(piece):]
	}
	return n, nil
}

// receive calls visit with each message until one of the two fails. The bytes are visit's
// until it returns. io.EOF says that the other end has closed the websocket in order.
func receive(ctx context.Context, ws *websocket.Conn, visit func(number byte, data []byte) error) error {
	buffer := make([]byte, 1+pieceSize)
	for {
		_, message, err := ws.Reader(ctx)
		if websocket.CloseStatus(err) == websocket.StatusNormalClosure {
			return io.EOF
		}
		if err != nil {
			return err
		}
		number, begun := byte(0), false
		for {
			n, err := message.Read(buffer)
			data := buffer[:n]
			if !begun && n > 0 {
				number, data, begun = data[0], data[1:], true
			}
			// A message may come in parts. Only streams are passed on so.
			if number != channelStdin && number != channelStdout && number != channelStderr && begun {
				var rest []byte
				if rest, err = wholeOf(message, data, err); err == nil {
					err = io.EOF
				}
				data = rest
			}
			if begun && len(data) > 0 {
				if err := visit(number, data); err != nil {
					return err
				}
			}
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				return err
			}
		}
	}
}

// wholeOf is a message of which first has been read.
func wholeOf(message io.Reader, first []byte, err error) ([]byte, error) {
	if errors.Is(err, io.EOF) {
		return first, nil
	}
	if err != nil {
		return nil, err
	}
	rest, err := io.ReadAll(message)
	return append(append([]byte{}, first...), rest...), err
}

// statusOf is the last message about a process: err is why it could not be run, or nil.
func statusOf(code int, err error) ([]byte, error) {
	status := metav1.Status{Status: metav1.StatusSuccess}
	switch {
	case err != nil:
		status = metav1.Status{Status: metav1.StatusFailure, Message: err.Error(), Reason: metav1.StatusReasonInternalError, Code: http.StatusInternalServerError}
	case code != 0:
		status = metav1.Status{Status: metav1.StatusFailure, Reason: remotecommand.NonZeroExitCodeReason, Message: (&CodeError{code}).Error(),
			Details: &metav1.StatusDetails{Causes: []metav1.StatusCause{{Type: remotecommand.ExitCodeCauseType, Message: strconv.Itoa(code)}}}}
	}
	return json.Marshal(status)
}

// endOf is what a last message says: nil, a CodeError, or why the process could not be run.
func endOf(message []byte) error {
	var status metav1.Status
	if err := json.Unmarshal(message, &status); err != nil {
		return fmt.Errorf("the end of the command is told in other words than Kubernetes': %w", err)
	}
	if status.Status == metav1.StatusSuccess {
		return nil
	}
	if status.Reason == remotecommand.NonZeroExitCodeReason && status.Details != nil {
		for _, cause := range status.Details.Causes {
			if code, err := strconv.Atoi(cause.Message); cause.Type == remotecommand.ExitCodeCauseType && err == nil {
				return &CodeError{code}
			}
		}
	}
	return errors.New(status.Message)
}
