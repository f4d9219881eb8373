//go:build e2e

package e2e_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	v1 "k8s.io/api/core/v1"
)

func TestLogSelection(t *testing.T) {
	t.Parallel()
	d := sharedDaemon(t)
	// The pause keeps the two streams' writes apart in time.
	p := d.run(t, newPod(shell("c", "for i in 1 2 3 4 5; do echo out $i; usleep 300000; echo err $i >&2; usleep 300000; done")))
	p.waitPhase(v1.PodSucceeded)
	var all []string
	for i := range 5 {
		all = append(all, fmt.Sprintf("out %d\n", i+1), fmt.Sprintf("err %d\n", i+1))
	}
	whole := strings.Join(all, "")
	for _, c := range []struct {
		name string
		opts logOptions
		want string
	}{
		{"everything, both streams in order", logOptions{}, whole},
		{"tail", logOptions{Tail: 3}, strings.Join(all[7:], "")},
		{"tail of one", logOptions{Tail: 1}, all[9]},
		{"tail of all", logOptions{Tail: 10}, whole},
		{"tail of one more", logOptions{Tail: 11}, whole},
		{"tail of far more", logOptions{Tail: 1 << 30}, whole},
		{"first bytes", logOptions{Bytes: 8}, whole[:8]},
		{"one byte", logOptions{Bytes: 1}, whole[:1]},
		{"as many bytes as there are", logOptions{Bytes: len(whole)}, whole},
		{"more bytes than there are", logOptions{Bytes: len(whole) + 1}, whole},
		{"tail, then bytes", logOptions{Tail: 2, Bytes: 7}, (all[8] + all[9])[:7]},
		{"since seconds", logOptions{SinceSeconds: 600}, whole},
		{"since far too many seconds", logOptions{SinceSeconds: 1 << 60}, whole},
		{"since a time long ago", logOptions{SinceTime: time.Now().Add(-time.Hour)}, whole},
		{"since a time to come", logOptions{SinceTime: time.Now().Add(time.Hour)}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			p.t = t
			if got := p.logs("c", c.opts); got != c.want {
				t.Errorf("log = %q, want %q", got, c.want)
			}
		})
	}
	p.t = t
}

// TestLogTimes: since selects before tail does, whether or not timestamps are
// asked for (protocol 3.1).
func TestLogTimes(t *testing.T) {
	t.Parallel()
	p := sharedDaemon(t).run(t, newPod(shell("c", "echo old; sleep 2; echo new; echo newer")))
	p.waitPhase(v1.PodSucceeded)
	stamped := strings.SplitAfter(p.logs("c", logOptions{Timestamps: true}), "\n")
	if len(stamped) != 4 {
		t.Fatalf("lines = %q", stamped)
	}
	var times []time.Time
	for i, text := range []string{"old\n", "new\n", "newer\n"} {
		stamp, rest, _ := strings.Cut(stamped[i], " ")
		at, err := time.Parse(time.RFC3339Nano, stamp)
		if err != nil || rest != text {
			t.Fatalf("line %q: %v", stamped[i], err)
		}
		times = append(times, at)
	}
	between := times[1].Add(-time.Second)
	for _, c := range []struct {
		name string
		opts logOptions
		want string
	}{
		{"since", logOptions{SinceTime: between}, "new\nnewer\n"},
		{"since, then tail", logOptions{SinceTime: between, Tail: 3}, "new\nnewer\n"},
		{"since, tail, bytes", logOptions{SinceTime: between, Tail: 1, Bytes: 3}, "new"},
		{"since with timestamps", logOptions{SinceTime: between, Timestamps: true}, stamped[1] + stamped[2]},
		{"since the very line", logOptions{SinceTime: times[2]}, "newer\n"},
	} {
		if got := p.logs("c", c.opts); got != c.want {
			t.Errorf("%s: log = %q, want %q", c.name, got, c.want)
		}
	}
}

func TestLogRefusals(t *testing.T) {
	t.Parallel()
	d := sharedDaemon(t)
	p := d.run(t, newPod(shell("a", "echo a"), shell("b", "echo b")))
	p.waitPhase(v1.PodSucceeded)
	stranger := newPod(shell("a", "true"))
	elsewhere := p.pod.DeepCopy()
	elsewhere.Namespace = "another"
	bad := p.pod.DeepCopy()
	bad.UID = "../../etc/passwd"
	for _, c := range []struct {
		name string
		body []byte
		want int
	}{
		{"unknown container", logBody(t, p.pod, "c", logOptions{}), 404},
		{"unknown pod", logBody(t, stranger, "a", logOptions{}), 404},
		{"pod of another namespace", logBody(t, elsewhere, "a", logOptions{}), 404},
		{"no container named, two there", logBody(t, p.pod, "", logOptions{}), 400},
		{"uid that is a path", logBody(t, bad, "a", logOptions{}), 400},
		{"container that is a path", logBody(t, p.pod, "../a", logOptions{}), 400},
		{"negative tail", logBody(t, p.pod, "a", logOptions{Tail: -1}), 400},
		{"negative bytes", logBody(t, p.pod, "a", logOptions{Bytes: -1}), 400},
		{"both kinds of since", logBody(t, p.pod, "a", logOptions{SinceSeconds: 1, SinceTime: time.Now()}), 400},
		{"no body", nil, 400},
		{"not JSON", []byte("{"), 400},
		{"not an object", []byte("[]"), 400},
	} {
		if code, text := d.must(t, http.MethodGet, "/getLogs", c.body); code != c.want || text == "" {
			t.Errorf("%s: answered with %d %q, want %d and a reason", c.name, code, text, c.want)
		}
	}
}

// TestFollow: the headers come before the container writes, each line comes as
// it is written, and the answer ends with the container (protocol 3.3).
func TestFollow(t *testing.T) {
	t.Parallel()
	d := sharedDaemon(t)
	pod := withVolume(newPod(shell("c", "for f in a b; do until test -e /vol/$f; do usleep 20000; done; echo $f; done")), hostDir(d.hostPath()+"/follow"), "/vol")
	p := d.run(t, pod)
	body := p.follow(t.Context(), "c")
	defer body.Close()
	lines := bufio.NewReader(body)
	p.waitPhase(v1.PodRunning)
	for _, name := range []string{"a", "b"} {
		touch(t, d.hostPath()+"/follow/"+name)
		if line, err := lines.ReadString('\n'); err != nil || line != name+"\n" {
			t.Fatalf("line = %q, %v, want %q", line, err, name)
		}
	}
	if rest, err := io.ReadAll(lines); err != nil || len(rest) > 0 {
		t.Errorf("after the container's end: %q, %v", rest, err)
	}
	p.waitPhase(v1.PodSucceeded)
	again := p.follow(t.Context(), "c")
	defer again.Close()
	if text, err := io.ReadAll(again); err != nil || string(text) != "a\nb\n" {
		t.Errorf("following a container that has ended: %q, %v", text, err)
	}
}

func TestFollowGoesOnOverRestarts(t *testing.T) {
	t.Parallel()
	pod := newPod(shell("c", "echo run; exit 1"))
	pod.Spec.RestartPolicy = v1.RestartPolicyAlways
	p := sharedDaemon(t).run(t, pod)
	body := p.follow(t.Context(), "c")
	defer body.Close()
	lines := bufio.NewReader(body)
	for i := range 2 {
		if line, err := lines.ReadString('\n'); err != nil || line != "run\n" {
			t.Fatalf("line %d = %q, %v", i, line, err)
		}
	}
}

// TestFollowEndsWithDelete, whether the container writes, is quiet, or waits
// for its image.
func TestFollowEndsWithDelete(t *testing.T) {
	t.Parallel()
	d := sharedDaemon(t)
	waits := shell("c", "true")
	waits.Image = "127.0.0.1:1/no/such:image"
	for name, c := range map[string]v1.Container{"quiet": shell("c", untilStopped), "not started": waits} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := d.run(t, newPod(c))
			body := p.follow(t.Context(), "c")
			defer body.Close()
			if name == "quiet" {
				p.waitPhase(v1.PodRunning)
			}
			ended := make(chan error, 1)
			go func() {
				text, err := io.ReadAll(body)
				if err == nil && len(text) > 0 {
					err = fmt.Errorf("the log has %q", text)
				}
				ended <- err
			}()
			p.delete(5)
			select {
			case err := <-ended:
				if err != nil {
					t.Errorf("the followed log broke: %v", err)
				}
			case <-time.After(runLimit):
				t.Error("the followed log did not end with the pod")
			}
		})
	}
}

// TestFollowersThatLeave: each follower that disconnects frees its place, here
// the only one.
func TestFollowersThatLeave(t *testing.T) {
	t.Parallel()
	d := ownDaemon(t, 1, map[string]any{"MaxLogFollowers": 1})
	p := d.run(t, newPod(shell("c", untilStopped)))
	p.waitPhase(v1.PodRunning)
	for range 5 {
		ctx, leave := context.WithCancel(t.Context())
		var body io.ReadCloser
		eventually(t, runLimit, "a follower's place is free again", func() bool {
			response, err := d.Send(ctx, http.MethodGet, "/getLogs", logBody(t, p.pod, "c", logOptions{Follow: true}), apiHeaders())
			if err != nil {
				t.Fatal(err)
			}
			body = response.Body
			if response.StatusCode == http.StatusOK {
				return true
			}
			body.Close()
			if response.StatusCode != http.StatusTooManyRequests {
				t.Fatalf("follow was answered with %d", response.StatusCode)
			}
			return false
		}, nil)
		leave()
		body.Close()
	}
}
