package connections_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/net/netutil"
	"golang.org/x/sys/unix"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/connections"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// limit is long for an answer on this host.
const limit = 20 * time.Second

// serve answers over a listener; /wait answers once release is closed, /body when
// it has read one.
func serve(t *testing.T, wrap func(net.Listener) net.Listener) (address string, entered <-chan struct{}, release chan<- struct{}) {
	t.Helper()
	in, out := make(chan struct{}, 100), make(chan struct{})
	mux := http.NewServeMux()
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "ok") })
	mux.HandleFunc("/wait", func(w http.ResponseWriter, _ *http.Request) { in <- struct{}{}; <-out; fmt.Fprint(w, "waited") })
	mux.HandleFunc("/body", func(w http.ResponseWriter, r *http.Request) {
		in <- struct{}{}
		_, _ = io.Copy(w, r.Body)
	})
	server := &http.Server{Handler: mux, ErrorLog: log.New(io.Discard, "", 0), ReadHeaderTimeout: time.Minute}
	connections.Watch(server)
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(wrap(inner)) }()
	t.Cleanup(func() {
		server.Close()
		if err := <-served; !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
	})
	return inner.Addr().String(), in, out
}

func bounded(most int) func(net.Listener) net.Listener {
	return func(inner net.Listener) net.Listener { return connections.Listen(inner, most) }
}

// open connects from an address of the loopback network and sends some text.
func open(t *testing.T, from, address, text string) net.Conn {
	t.Helper()
	dialer := &net.Dialer{Timeout: limit, LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
	conn, err := dialer.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if _, err := io.WriteString(conn, text); err != nil {
		t.Fatal(err)
	}
	return conn
}

// line is the first line of an answer, an error if there is none within a time.
func line(conn net.Conn, within time.Duration) (string, error) {
	if err := conn.SetReadDeadline(time.Now().Add(within)); err != nil {
		return "", err
	}
	text, err := bufio.NewReader(conn).ReadString('\n')
	return strings.TrimSpace(text), err
}

const get = "GET / HTTP/1.1\r\nHost: x\r\n\r\n"

func wantAnswer(t *testing.T, conn net.Conn, what string) {
	t.Helper()
	if got, err := line(conn, limit); got != "HTTP/1.1 200 OK" {
		t.Errorf("%s: %q, %v", what, got, err)
	}
}

// cut says that the server has closed a connection.
func cut(conn net.Conn) bool {
	_, err := line(conn, limit)
	return err != nil && !errors.Is(err, os.ErrDeadlineExceeded)
}

// alive says that it has not.
func alive(conn net.Conn) bool {
	_, err := line(conn, 50*time.Millisecond)
	return errors.Is(err, os.ErrDeadlineExceeded)
}

// TestSilentOnesMakePlace: whatever the silent ones have sent, a call is answered.
// With a limit alone it is not.
func TestSilentOnesMakePlace(t *testing.T) {
	const most = 10
	for name, sent := range map[string]string{"nothing": "", "a part of a header": "GET / HT", "a header without its body": "POST /body HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n",
		"a part of a body": "POST /body HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nab", "a body that nobody reads": "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n"} {
		t.Run(name, func(t *testing.T) {
			address, _, _ := serve(t, bounded(most))
			for range 3 * most {
				open(t, "127.0.0.1", address, sent)
			}
			wantAnswer(t, open(t, "127.0.0.1", address, get), "a call among silent ones")
			plain, _, _ := serve(t, func(inner net.Listener) net.Listener { return netutil.LimitListener(inner, most) })
			for range 3 * most {
				open(t, "127.0.0.1", plain, sent)
			}
			if got, err := line(open(t, "127.0.0.1", plain, get), 100*time.Millisecond); err == nil {
				t.Errorf("control: with a limit alone the call is answered with %q", got)
			}
		})
	}
}

// TestWhoMakesPlace: the peer with the most connections loses one; of its own, one
// that never said anything goes before one that a caller keeps, and the older first.
// One with a request never goes.
func TestWhoMakesPlace(t *testing.T) {
	const most = 8
	address, entered, release := serve(t, bounded(most))
	other := open(t, "127.0.0.2", address, "") // the oldest, of a peer with one
	kept := open(t, "127.0.0.1", address, get)
	wantAnswer(t, kept, "the first call")
	if err := kept.SetReadDeadline(time.Time{}); err != nil {
		t.Fatal(err)
	}
	working := open(t, "127.0.0.1", address, "GET /wait HTTP/1.1\r\nHost: x\r\n\r\n")
	<-entered
	var silent []net.Conn
	for range most - 3 {
		silent = append(silent, open(t, "127.0.0.1", address, ""))
	}
	for i := range silent {
		wantAnswer(t, open(t, "127.0.0.1", address, get), "a call")
		if !cut(silent[i]) {
			t.Errorf("silent connection %d is not the one that was closed", i)
		}
	}
	for name, conn := range map[string]net.Conn{"of another peer": other, "with a request": working, "kept for the next call": kept} {
		if !alive(conn) {
			t.Errorf("the connection %s was closed", name)
		}
	}
	// All others are kept ones by now: the oldest goes.
	wantAnswer(t, open(t, "127.0.0.1", address, get), "one more call")
	if !cut(kept) || !alive(other) {
		t.Error("the connection that was closed is not the one that was kept the longest")
	}
	close(release)
	wantAnswer(t, working, "the request that was worked at")
}

// TestAllAreAtWork: then the next one waits, and is answered as soon as one is
// done; a server that is closed meanwhile does not hang.
func TestAllAreAtWork(t *testing.T) {
	address, entered, release := serve(t, bounded(2))
	const ask = "GET /wait HTTP/1.1\r\nHost: x\r\n\r\n"
	first, second := open(t, "127.0.0.1", address, ask), open(t, "127.0.0.1", address, ask)
	<-entered
	<-entered
	third := open(t, "127.0.0.1", address, get)
	if got, err := line(third, 100*time.Millisecond); err == nil {
		t.Errorf("a third is answered with %q", got)
	}
	if !alive(first) || !alive(second) {
		t.Error("one with a request was closed")
	}
	close(release)
	wantAnswer(t, third, "the third")
	wantAnswer(t, first, "the first")
	wantAnswer(t, second, "the second")
}

// exhausted is a listener of a process that has no descriptor left until some
// connection is closed.
type exhausted struct {
	net.Listener
	free  atomic.Int64
	asked atomic.Int64
}

func (e *exhausted) Accept() (net.Conn, error) {
	e.asked.Add(1)
	if e.free.Load() <= 0 {
		return nil, &net.OpError{Op: "accept", Net: "tcp", Err: os.NewSyscallError("accept4", unix.EMFILE)}
	}
	conn, err := e.Listener.Accept()
	if err != nil {
		return nil, err
	}
	e.free.Add(-1)
	return &descriptor{Conn: conn, of: e}, nil
}

type descriptor struct {
	net.Conn
	of   *exhausted
	once sync.Once
}

func (d *descriptor) Close() error {
	d.once.Do(func() { d.of.free.Add(1) })
	return d.Conn.Close()
}

// TestNoDescriptors: silent connections give theirs, and where there are none the
// server waits between its tries.
func TestNoDescriptors(t *testing.T) {
	var e *exhausted
	address, entered, release := serve(t, func(inner net.Listener) net.Listener {
		e = &exhausted{Listener: inner}
		e.free.Store(3)
		return connections.Listen(e, 100)
	})
	var silent []net.Conn
	for range 3 {
		silent = append(silent, open(t, "127.0.0.1", address, ""))
	}
	const ask = "GET /wait HTTP/1.1\r\nHost: x\r\n\r\n"
	for range 3 {
		open(t, "127.0.0.1", address, ask)
	}
	for range 3 {
		<-entered
	}
	for i, conn := range silent {
		if !cut(conn) {
			t.Errorf("silent connection %d keeps its descriptor", i)
		}
	}
	last := open(t, "127.0.0.1", address, get)
	before := e.asked.Load()
	if got, err := line(last, 500*time.Millisecond); err == nil {
		t.Errorf("without a descriptor the call is answered with %q", got)
	}
	if tries := e.asked.Load() - before; tries > 200 {
		t.Errorf("%d tries in half a second", tries)
	}
	close(release)
	wantAnswer(t, last, "the last one")
}
