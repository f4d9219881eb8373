package relay_test

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"io"
	"net"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/relay"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// limit is long for what takes milliseconds.
const limit = 30 * time.Second

// pair is a connection and its other end.
func pair(t *testing.T, network string) (here, there relay.Conn) {
	t.Helper()
	address := "127.0.0.1:0"
	if network == "unix" {
		address = filepath.Join(t.TempDir(), "s")
	}
	listener, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	dialled, err := net.Dial(network, listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	accepted, err := listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	here, there = accepted.(relay.Conn), dialled.(relay.Conn)
	t.Cleanup(func() { here.Close(); there.Close() })
	for _, c := range []net.Conn{here, there} {
		if err := c.SetDeadline(time.Now().Add(limit)); err != nil {
			t.Fatal(err)
		}
	}
	return here, there
}

// join relays between the near ends of two pairs until the test ends, and returns the far
// ones and what is closed when the relay has ended.
func join(t *testing.T, first, second string) (a, b relay.Conn, ended <-chan struct{}) {
	t.Helper()
	nearA, a := pair(t, first)
	nearB, b := pair(t, second)
	done := make(chan struct{})
	go func() { defer close(done); relay.Join(nearA, nearB) }()
	t.Cleanup(func() { a.Close(); b.Close(); waitFor(t, done, "the relay ends with its connections") })
	return a, b, done
}

func waitFor(t *testing.T, done <-chan struct{}, what string) {
	t.Helper()
	select {
	case <-done:
	case <-time.After(limit):
		t.Error("not so: " + what)
	}
}

var kinds = map[string][2]string{"sockets": {"unix", "unix"}, "a socket and TCP": {"unix", "tcp"}, "TCP and a socket": {"tcp", "unix"}}

// TestHalves: each direction ends by itself, and both arrive whole.
func TestHalves(t *testing.T) {
	for name, kind := range kinds {
		t.Run(name, func(t *testing.T) {
			a, b, ended := join(t, kind[0], kind[1])
			question, answer := make([]byte, 3<<20), make([]byte, 5<<20)
			rand.Read(question)
			rand.Read(answer)
			var sending sync.WaitGroup
			sending.Go(func() {
				if _, err := a.Write(question); err != nil {
					t.Error(err)
				}
				if err := a.CloseWrite(); err != nil {
					t.Error(err)
				}
			})
			// The answer begins when the whole question is there, which its end says.
			got, err := io.ReadAll(b)
			if err != nil || !bytes.Equal(got, question) {
				t.Fatalf("%d bytes, %v, want %d", len(got), err, len(question))
			}
			sending.Go(func() {
				if _, err := b.Write(answer); err != nil {
					t.Error(err)
				}
				if err := b.CloseWrite(); err != nil {
					t.Error(err)
				}
			})
			got, err = io.ReadAll(a)
			if err != nil || sha256.Sum256(got) != sha256.Sum256(answer) {
				t.Fatalf("%d bytes back, %v, want %d", len(got), err, len(answer))
			}
			sending.Wait()
			waitFor(t, ended, "the relay ends when both directions have")
		})
	}
}

// TestLeft: an end that closes its socket is told from one that only sends no more.
func TestLeft(t *testing.T) {
	for name, kind := range map[string][2]string{"sockets": {"unix", "unix"}, "a socket and TCP": {"unix", "tcp"}} {
		t.Run(name, func(t *testing.T) {
			a, b, ended := join(t, kind[0], kind[1])
			if err := a.CloseWrite(); err != nil {
				t.Fatal(err)
			}
			if _, err := io.ReadAll(b); err != nil {
				t.Fatal(err)
			}
			select {
			case <-ended:
				t.Fatal("the relay has ended although one half is open")
			case <-time.After(3 * time.Second): // longer than it looks away
			}
			a.Close()
			waitFor(t, ended, "the relay ends when its end has left, although the other one is silent")
			if _, err := b.Write([]byte("x")); err == nil {
				_, err = io.ReadAll(b)
				if err == nil {
					return // closed in order
				}
			} else if errors.Is(err, net.ErrClosed) {
				t.Error(err)
			}
		})
	}
}

// TestBroken: a connection that is broken off does not look like one that has ended, over
// several relays as well.
func TestBroken(t *testing.T) {
	for name, how := range map[string]func(relay.Conn){
		"reset": func(c relay.Conn) { _ = c.(*net.TCPConn).SetLinger(0); c.Close() },
		"ended": func(c relay.Conn) { c.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			// TCP to a socket, that to another one, and to TCP.
			nearA, client := pair(t, "tcp")
			aToB, bFromA := pair(t, "unix")
			nearB, server := pair(t, "tcp")
			var joined sync.WaitGroup
			joined.Go(func() { relay.Join(nearA, aToB) })
			joined.Go(func() { relay.Join(bFromA, nearB) })
			defer joined.Wait()
			defer client.Close()
			if _, err := client.Write([]byte("question")); err != nil {
				t.Fatal(err)
			}
			if _, err := io.ReadFull(server, make([]byte, 8)); err != nil {
				t.Fatal(err)
			}
			if _, err := server.Write([]byte("part")); err != nil {
				t.Fatal(err)
			}
			if _, err := io.ReadFull(client, make([]byte, 4)); err != nil {
				t.Fatal(err)
			}
			how(server)
			_, err := client.Read(make([]byte, 1))
			if want := io.EOF; name == "ended" && !errors.Is(err, want) || name == "reset" && !errors.Is(err, syscall.ECONNRESET) {
				t.Errorf("the client reads %v", err)
			}
		})
	}
}
