package remotecommand

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/coder/websocket"
)

// Caller is who runs a process elsewhere.
type Caller struct {
	// Stdin is read until it ends; nil is none. A Read that does not return is left alone.
	Stdin          io.Reader
	Stdout, Stderr io.Writer
	// Sizes of the caller's terminal.
	Sizes <-chan Size
}

// RefusedError is the answer of a server that has run nothing.
type RefusedError struct {
	Code int
	Text string
}

// Error is the server's text.
func (e *RefusedError) Error() string { return e.Text }

// Run asks a server for a process and returns when that has ended: nil, a CodeError, or
// another error, a RefusedError among them. When ctx ends, the process is killed.
func Run(ctx context.Context, client *http.Client, url string, c Caller) error {
	ws, response, err := websocket.Dial(ctx, url, &websocket.DialOptions{HTTPClient: client, Subprotocols: []string{Protocol}}) //nolint:bodyclose // Dial has closed it, and kept what came
	switch {
	case err != nil && response != nil && response.StatusCode != http.StatusSwitchingProtocols:
		text, _ := io.ReadAll(io.LimitReader(response.Body, 4096)) // what has come
		return &RefusedError{Code: response.StatusCode, Text: strings.TrimSpace(string(text))}
	case err != nil:
		return err
	}
	defer func() { _ = ws.CloseNow() }()
	if ws.Subprotocol() != Protocol {
		return fmt.Errorf("the server speaks %q instead of %s", ws.Subprotocol(), Protocol)
	}
	ws.SetReadLimit(mostMessage)
	sending, stop := context.WithCancel(ctx)
	defer stop()
	if c.Stdin != nil {
		go sendStdin(sending, ws, c.Stdin) // a terminal's Read ends with the program
	}
	sized := make(chan struct{})
	go func() { defer close(sized); sendSizes(sending, ws, c.Sizes) }()
	defer func() { stop(); <-sized }()
	var end []byte
	received := make(chan error, 1)
	go func() { received <- receiveAll(ctx, ws, c, &end) }() // waited for, unless a Write of the caller's hangs
	select {
	case err = <-received:
	case <-ctx.Done():
		_ = ws.CloseNow() // kills the command
		select {
		case err = <-received:
		case <-time.After(stuckWrite):
			return ctx.Err()
		}
	}
	switch {
	case end != nil:
		return endOf(end)
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(err, io.EOF):
		return errors.New("the server did not say how the command ended")
	}
	return fmt.Errorf("the connection broke off, and the command is killed: %w", err)
}

// stuckWrite is how long the caller's own output is waited for after the end of its context.
const stuckWrite = time.Second

// receiveAll passes on the output, and collects what the server says of the end.
func receiveAll(ctx context.Context, ws *websocket.Conn, c Caller, end *[]byte) error {
	return receive(ctx, ws, func(number byte, data []byte) error {
		switch number {
		case channelStdout:
			_, err := c.Stdout.Write(data)
			return err
		case channelStderr:
			_, err := c.Stderr.Write(data)
			return err
		case channelStatus:
			*end = append(*end, data...)
		}
		return nil
	})
}

// sendStdin sends what there is to read, and its end. Errors show where the answer is read.
func sendStdin(ctx context.Context, ws *websocket.Conn, in io.Reader) {
	if _, err := io.CopyBuffer(struct{ io.Writer }{newChannel(ctx, ws, channelStdin)}, struct{ io.Reader }{in}, make([]byte, pieceSize)); err == nil {
		_ = ws.Write(ctx, websocket.MessageBinary, []byte{channelClose, channelStdin})
	}
}

// sendSizes sends the sizes of a terminal until ctx ends.
func sendSizes(ctx context.Context, ws *websocket.Conn, sizes <-chan Size) {
	for {
		select {
		case <-ctx.Done():
			return
		case size := <-sizes:
			text, err := json.Marshal(size)
			if err != nil || ws.Write(ctx, websocket.MessageBinary, append([]byte{channelSize}, text...)) != nil {
				return
			}
		}
	}
}
