//go:build e2e

package e2e_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	v1 "k8s.io/api/core/v1"
)

// kubeLogsUntilDelete: logs of ended and restarted containers, the previous one
// too, stay until the delete.
func kubeLogsUntilDelete(t *testing.T, d kubeDaemon) {
	twice := shell("twice", "test -e /vol/been && { echo second; exit 0; }; touch /vol/been; echo first; exit 1")
	twice.RestartPolicy = ptr(v1.ContainerRestartPolicyOnFailure)
	p := d.run(t, withVolume(withInits(newPod(twice, shell("once", "echo once; usleep 500000; echo error >&2")), shell("init", "echo init")), emptyDir(), "/vol"))
	p.waitPhase(v1.PodSucceeded)
	p.waitRetired()
	for name, want := range map[string]string{"twice": "second\n", "once": "once\nerror\n", "init": "init\n"} {
		if got := p.logs(name, logOptions{}); got != want {
			t.Errorf("log of %s = %q, want %q", name, got, want)
		}
	}
	if got := p.logs("twice", logOptions{Previous: true}); got != "first\n" {
		t.Errorf("previous log = %q", got)
	}
	p.delete(0)
	p.waitGone()
	eventually(t, runLimit, "no file has the pod's uid in its name but its tombstone", func() bool {
		return len(d.filesOf(t, string(p.pod.UID))) == 0
	}, func() string { return strings.Join(d.filesOf(t, string(p.pod.UID)), ", ") })
	for _, name := range []string{"twice", "once", "init"} {
		var code int
		eventually(t, runLimit, "the log of "+name+" is not found any more", func() bool { // the files go a moment before
			code, _ = d.must(t, http.MethodGet, "/getLogs", logBody(t, p.pod, name, logOptions{}))
			return code == http.StatusNotFound
		}, func() string { return fmt.Sprintf("it is answered with %d", code) })
	}
}

// filesOf lists what a pod has on disk beside its tombstone.
func (d *daemon) filesOf(t *testing.T, uid string) []string {
	t.Helper()
	var out []string
	err := filepath.WalkDir(d.data(), func(path string, _ fs.DirEntry, err error) error {
		if err == nil && strings.Contains(filepath.Base(path), uid) && filepath.Base(filepath.Dir(path)) != "tombstones" {
			out = append(out, path)
		}
		return nil // other pods come and go meanwhile
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func kubeManyLines(t *testing.T, d kubeDaemon) {
	const lines = 100_000
	p := d.run(t, newPod(shell("c", fmt.Sprintf("seq 1 %d; usleep 1100000; echo end", lines))))
	p.waitPhase(v1.PodSucceeded)
	var want strings.Builder
	for i := range lines {
		want.WriteString(strconv.Itoa(i+1) + "\n")
	}
	want.WriteString("end\n")
	if got := p.logs("c", logOptions{}); got != want.String() {
		t.Errorf("the log has %d bytes and %d lines, want %d and %d", len(got), strings.Count(got, "\n"), want.Len(), lines+1)
	}
	if got := p.logs("c", logOptions{Tail: 3}); got != "99999\n100000\nend\n" {
		t.Errorf("tail of 3 = %q", got)
	}
	if got := p.logs("c", logOptions{Tail: lines, Bytes: 9}); got != "2\n3\n4\n5\n6" {
		t.Errorf("first bytes of the tail = %q", got)
	}
	last := p.logs("c", logOptions{Tail: 1, Timestamps: true})
	stamp, _, _ := strings.Cut(last, " ")
	at, err := time.Parse(time.RFC3339Nano, stamp)
	if err != nil {
		t.Fatalf("line %q: %v", last, err)
	}
	// Since comes before tail: what is left of 100000 lines is one.
	if got := p.logs("c", logOptions{SinceTime: at.Add(-time.Microsecond), Tail: 100}); got != "end\n" {
		t.Errorf("since and tail = %.100q", got)
	}
}

// kubePartialLines: a line is what ends with a newline, however long it is,
// while the container runs and after its end.
func kubePartialLines(t *testing.T, d kubeDaemon) {
	dir := d.hostFolder(t, "partial")
	long := strings.Repeat("x", 50_000)
	p := d.run(t, withVolume(newPod(shell("c", "echo one; head -c 50000 /dev/zero | tr '\\0' x; echo; echo three; touch /vol/written; "+
		"until test -e /vol/go; do usleep 20000; done; printf 'no end'")), hostDir(dir), "/vol"))
	waitFile(t, filepath.Join(dir, "written"))
	eventually(t, runLimit, "the last line is in the log", func() bool {
		return strings.HasSuffix(p.logs("c", logOptions{}), "three\n")
	}, nil)
	p.checkLongLine("while it runs", "one\n", long, "\nthree\n")
	touch(t, filepath.Join(dir, "go"))
	p.waitPhase(v1.PodSucceeded)
	p.waitRetired()
	p.checkLongLine("after its end", "one\n", long, "\nthree\nno end")
}

// kubeLogBytes: what a container writes arrives byte by byte, UTF-8 or not, while it runs
// and after its end.
func kubeLogBytes(t *testing.T, d kubeDaemon) {
	var want []byte
	for i := range 256 {
		want = append(want, byte(i))
	}
	// A letter of two bytes across the border of the engine's pieces.
	want = append(append(append(want, '\n'), bytes.Repeat([]byte("a"), 16<<10-1)...), "\u00e4\n\xff end"...)
	dir := d.hostFolder(t, "bytes")
	if err := os.WriteFile(filepath.Join(dir, "all"), want, 0o644); err != nil {
		t.Fatal(err)
	}
	p := d.run(t, withVolume(newPod(shell("c", "cat /vol/all; echo; until test -e /vol/go; do usleep 20000; done")), hostDir(dir), "/vol"))
	check := func(when string) {
		if got := p.logs("c", logOptions{}); got != string(want)+"\n" {
			t.Errorf("%s: %d bytes, want %d: %.300q", when, len(got), len(want)+1, got)
		}
	}
	eventually(t, runLimit, "the last line is in the log", func() bool { return strings.HasSuffix(p.logs("c", logOptions{}), "end\n") }, nil)
	check("while it runs")
	touch(t, filepath.Join(dir, "go"))
	p.waitPhase(v1.PodSucceeded)
	p.waitRetired()
	check("after its end")
}

// kubeTerminalLines: with a terminal a long line is one line, too, with one stamp.
func kubeTerminalLines(t *testing.T, d kubeDaemon) {
	dir := d.hostFolder(t, "terminal")
	long := strings.Repeat("x", 50_000)
	c := shell("c", "echo one; head -c 50000 /dev/zero | tr '\\0' x; echo; echo three; until test -e /vol/go; do usleep 20000; done; printf 'no end'")
	c.TTY = true
	p := d.run(t, withVolume(newPod(c), hostDir(dir), "/vol"))
	eventually(t, runLimit, "the last line is in the log", func() bool { return strings.HasSuffix(p.logs("c", logOptions{}), "three\r\n") }, nil)
	p.checkLongLine("while it runs", "one\r\n", long, "\r\nthree\r\n")
	touch(t, filepath.Join(dir, "go"))
	p.waitPhase(v1.PodSucceeded)
	p.waitRetired()
	p.checkLongLine("after its end", "one\r\n", long, "\r\nthree\r\nno end")
}

// TestFollowAcrossRotations: a reader that keeps up misses nothing when the engine begins a
// log file anew, with one file too.
func TestFollowAcrossRotations(t *testing.T) {
	t.Parallel()
	const batches, lines, line = 40, 1000, 100
	for _, files := range []int{1, 2} {
		t.Run(fmt.Sprintf("%d files", files), func(t *testing.T) {
			t.Parallel()
			d := ownDaemon(t, 1, map[string]any{"ContainerLogMaxSize": "1Mi", "ContainerLogMaxFiles": files})
			dir := filepath.Join(d.hostPath(), "rotations")
			script := fmt.Sprintf("for b in $(seq %d); do yes $b-$(head -c %d /dev/zero | tr '\\0' y) | cut -c1-%d | head -n %d; until test -e /vol/$b; do usleep 20000; done; done",
				batches, line, line-1, lines)
			p := d.run(t, withVolume(newPod(shell("c", script)), hostDir(dir), "/vol"))
			body := p.follow(t.Context(), "c")
			defer body.Close()
			read := bufio.NewReader(body)
			for b := 1; b <= batches; b++ {
				for n := range lines {
					if text, err := read.ReadString('\n'); err != nil || !strings.HasPrefix(text, fmt.Sprintf("%d-y", b)) || len(text) != line {
						t.Fatalf("line %d of batch %d: %q, %v", n, b, text, err)
					}
				}
				touch(t, filepath.Join(dir, strconv.Itoa(b)))
			}
			if rest, err := io.ReadAll(read); err != nil || len(rest) > 0 {
				t.Errorf("after the end: %.100q, %v", rest, err)
			}
		})
	}
}

func (p *podRun) checkLongLine(when, before, long, after string) {
	p.t.Helper()
	if got := p.logs("c", logOptions{}); got != before+long+after {
		p.t.Errorf("%s: log has %d bytes and ends with %q, want %d", when, len(got), got[max(len(got)-30, 0):], len(before+long+after))
	}
	lines := 1 + strings.Count(after, "\n")
	if strings.HasSuffix(after, "\n") {
		lines--
	}
	if got := p.logs("c", logOptions{Tail: lines}); got != long+after {
		p.t.Errorf("%s: tail of %d lines has %d bytes, want %d", when, lines, len(got), len(long+after))
	}
	stamped := strings.Split(p.logs("c", logOptions{Timestamps: true}), "\n")
	if len(stamped) < 3 {
		p.t.Fatalf("%s: with timestamps the log has %d lines", when, len(stamped))
	}
	if _, text, _ := strings.Cut(stamped[1], " "); strings.TrimSuffix(text, "\r") != long {
		p.t.Errorf("%s: with timestamps the long line has %d bytes, want %d: a stamp belongs to a line's begin only", when, len(text), len(long))
	}
}

// kubeLargeLog: memory does not grow with the log that is read, while the
// container runs and after its end. One of its lines is as large as the rest.
func kubeLargeLog(t *testing.T, d kubeDaemon) {
	const line, count = 1000, 48_000
	dir := d.hostFolder(t, "large")
	p := d.run(t, withVolume(newPod(shell("c", fmt.Sprintf("yes $(head -c %d /dev/zero | tr '\\0' y) | head -n %d; head -c %d /dev/zero | tr '\\0' z; echo; "+
		"touch /vol/written; until test -e /vol/go; do usleep 20000; done", line-1, count, line*count))), hostDir(dir), "/vol"))
	waitFile(t, filepath.Join(dir, "written"))
	before := d.residentBytes(t)
	ctx, cancel := context.WithCancel(t.Context())
	var watch sync.WaitGroup
	peak := before
	watch.Go(func() {
		tick := time.NewTicker(tickPeriod)
		defer tick.Stop()
		for ctx.Err() == nil {
			<-tick.C
			peak = max(peak, d.residentBytes(t))
		}
	})
	running := p.countLog()
	touch(t, filepath.Join(dir, "go"))
	p.waitPhase(v1.PodSucceeded)
	// Once more from wherever the log of an ended pod is kept.
	p.waitRetired()
	ended := p.countLog()
	cancel()
	watch.Wait()
	if want := int64(2*line*count + 1); running != want || ended != want {
		t.Errorf("read %d bytes while it ran and %d after its end, want %d", running, ended, want)
	}
	t.Logf("%d MiB of log read twice; resident memory was %d MiB and at most %d MiB", ended>>20, before>>20, peak>>20)
	// Other pods' tests use the same daemon, hence the room.
	if peak-before > 40<<20 {
		t.Errorf("the daemon grew by %d MiB while it sent %d MiB of log", (peak-before)>>20, ended>>20)
	}
}

// countLog reads a log without keeping it.
func (p *podRun) countLog() int64 {
	p.t.Helper()
	response, err := p.d.Send(p.t.Context(), http.MethodGet, "/getLogs", logBody(p.t, p.pod, "c", logOptions{}), apiHeaders())
	if err != nil {
		p.t.Fatal(err)
	}
	defer response.Body.Close()
	n, err := io.Copy(io.Discard, response.Body)
	if err != nil {
		p.t.Errorf("the log ended after %d bytes: %v", n, err)
	}
	return n
}

// waitRetired waits until an ended pod holds no sandbox any more.
func (p *podRun) waitRetired() {
	p.t.Helper()
	eventually(p.t, runLimit, "the ended pod's sandbox is gone", func() bool {
		found, err := p.find(p.t.Context())
		if err != nil {
			p.t.Fatal(err)
		}
		return len(found) == 0
	}, nil)
}

// residentBytes is the daemon's memory.
func (d *daemon) residentBytes(t *testing.T) int64 {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", d.PID()))
	if err != nil {
		t.Error(err)
		return 0
	}
	_, rest, _ := bytes.Cut(text, []byte("VmRSS:"))
	n := int64(0)
	if _, err := fmt.Sscanf(string(rest), "%d kB", &n); err != nil {
		t.Errorf("VmRSS: %v", err)
	}
	return n << 10
}
