package wstunnel

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"time"

	"github.com/coder/websocket"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/retry"
)

// Pauses between two attempts to connect, which grow from the first to the last.
const (
	firstAgain = time.Second
	lastAgain  = 5 * time.Second
	// steady is how long a connection has to have lasted for the next one to be made
	// without a pause: an Ingress cuts long and idle ones.
	steady = 5 * time.Second
)

// Datagrams carries datagrams to one address, to which the server sends them by UDP, and
// back. While it is not connected, what is sent is lost, as with UDP.
type Datagrams struct {
	line
	client  *Client
	address string
	largest int

	// free and full hold the buffers of received datagrams, fewer or more of them filled.
	free, full chan []byte

	mu      sync.Mutex
	current *conn
}

// batch is how many datagrams can wait to be received, and how many a call takes at most.
const batch = 64

// readAhead is how much is read at once of a connection with datagrams, in bytes.
const readAhead = 32 << 10

// Datagrams makes a tunnel to the address HOST:PORT as the server reaches it, for
// datagrams of at most largest bytes; larger ones are lost. changed is called when the
// status may have changed.
func (c *Client) Datagrams(address string, largest int, changed func()) (*Datagrams, error) {
	if _, err := c.token(purposeUDP, address); err != nil {
		return nil, err
	}
	d := &Datagrams{line: line{changed: changed}, client: c, address: address, largest: largest,
		free: make(chan []byte, batch), full: make(chan []byte, batch)}
	for range batch {
		d.free <- make([]byte, 0, largest)
	}
	return d, nil
}

// Run keeps the tunnel connected until ctx ends, whose error it returns.
func (d *Datagrams) Run(ctx context.Context) error {
	trouble := retry.New(firstAgain, lastAgain)
	for {
		lasted, err := d.once(ctx, func() { trouble.Succeeded(ctx, "the tunnel's server answers again") })
		if ctx.Err() != nil {
			return ctx.Err()
		}
		d.failed(err, true)
		trouble.Note(ctx, "the tunnel to the cluster is cut", err)
		if lasted > steady {
			continue
		}
		if err := trouble.Wait(ctx); err != nil {
			return err
		}
	}
}

// once connects and receives until the connection ends, and returns how long it lasted.
func (d *Datagrams) once(ctx context.Context, connected func()) (time.Duration, error) {
	c, err := d.client.open(ctx, request{what: purposeUDP, address: d.address, readBuffer: readAhead})
	if err != nil {
		return 0, err
	}
	defer c.close()
	defer context.AfterFunc(ctx, func() { _ = c.ws.CloseNow() })()
	d.use(c)
	defer d.use(nil)
	began := time.Now()
	connected()
	d.line.connected()
	err = d.receive(ctx, c)
	return time.Since(began), d.client.explain(c.ended(err))
}

func (d *Datagrams) use(c *conn) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.current = c
}

// receive fills buffers until the connection ends.
func (d *Datagrams) receive(ctx context.Context, c *conn) error {
	for {
		var buffer []byte
		select {
		case buffer = <-d.free:
		default:
			c.busy.Store(true)
			select {
			case buffer = <-d.free:
			case <-ctx.Done():
				return ctx.Err()
			}
			c.busy.Store(false)
		}
		got, err := readDatagram(c.ws, buffer[:d.largest])
		d.full <- buffer[:got] // an empty one is taken for none
		if err != nil {
			return err
		}
		d.client.received.Add(int64(got))
	}
}

// readDatagram reads one message. One that does not fit into p is dropped, and 0
// returned.
func readDatagram(ws *websocket.Conn, p []byte) (int, error) {
	_, message, err := ws.Reader(context.Background()) // it ends with its connection
	if err != nil {
		return 0, err
	}
	n, err := io.ReadFull(message, p)
	if err == nil {
		// It fills the buffer, and has to end here.
		rest, err := io.Copy(io.Discard, message)
		if err != nil || rest > 0 {
			return 0, err
		}
		return n, nil
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return n, nil
	}
	return 0, err
}

// Receive waits for datagrams and copies as many as there are into buffers, with their
// sizes. It returns net.ErrClosed when done is closed.
func (d *Datagrams) Receive(done <-chan struct{}, buffers [][]byte, sizes []int) (int, error) {
	count := 0
	for count < len(buffers) {
		var got []byte
		select {
		case got = <-d.full:
		default:
			if count > 0 {
				return count, nil
			}
			select {
			case got = <-d.full:
			case <-done:
				return 0, net.ErrClosed
			}
		}
		if len(got) > 0 {
			sizes[count] = copy(buffers[count], got)
			count++
		}
		d.free <- got
	}
	return count, nil
}

// Send sends datagrams in one batch. Without a connection they are lost.
func (d *Datagrams) Send(datagrams [][]byte) {
	d.mu.Lock()
	c := d.current
	d.mu.Unlock()
	if c == nil {
		return
	}
	c.stream.cork()
	for _, datagram := range datagrams {
		if err := c.ws.Write(context.Background(), websocket.MessageBinary, datagram); err != nil {
			break // the receiver sees the end of the connection
		}
		d.client.sent.Add(int64(len(datagram)))
	}
	if err := c.stream.uncork(); err != nil {
		_ = c.ws.CloseNow() // so that the receiver sees the end
	}
}
