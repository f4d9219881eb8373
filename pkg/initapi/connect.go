package initapi

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"

	"github.com/containerd/errdefs"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/relay"
)

const (
	// OpConnect connects to a port at the loopback interface of the sandbox. After an
	// answer without an error and its line end, the connection that the call came by is
	// joined to that one. KindMissing says that nothing listens there.
	OpConnect = "connect"
	// OpEndSession kills what is left of the session of a process, the PID, that has
	// ended, and what this has started. While there is a process of that id, it does
	// nothing: that is another one.
	OpEndSession = "endSession"
	// OpHold kills a process, the PID, its session and what these have started, when the
	// connection that the call came by ends. KindMissing says that there is no such process.
	OpHold = "hold"
)

// Hold has a process, its session and what these have started killed when the connection that
// it returns is closed, or docker-sd ends. ErrFailedPrecondition says that it has ended.
func (c *Client) Hold(ctx context.Context, pid int) (io.Closer, error) {
	return c.keep(ctx, Request{Op: OpHold, PID: pid})
}

// EndSession ends what a process that has ended has left in its session, at once.
func (c *Client) EndSession(ctx context.Context, pid int) error {
	_, err := c.call(ctx, Request{Op: OpEndSession, PID: pid})
	return err
}

// Connect makes a connection to a port at the loopback interface of the sandbox, which the
// caller closes. ErrFailedPrecondition says that nothing listens there.
func (c *Client) Connect(ctx context.Context, port uint16) (relay.Conn, error) {
	return c.keep(ctx, Request{Op: OpConnect, Port: port})
}

// keep makes a call whose connection lasts.
func (c *Client) keep(ctx context.Context, request Request) (relay.Conn, error) {
	request.Version = Version
	ctx, cancel := context.WithTimeout(ctx, callLimit)
	defer cancel()
	conn, answer, err := c.connect(ctx, request)
	if err != nil {
		return nil, fmt.Errorf("ask the sandbox's init for %s: %w: %w", request.Op, err, errdefs.ErrUnavailable)
	}
	if answer.Error != nil {
		_ = conn.Close() // nothing was sent
		return nil, fmt.Errorf("%w%w", answer.Error, classOf(answer.Error.Kind))
	}
	return conn, nil
}

// connect sends a request and reads a line, and keeps the connection.
func (c *Client) connect(ctx context.Context, request Request) (_ relay.Conn, answer Answer, err error) {
	var dialer net.Dialer
	dialled, err := dialer.DialContext(ctx, "unix", c.socket)
	if err != nil {
		return nil, answer, err
	}
	conn, ok := dialled.(relay.Conn)
	if !ok {
		return nil, answer, errors.Join(fmt.Errorf("the connection is %T", dialled), dialled.Close())
	}
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	ahead := bufio.NewReader(io.LimitReader(conn, answerLimit))
	err = json.NewEncoder(conn).Encode(request)
	var line []byte
	if err == nil {
		line, err = ahead.ReadBytes('\n')
	}
	if err == nil {
		err = json.Unmarshal(line, &answer)
	}
	if err != nil || !stop() {
		return nil, answer, errors.Join(ctx.Err(), err, conn.Close())
	}
	first, err := ahead.Peek(ahead.Buffered())
	return relay.After(first, conn), answer, err
}
