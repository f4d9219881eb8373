package wstunnel

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"time"

	"github.com/coder/websocket"
	"golang.org/x/sync/semaphore"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/retry"
)

const (
	// mostConnections of one port are open at once; further ones wait at the server.
	mostConnections = 512
	// targetLimit bounds connecting to the target, and lingering the rest of a
	// connection whose other half has ended.
	targetLimit = 10 * time.Second
	lingering   = 5 * time.Second
	// pieceSize is the largest piece of a connection that is sent as one message.
	pieceSize = 16 << 10
)

// Port is a port that the server listens at. One request of ours waits there for the
// next connection.
type Port struct {
	line
	client         *Client
	listen, target string
	dialer         net.Dialer
}

// Reverse makes a tunnel from the address HOST:PORT that the server listens at to a
// target here. changed is called when the status may have changed.
func (c *Client) Reverse(listen, target string, changed func()) (*Port, error) {
	if _, err := c.token(purposeReverse, listen); err != nil {
		return nil, err
	}
	return &Port{line: line{changed: changed}, client: c, listen: listen, target: target, dialer: net.Dialer{Timeout: targetLimit}}, nil
}

// Run brings connections to the target until ctx ends, whose error it returns.
func (p *Port) Run(ctx context.Context) error {
	var open sync.WaitGroup
	defer open.Wait()
	trouble := retry.New(firstAgain, firstAgain)
	places := semaphore.NewWeighted(mostConnections)
	for {
		if err := places.Acquire(ctx, 1); err != nil {
			return err
		}
		began := time.Now()
		c, err := p.next(ctx)
		if err == nil {
			trouble.Succeeded(ctx, "a port of the pod waits at the tunnel's server again")
			open.Go(func() {
				defer places.Release(1)
				p.serve(ctx, c)
			})
			continue
		}
		places.Release(1)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		// A request that has waited for long was cut by an Ingress, and the next takes its
		// place at once.
		cut := time.Since(began) > steady && p.Status().Connected
		p.failed(err, !cut)
		if cut {
			continue
		}
		trouble.Note(ctx, "a port of the pod is closed at the tunnel's server", err)
		if err := trouble.Wait(ctx); err != nil {
			return err
		}
	}
}

// Bounds of the time after which a request without an answer is taken to wait at the
// server. An Ingress without a server refuses about as fast as it was connected to.
const (
	connectingTimes         = 4
	leastSettle, mostSettle = 10 * time.Millisecond, 200 * time.Millisecond
)

// next waits at the server until there is a connection.
func (p *Port) next(ctx context.Context) (*conn, error) {
	var settling *time.Timer
	settled := make(chan struct{})
	c, err := p.client.open(ctx, request{what: purposeReverse, address: p.listen, patient: true, readBuffer: 4 << 10,
		sent: func(connecting time.Duration) {
			settling = time.AfterFunc(min(max(connectingTimes*connecting, leastSettle), mostSettle), func() { defer close(settled); p.waits() })
		}})
	if settling != nil && !settling.Stop() {
		<-settled // before a failure is noted
	}
	if err == nil {
		p.waits()
	}
	return c, err
}

// waits notes that the port is open at the server.
func (p *Port) waits() {
	if !p.Status().Connected {
		p.connected()
	}
}

// serve brings one connection to the target.
func (p *Port) serve(ctx context.Context, c *conn) {
	defer context.AfterFunc(ctx, func() { _ = c.ws.CloseNow() })()
	local, err := p.dialer.DialContext(ctx, "tcp", p.target)
	if err != nil {
		c.finish()
		return
	}
	p.client.join(c, local)
}

// join copies both ways until either end has closed.
func (c *Client) join(far *conn, near net.Conn) {
	var reading sync.WaitGroup
	reading.Go(func() {
		_ = c.fromFar(far, near) // whatever ended it, the near end is told
		if half, ok := near.(interface{ CloseWrite() error }); ok {
			_ = half.CloseWrite()
		}
		_ = near.SetReadDeadline(time.Now().Add(lingering))
	})
	_ = c.toFar(far, near) // likewise
	far.finish()
	reading.Wait()
	near.Close()
}

// fromFar copies what comes from the server.
func (c *Client) fromFar(far *conn, near net.Conn) error {
	buffer := make([]byte, pieceSize)
	for {
		_, message, err := far.ws.Reader(context.Background()) // it ends with its connection
		if err != nil {
			return err
		}
		for err == nil {
			var n int
			n, err = message.Read(buffer)
			if n == 0 {
				continue
			}
			far.busy.Store(true)
			_, failed := near.Write(buffer[:n])
			far.busy.Store(false)
			if failed != nil {
				return failed
			}
			c.received.Add(int64(n))
		}
		if !errors.Is(err, io.EOF) {
			return err
		}
	}
}

// toFar copies what goes to the server.
func (c *Client) toFar(far *conn, near net.Conn) error {
	buffer := make([]byte, pieceSize)
	for {
		n, err := near.Read(buffer)
		if n > 0 {
			if err := far.ws.Write(context.Background(), websocket.MessageBinary, buffer[:n]); err != nil {
				return err
			}
			c.sent.Add(int64(n))
		}
		if err != nil {
			return err
		}
	}
}

// Forward connects to an address as the server reaches it, and copies both ways between
// it and a connection here, which it closes at the end. The error is that of connecting.
func (c *Client) Forward(ctx context.Context, near net.Conn, address string) error {
	far, err := c.open(ctx, request{what: purposeTCP, address: address, readBuffer: 4 << 10})
	if err != nil {
		near.Close()
		return err
	}
	defer context.AfterFunc(ctx, func() { _ = far.ws.CloseNow() })()
	c.join(far, near)
	return nil
}
