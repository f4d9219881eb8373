//go:build e2e

package e2e_test

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	v1 "k8s.io/api/core/v1"
)

// forwarded starts port-forward and returns the local addresses, by the pod's port.
func (p *podRun) forwarded(args ...string) (map[string]string, *exec.Cmd, *syncBuffer) {
	p.t.Helper()
	cmd := p.d.program(p.t, append([]string{"port-forward", string(p.pod.UID)}, args...)...)
	errs := &syncBuffer{}
	cmd.Stderr = errs
	out, err := cmd.StdoutPipe()
	if err != nil {
		p.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	addresses := map[string]string{}
	lines := bufio.NewScanner(out)
	for len(addresses) < len(args) && lines.Scan() {
		if match := forwardingLine.FindStringSubmatch(lines.Text()); match != nil {
			addresses[match[2]] = match[1]
		}
	}
	if len(addresses) < len(args) {
		p.t.Fatalf("port-forward says %v and %q", addresses, errs.String())
	}
	return addresses, cmd, errs
}

var forwardingLine = regexp.MustCompile(`^Forwarding from (\S+) -> (\d+)$`)

// syncBuffer is a buffer that is read while it is written.
type syncBuffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// converse sends a question to its end, and returns what comes back after that.
func converse(address string, question []byte) ([]byte, error) {
	conn, err := net.Dial("tcp", address)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(runLimit)); err != nil {
		return nil, err
	}
	sent := make(chan error, 1)
	go func() {
		_, err := conn.Write(question)
		sent <- errors.Join(err, conn.(*net.TCPConn).CloseWrite())
	}()
	answer, err := io.ReadAll(conn)
	return answer, errors.Join(err, <-sent)
}

// begin sends a question to its end and returns the connection when the answer has begun.
func begin(address, question string) (net.Conn, []byte, error) {
	conn, err := net.Dial("tcp", address)
	if err != nil {
		return nil, nil, err
	}
	first := make([]byte, 1)
	_, err = io.WriteString(conn, question)
	err = errors.Join(err, conn.SetDeadline(time.Now().Add(runLimit)), conn.(*net.TCPConn).CloseWrite())
	if err == nil {
		_, err = io.ReadFull(conn, first)
	}
	if err != nil {
		return nil, nil, errors.Join(err, conn.Close())
	}
	return conn, first, nil
}

// servers answer each connection with the checksum of all that it sent, with what it sent,
// and at the loopback address alone with a file.
const servers = "nc -ll -p 7001 -e sha256sum & nc -ll -p 7002 -e cat & mkdir /www && echo page >/www/index.html && yes 0123456789 | head -n 50000 >/www/much && httpd -p 127.0.0.1:7004 -h /www; " + untilStopped

// manyAtOnce has a hundred connections open before one of them is read to its end.
func manyAtOnce(t *testing.T, address string, errs *syncBuffer) {
	t.Helper()
	const many = 100
	much := strings.Repeat("0123456789\n", 50000)
	var begun, talking sync.WaitGroup
	// The server's queue of connections is short, and it resets those that find it full.
	turns := make(chan struct{}, 4)
	begun.Add(many)
	for i := range many {
		talking.Go(func() {
			turns <- struct{}{}
			conn, first, err := begin(address, "GET /much HTTP/1.0\r\n\r\n")
			<-turns
			begun.Done()
			if err != nil {
				t.Errorf("connection %d: %v: %s", i, err, errs.String())
				return
			}
			defer conn.Close()
			begun.Wait()
			page, err := io.ReadAll(io.MultiReader(bytes.NewReader(first), conn))
			if _, text, _ := strings.Cut(string(page), "\r\n\r\n"); err != nil || text != much {
				t.Errorf("connection %d: %d bytes of %d, %v: %s", i, len(text), len(much), err, errs.String())
			}
		})
	}
	talking.Wait()
}

// TestPortForward: to a server at the pod's own loopback address; each half of a connection
// ends by itself, and many are open at once.
func TestPortForward(t *testing.T) {
	t.Parallel()
	d := sharedDaemon(t)
	p := d.standing(t, func(pod *v1.Pod) {
		pod.Spec.Containers[0] = shell("main", servers)
	})
	eventually(t, runLimit, "the pod's servers listen", func() bool {
		return strings.Count(p.inside("main", "netstat -ltn"), ":700") == 3
	}, nil)
	addresses, cmd, errs := p.forwarded(":7001", "0:7002", ":7004", ":7009")
	for _, address := range addresses {
		if !strings.HasPrefix(address, "127.0.0.1:") {
			t.Errorf("it listens at %s, want loopback alone", address)
		}
	}
	question := make([]byte, 5<<20)
	rand.NewChaCha8([32]byte{7}).Read(question)
	want := sha256.Sum256(question)
	answer, err := converse(addresses["7001"], question)
	if err != nil || !strings.HasPrefix(string(answer), hex.EncodeToString(want[:])) {
		t.Errorf("the answer is %q, %v, want %x", answer, err, want)
	}
	if page, err := converse(addresses["7004"], []byte("GET / HTTP/1.0\r\n\r\n")); err != nil || !strings.HasSuffix(string(page), "\r\n\r\npage\n") {
		t.Errorf("the page is %q, %v", page, err)
	}
	manyAtOnce(t, addresses["7004"], errs)
	if answer, err := converse(addresses["7009"], nil); err == nil && len(answer) > 0 {
		t.Errorf("a port at which nothing listens answers %q", answer)
	}
	eventually(t, runLimit, "it says that nothing listens", func() bool { return strings.Contains(errs.String(), "listens at its port 7009") }, errs.String)
	// The program that goes on has only said so.
	if answer, err := converse(addresses["7002"], []byte("still")); err != nil || string(answer) != "still" {
		t.Errorf("after that the answer is %q, %v", answer, err)
	}
	if err := cmd.Process.Signal(unix.SIGINT); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("interrupted, it ends with %v: %s", err, errs.String())
	}
}

// TestPortForwardEnds: a connection ends with its caller, in the pod as well, and the command
// with its pod.
func TestPortForwardEnds(t *testing.T) {
	t.Parallel()
	d := sharedDaemon(t)
	p := d.standing(t, func(pod *v1.Pod) {
		pod.Spec.Containers[0] = shell("main", "nc -ll -p 7003 -e sleep 100007 & "+untilStopped)
	})
	eventually(t, runLimit, "the server listens", func() bool { return strings.Contains(p.inside("main", "netstat -ltn"), ":7003") }, nil)
	addresses, cmd, _ := p.forwarded(":7003")
	conn, err := net.Dial("tcp", addresses["7003"])
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	// Both ends of it are in the pod's network.
	eventually(t, runLimit, "the connection is open", func() bool { return strings.Contains(p.inside("main", "netstat -tn"), "ESTABLISHED") }, nil)
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	eventually(t, runLimit, "the end of the init is closed", func() bool { return !strings.Contains(p.inside("main", "netstat -tn"), "ESTABLISHED") }, func() string { return p.inside("main", "netstat -tn") })
	addresses, cmd, errs := p.forwarded(":7003")
	p.delete(0)
	p.waitGone()
	eventually(t, runLimit, "port-forward learns that the pod is gone", func() bool {
		_, _ = converse(addresses["7003"], nil) // refused once it has ended
		return strings.Contains(errs.String(), "not on this node")
	}, errs.String)
	if err := cmd.Wait(); cmd.ProcessState == nil || cmd.ProcessState.ExitCode() != 1 || !strings.Contains(errs.String(), "not on this node") {
		t.Errorf("without its pod it ends with %v: %s", err, errs.String())
	}
}
