//go:build e2e

package e2e_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/intertwin-eu/interlink-docker-plugin/tests/kit"
	"golang.org/x/sys/unix"
)

// The crowd: connections of one peer that hold on to an address, of which each sends
// one of these and then nothing.
const crowd = 2000

// crowdLimit is below the 10 s after which a silent connection ends by itself; it is
// less than a second on a machine that has nothing else to do.
const crowdLimit = 8 * time.Second

var mutterings = []string{"", "P", "GET /healthz HTTP/1.1\r\nHost: localhost\r\n", "POST /create HTTP/1.1\r\nHost: localhost\r\nContent-Length: 67108864\r\n\r\n"}

// occupy opens the crowd's connections, which stay until the test ends.
func occupy(t *testing.T, address string) {
	t.Helper()
	dialer := &net.Dialer{Timeout: runLimit}
	for i := range crowd {
		conn, err := dialer.DialContext(t.Context(), "tcp", address)
		if err != nil {
			t.Fatalf("connection %d to %s: %v", i, address, err)
		}
		t.Cleanup(func() { conn.Close() })
		// It may have made place already.
		_, _ = io.WriteString(conn, mutterings[i%len(mutterings)])
	}
}

// answered asks over a connection of its own and returns how long that took.
func answered(t *testing.T, method, url string, body []byte) time.Duration {
	t.Helper()
	c := &client{&kit.Caller{Base: url, HTTP: &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}}}
	began := time.Now()
	code, text := c.must(t, method, "", body)
	took := time.Since(began)
	if code != http.StatusOK {
		t.Errorf("%s is answered with %d %s", url, code, text)
	}
	return took
}

// TestCrowd: 2,000 connections that say nothing, on each port, keep nobody out: not
// a create, and not those who ask whether docker-sd lives.
func TestCrowd(t *testing.T) {
	t.Parallel()
	d, address := openTCP(t, map[string]any{"AVAILABLEDINDS": 1, "AdminAddress": "127.0.0.1:0"})
	admin := d.adminAddress(t)
	before := d.descriptors(t)
	occupy(t, address)
	occupy(t, admin)
	p := newPod(shell("c", untilStopped))
	for what, took := range map[string]time.Duration{
		"/healthz":                      answered(t, http.MethodGet, "http://"+address+"/healthz", nil),
		"/healthz of the admin address": answered(t, http.MethodGet, "http://"+admin+"/healthz", nil),
		"/metrics":                      answered(t, http.MethodGet, "http://"+admin+"/metrics", nil),
		"a create":                      answered(t, http.MethodPost, "http://"+address+"/create", encode(t, newCreate(p))),
	} {
		t.Logf("%s took %s", what, took)
		if took > crowdLimit {
			t.Errorf("%s took %s", what, took)
		}
	}
	if now := d.descriptors(t); now > before+crowd*3/2 {
		t.Errorf("%d descriptors are in use for %d connections, %d before", now, 2*crowd, before)
	}
	answered(t, http.MethodPost, "http://"+address+"/delete", encode(t, p))
}

// TestCrowdWithoutDescriptors: the same where docker-sd may open few files more
// than it has open: the silent connections give up theirs.
func TestCrowdWithoutDescriptors(t *testing.T) {
	t.Parallel()
	d, address := openTCP(t, map[string]any{"AVAILABLEDINDS": 1, "AdminAddress": "127.0.0.1:0"})
	d.waitWarm(t, 1)
	few := uint64(d.descriptors(t) + 60)
	var was unix.Rlimit
	limit := func(to, was *unix.Rlimit) {
		t.Helper()
		if err := unix.Prlimit(d.PID(), unix.RLIMIT_NOFILE, to, was); err != nil {
			t.Fatal(err)
		}
	}
	limit(nil, &was)
	limit(&unix.Rlimit{Cur: few, Max: was.Max}, nil)
	var conns []net.Conn
	defer func() {
		for _, conn := range conns {
			conn.Close()
		}
	}()
	for i := range 200 {
		conn, err := net.DialTimeout("tcp", address, runLimit)
		if err != nil {
			t.Fatalf("connection %d: %v", i, err)
		}
		conns = append(conns, conn)
	}
	took := answered(t, http.MethodGet, "http://"+address+"/healthz", nil)
	t.Logf("/healthz took %s", took)
	used, err := d.cpuTime()
	if err != nil {
		t.Fatal(err)
	}
	time.Sleep(time.Second) // the measure: how much it spins in that time
	later, err := d.cpuTime()
	if err != nil {
		t.Fatal(err)
	}
	if spun := later - used; spun > 700*time.Millisecond {
		t.Errorf("docker-sd used %s of a CPU in a second without descriptors", spun)
	}
	cut := 0
	for _, conn := range conns {
		if err := conn.SetReadDeadline(time.Now().Add(time.Millisecond)); err != nil {
			t.Fatal(err)
		}
		if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
			cut++
		}
	}
	if cut < 100 {
		t.Errorf("%d of %d silent connections were closed, with %d descriptors", cut, len(conns), few)
	}
	limit(&was, nil)
	if n := strings.Count(d.log.String(), "a connection waits"); n > 20 {
		t.Errorf("the log has %d lines of it", n)
	}
}

// cpuTime is what the process has used of all CPUs.
func (d *daemon) cpuTime() (time.Duration, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", d.PID()))
	if err != nil {
		return 0, err
	}
	// The fields behind the name, from the third on: proc_pid_stat(5).
	fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
	var ticks int64
	for _, field := range fields[11:13] { // utime and stime
		n, err := strconv.ParseInt(field, 10, 64)
		if err != nil {
			return 0, err
		}
		ticks += n
	}
	return time.Duration(ticks) * (time.Second / 100), nil
}
