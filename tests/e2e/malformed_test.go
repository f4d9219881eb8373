//go:build e2e

package e2e_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// malformedRequests is how many are sent, in malformedLanes at a time.
const (
	malformedRequests = 10_000
	malformedLanes    = 8
)

// malformer makes requests that no client would send, always the same ones.
type malformer struct {
	*rand.Rand
	bodies [][]byte
}

func newMalformer(t *testing.T) *malformer {
	t.Helper()
	names, err := filepath.Glob(recordings + "/*.json")
	if err != nil || len(names) == 0 {
		t.Fatal("no recordings", err)
	}
	m := &malformer{Rand: rand.New(rand.NewPCG(1, 2))}
	for _, name := range names {
		file, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		var r recording
		if err := json.Unmarshal(file, &r); err != nil {
			t.Fatal(err)
		}
		var compact bytes.Buffer
		if err := json.Compact(&compact, r.Body); err != nil {
			t.Fatal(err)
		}
		m.bodies = append(m.bodies, compact.Bytes())
	}
	return m
}

func pick[T any](m *malformer, list []T) T { return list[m.IntN(len(list))] }

// scalars are the values of a JSON text, and the ends of its names with them.
var scalars = regexp.MustCompile(`"(?:[^"\\]|\\.)*"|-?\d[\d.eE+-]*|true|false|null`)

// value is one of another type than the field wants, or one that is too much.
func (m *malformer) value() string {
	return pick(m, []string{"null", "true", "-1", "0.5", "1e400", "99999999999999999999999", `""`, `"x"`, `"../../etc/passwd"`, `"a\u0000b"`,
		`"\ud800"`, "\"\xff\xfe\"", "[]", "{}", `[null]`, `[[[]]]`, `{"a":{"a":{}}}`, `"1e-99999999"`, strings.Repeat("9", 3000), `"` + strings.Repeat("y", 3000) + `"`,
		strings.Repeat("[", 12000), strings.Repeat(`{"a":`, 11000), "", ",", "NaN", "'x'"})
}

// body is a recorded one with something wrong, and maybe not JSON any more.
func (m *malformer) body() []byte {
	body := bytes.Clone(pick(m, m.bodies))
	switch m.IntN(6) {
	case 0: // cut off
		return body[:m.IntN(len(body)+1)]
	case 1: // some bytes changed
		for range 1 + m.IntN(8) {
			if len(body) > 0 {
				body[m.IntN(len(body))] = byte(m.IntN(256))
			}
		}
		return body
	case 2: // noise
		noise := make([]byte, m.IntN(600))
		for i := range noise {
			noise[i] = byte(m.IntN(256))
		}
		return noise
	case 3: // two of them
		return append(body, pick(m, m.bodies)...)
	default: // a name or a value replaced
		places := scalars.FindAllIndex(body, -1)
		if len(places) == 0 {
			return []byte(m.value())
		}
		at := pick(m, places)
		return append(append(bytes.Clone(body[:at[0]]), m.value()...), body[at[1]:]...)
	}
}

// request is the bytes of one; whole says that the server has no reason to wait
// for more.
func (m *malformer) request() (text []byte, whole bool) {
	route := pick(m, []string{"/create", "/status", "/delete", "/getLogs"})
	method := pick(m, []string{"POST", "GET", "DELETE", "PUT"})
	body := m.body()
	head := fmt.Sprintf("%s %s HTTP/1.1\r\nHost: unix\r\nConnection: close\r\n", method, route)
	switch m.IntN(16) {
	case 0: // a length that is none
		return fmt.Appendf(nil, "%sContent-Length: %s\r\n\r\n%s", head, pick(m, []string{"-1", "x", "1e3", "99999999999999999999", "0x10", "", "+5"}), body), false
	case 1: // more announced than sent
		return fmt.Appendf(nil, "%sContent-Length: %d\r\n\r\n%s", head, len(body)+1+m.IntN(1000), body), false
	case 2: // two lengths
		return fmt.Appendf(nil, "%sContent-Length: %d\r\nContent-Length: %d\r\n\r\n%s", head, len(body), len(body)+1, body), false
	case 3: // broken chunks
		chunk := pick(m, []string{"zz\r\n", "-1\r\n", "ffffffffffffffff\r\n", "5\r\nab\r\n", "0\r\n", "\r\n\r\n", "3;x=\"\r\nabc\r\n0\r\n\r\n"})
		return fmt.Appendf(nil, "%sTransfer-Encoding: chunked\r\n\r\n%s%s", head, chunk, body), false
	case 4: // a broken header
		return fmt.Appendf(nil, "%s%s\r\n\r\n%s", head, pick(m, []string{"no colon", ": no name", "a b: c", "X: \x00", " folded: x", "Expect: nothing", "Host: twice"}), body), false
	case 5: // a broken first line
		return fmt.Appendf(nil, "%s\r\nHost: unix\r\n\r\n%s", pick(m, []string{"", "GET", "GET /status", "GET  /status HTTP/1.1", "GET /status HTTP/x.y", "\x16\x03\x01\x02", "PRI * HTTP/2.0",
			"GET http://[ HTTP/1.1", "GET /%zz HTTP/1.1", "GET /../../etc HTTP/1.1", "CONNECT a:1 HTTP/1.1", strings.Repeat("A", 9000) + " / HTTP/1.1"}), body), false
	case 6: // a large header
		return fmt.Appendf(nil, "%sX: %s\r\n\r\n", head, strings.Repeat("h", 80<<10)), false
	case 7: // chunks that are right, around a body that is not
		return fmt.Appendf(nil, "%sTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n", head, max(len(body), 1), append(body, make([]byte, max(1-len(body), 0))...)), true
	}
	return fmt.Appendf(nil, "%sContent-Length: %d\r\nInterLink-Http-Session: %q\r\n\r\n%s", head, len(body), "x#1", body), true
}

// TestMalformedRequests sends 10,000 of them to a daemon that takes no pods: no
// answer blames the daemon, and it has nothing more afterwards than before.
func TestMalformedRequests(t *testing.T) {
	t.Parallel()
	d := ownDaemon(t, 1, map[string]any{"MaxPods": 0, "MaxBodyBytes": 256 << 10})
	d.waitWarm(t, 1)
	goroutinesBefore := d.goroutines(t)
	d.waitWarm(t, 1)
	filesBefore, fdsBefore := d.ownFiles(t), d.descriptors(t)

	requests := make(chan int)
	var mu sync.Mutex
	codes := map[string]int{}
	m := newMalformer(t)
	var lanes sync.WaitGroup
	for range malformedLanes {
		lanes.Go(func() {
			for range requests {
				mu.Lock()
				text, whole := m.request()
				mu.Unlock()
				code, err := d.raw(text, whole)
				mu.Lock()
				codes[code]++
				mu.Unlock()
				if n, _ := strconv.Atoi(code); err != nil || n >= 500 && n != http.StatusServiceUnavailable {
					t.Errorf("%.600q is answered with %s, %v", text, code, err)
				}
			}
		})
	}
	for i := range malformedRequests {
		requests <- i
	}
	close(requests)
	lanes.Wait()
	t.Logf("answers: %v", codes)
	if codes["400"] < malformedRequests/2 {
		t.Errorf("only %d requests were refused with 400: %v", codes["400"], codes)
	}
	// What HTTP itself wants answered with 5xx (RFC 9110), before any route.
	for text, want := range map[string]string{
		"GET /status HTTP/9.9\r\nHost: unix\r\n\r\n":                            "505",
		"GET /status HTTP/1.1\r\nHost: unix\r\nTransfer-Encoding: gzip\r\n\r\n": "501",
	} {
		if code, err := d.raw([]byte(text), false); code != want || err != nil {
			t.Errorf("%q is answered with %s, %v, want %s", text, code, err, want)
		}
	}
	if code, text := d.must(t, http.MethodGet, "/status", []byte("[]")); code != http.StatusOK {
		t.Errorf("a ping afterwards is answered with %d %s", code, text)
	}
	if diff := cmp.Diff(filesBefore, d.ownFiles(t)); diff != "" {
		t.Errorf("files (-before +after):\n%s", diff)
	}
	eventually(t, runLimit, "no more descriptors than before", func() bool {
		d.Close()
		return d.descriptors(t) <= fdsBefore+idleConnections
	}, func() string { return fmt.Sprintf("%d before, %d now", fdsBefore, d.descriptors(t)) })
	for where, n := range d.goroutines(t) {
		if n > goroutinesBefore[where] {
			t.Errorf("%d goroutines of %s, %d before", n, where, goroutinesBefore[where])
		}
	}
}

// raw sends bytes over a connection of their own and returns the code of the
// answer, "none" if there is none.
func (d *daemon) raw(text []byte, whole bool) (code string, err error) {
	conn, err := net.DialTimeout("unix", d.socket, runLimit)
	if err != nil {
		return "none", err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(runLimit)); err != nil {
		return "none", err
	}
	// The server may answer and close before it has read all.
	_, _ = conn.Write(text)
	if !whole {
		_ = conn.(*net.UnixConn).CloseWrite()
	}
	line, err := bufio.NewReader(conn).ReadString('\n')
	if err != nil {
		if netErr, ok := errors.AsType[net.Error](err); ok && netErr.Timeout() {
			return "none", fmt.Errorf("no answer in %s: %w", runLimit, err)
		}
		return "none", nil // cut off, which is an answer to bytes that are no request
	}
	if words := strings.Fields(line); len(words) > 1 && strings.HasPrefix(words[0], "HTTP/1.") {
		return words[1], nil
	}
	return "none", fmt.Errorf("the answer begins with %q", line)
}
