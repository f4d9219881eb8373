package wstunnel

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/intertwin-eu/interlink-docker-plugin/tests/clusterpeer"
)

const secret = "v3ry-s3cret"

// within is how long a condition may take to come true.
const within = 30 * time.Second

func waitFor(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(within); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("it never came true that %s", what)
		}
	}
}

// newServer starts a server that stops with the test.
func newServer(t *testing.T) *clusterpeer.Server {
	t.Helper()
	s := &clusterpeer.Server{Prefix: secret}
	if err := s.Start("127.0.0.1:0", nil); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Stop)
	return s
}

func newClient(t *testing.T, config Config) *Client {
	t.Helper()
	if config.PathPrefix == "" {
		config.PathPrefix = secret
	}
	c, err := New(config)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// running runs a tunnel until the test ends.
func running(t *testing.T, run func(context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- run(ctx) }()
	t.Cleanup(func() {
		cancel()
		select {
		case err := <-ended:
			if !errors.Is(err, context.Canceled) {
				t.Errorf("the tunnel ended: %v", err)
			}
		case <-time.After(within):
			t.Error("the tunnel goes on although its context ended")
		}
	})
}

// echo answers each connection or datagram with itself.
func echo(t *testing.T) (tcp, udp string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() { defer conn.Close(); _, _ = io.Copy(conn, conn) }()
		}
	}()
	packets, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { packets.Close() })
	go func() {
		buffer := make([]byte, 1<<16)
		for {
			n, from, err := packets.ReadFrom(buffer)
			if err != nil {
				return
			}
			_, _ = packets.WriteTo(buffer[:n], from)
		}
	}()
	return listener.Addr().String(), packets.LocalAddr().String()
}

// newDatagrams runs a tunnel for datagrams to an address.
func newDatagrams(t *testing.T, c *Client, address string) *Datagrams {
	t.Helper()
	d, err := c.Datagrams(address, 2000, nil)
	if err != nil {
		t.Fatal(err)
	}
	running(t, d.Run)
	return d
}

// exchange sends a datagram until its echo arrives.
func exchange(t *testing.T, d *Datagrams, text string) {
	t.Helper()
	done := make(chan struct{})
	defer time.AfterFunc(within, func() { close(done) }).Stop()
	buffers, sizes := [][]byte{make([]byte, 2000)}, make([]int, 1)
	got := make(chan error, 1)
	go func() {
		for {
			_, err := d.Receive(done, buffers, sizes)
			if err != nil || string(buffers[0][:sizes[0]]) == text {
				got <- err
				return
			}
		}
	}()
	for {
		d.Send([][]byte{[]byte(text)})
		select {
		case err := <-got:
			if err != nil {
				t.Fatalf("no echo of %q: %v, %+v", text, err, d.Status())
			}
			return
		case <-time.After(50 * time.Millisecond):
		}
	}
}

func TestDatagrams(t *testing.T) {
	s := newServer(t)
	_, udp := echo(t)
	c := newClient(t, Config{Server: "ws://" + s.Address()})
	d := newDatagrams(t, c, udp)
	waitFor(t, "it is connected", func() bool { return d.Status().Connected })
	exchange(t, d, "hello")
	// One that is too large is lost, and those after it are not.
	large := make([]byte, 2001)
	d.Send([][]byte{large, make([]byte, 2000), []byte("after")})
	buffers, sizes := make([][]byte, 4), make([]int, 4)
	for i := range buffers {
		buffers[i] = make([]byte, 2000)
	}
	for seen := ""; seen != "after"; {
		n, err := d.Receive(t.Context().Done(), buffers, sizes)
		if err != nil {
			t.Fatal(err)
		}
		for i := range n {
			if seen = string(buffers[i][:sizes[i]]); sizes[i] > 2000 {
				t.Errorf("a datagram of %d bytes", sizes[i])
			}
		}
	}
	if received, sent := c.Bytes(); received < 10 || sent < 4006 {
		t.Errorf("%d bytes received and %d sent", received, sent)
	}
}

// TestDatagramsComeBack after each way of losing the server.
func TestDatagramsComeBack(t *testing.T) {
	s := newServer(t)
	_, udp := echo(t)
	address := s.Address()
	c := newClient(t, Config{Server: "ws://" + address})
	c.pingEvery = 50 * time.Millisecond
	d := newDatagrams(t, c, udp)
	for _, loss := range []struct {
		name, words string
		lose, mend  func()
	}{
		{"cut", "cut the connection", s.Cut, func() {}},
		{"away", "refuses connections", s.Stop, func() {
			if err := s.Start(address, nil); err != nil {
				t.Error(err)
			}
		}},
		{"silent", "answered no ping", func() { s.Mute(true) }, func() { s.Mute(false) }},
		{"an Ingress without a server", "reaches no running wstunnel server", func() { s.Refuse(http.StatusBadGateway); s.Cut() }, func() { s.Refuse(0) }},
	} {
		exchange(t, d, "before "+loss.name)
		before := d.Status()
		loss.lose()
		waitFor(t, "the error is about "+loss.words, func() bool {
			err := d.Status().Err
			return err != nil && strings.Contains(err.Error(), loss.words)
		})
		loss.mend()
		exchange(t, d, "after "+loss.name)
		if after := d.Status(); after.Connections <= before.Connections || !after.Connected || !after.Since.After(before.Since) {
			t.Errorf("%s: %+v after %+v", loss.name, after, before)
		}
	}
}

// TestSilenceNeedsThreePings: a far end that answers is never cut.
func TestSilenceNeedsThreePings(t *testing.T) {
	s := newServer(t)
	_, udp := echo(t)
	c := newClient(t, Config{Server: "ws://" + s.Address()})
	c.pingEvery = 20 * time.Millisecond
	d := newDatagrams(t, c, udp)
	exchange(t, d, "one")
	time.Sleep(20 * c.pingEvery)
	exchange(t, d, "two")
	if got := d.Status().Connections; got != 1 {
		t.Errorf("%d connections", got)
	}
}

// newPort has the server listen at an address that is free now.
func newPort(t *testing.T, s *clusterpeer.Server, c *Client, target string) (*Port, string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	listen := listener.Addr().String()
	listener.Close()
	p, err := c.Reverse(listen, target, nil)
	if err != nil {
		t.Fatal(err)
	}
	running(t, p.Run)
	waitFor(t, "a request waits at the server", func() bool { return s.Waiting(listen) == 1 })
	waitFor(t, "the port is known to be open", func() bool { return p.Status().Connected })
	return p, listen
}

// roundTrip sends bytes to an echo by way of an address, and wants them back.
func roundTrip(t *testing.T, address string, size int64) {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Error(err)
		return
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(within))
	wrote := make(chan [32]byte, 1)
	go func() {
		sum := sha256.New()
		if _, err := io.CopyN(io.MultiWriter(conn, sum), rand.Reader, size); err != nil {
			t.Error(err)
		}
		wrote <- [32]byte(sum.Sum(nil))
	}()
	sum := sha256.New()
	n, err := io.CopyN(sum, conn, size)
	if err != nil || [32]byte(sum.Sum(nil)) != <-wrote {
		t.Errorf("%d of %d bytes came back: %v", n, size, err)
	}
}

func TestReverse(t *testing.T) {
	s := newServer(t)
	tcp, _ := echo(t)
	c := newClient(t, Config{Server: "ws://" + s.Address()})
	p, listen := newPort(t, s, c, tcp)
	done := make(chan bool)
	for range 20 {
		go func() { roundTrip(t, listen, 300_000); done <- true }()
	}
	for range 20 {
		<-done
	}
	waitFor(t, "all connections are closed", func() bool { return s.Tunnels() == 0 })
	if status := p.Status(); !status.Connected || status.Err != nil || status.Connections != 1 {
		t.Errorf("the status is %+v", status)
	}
	s.Cut()
	waitFor(t, "it waits again", func() bool { return s.Waiting(listen) == 1 })
	roundTrip(t, listen, 1000)
}

// TestReverseEnds: the end of a connection arrives at the other end, either way, and all
// that was sent before it.
func TestReverseEnds(t *testing.T) {
	s := newServer(t)
	target, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer target.Close()
	c := newClient(t, Config{Server: "ws://" + s.Address()})
	_, listen := newPort(t, s, c, target.Addr().String())
	text := bytes.Repeat([]byte("all of it "), 50_000)
	for name, swap := range map[string]bool{"from the pod": false, "from the cluster": true} {
		far, err := net.Dial("tcp", listen)
		if err != nil {
			t.Fatal(err)
		}
		near, err := target.Accept()
		if err != nil {
			t.Fatal(err)
		}
		from, to := near, far
		if swap {
			from, to = far, near
		}
		_ = to.SetDeadline(time.Now().Add(within))
		go func() { _, _ = from.Write(text); from.Close() }()
		if got, err := io.ReadAll(to); err != nil || !bytes.Equal(got, text) {
			t.Errorf("%s: %d bytes, %v", name, len(got), err)
		}
		to.Close()
	}
	waitFor(t, "nothing is left open", func() bool { return s.Tunnels() == 0 })
}

// TestRefusedTarget: the connection is closed, and the port stays open.
func TestRefusedTarget(t *testing.T) {
	s := newServer(t)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody := listener.Addr().String()
	listener.Close()
	_, listen := newPort(t, s, newClient(t, Config{Server: "ws://" + s.Address()}), nobody)
	for range 3 {
		conn, err := net.Dial("tcp", listen)
		if err != nil {
			t.Fatal(err)
		}
		_ = conn.SetDeadline(time.Now().Add(within))
		if n, err := conn.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
			t.Errorf("%d bytes, %v, want the end", n, err)
		}
		conn.Close()
	}
}

func TestForward(t *testing.T) {
	s := newServer(t)
	tcp, _ := echo(t)
	c := newClient(t, Config{Server: "ws://" + s.Address()})
	near, here := net.Pipe()
	ended := make(chan error, 1)
	go func() { ended <- c.Forward(t.Context(), here, tcp) }()
	_ = near.SetDeadline(time.Now().Add(within))
	if _, err := near.Write([]byte("hello")); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, 5)
	if _, err := io.ReadFull(near, got); err != nil || string(got) != "hello" {
		t.Errorf("%q, %v", got, err)
	}
	near.Close()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
