//go:build e2e

package e2e_test

import (
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	v1 "k8s.io/api/core/v1"
)

// TestEngineHangs: an engine that accepts every call and answers none holds up
// nobody who does not need it, and all goes on when it answers again.
func TestEngineHangs(t *testing.T) {
	t.Parallel()
	d, f := behindFlaky(t, 1, nil)
	d.waitWarm(t, 1)
	living := d.run(t, newPod(shell("c", "echo before; "+untilStopped)))
	living.waitRunning()
	leaving := d.run(t, newPod(shell("c", untilStopped)))
	leaving.waitRunning()
	d.waitWarmBeside(t, 1)

	f.hang()
	var more []*podRun
	for range 3 { // one finds a warm sandbox, the others have to wait
		quickly(t, "create", func() { more = append(more, d.run(t, newPod(shell("c", "echo ran")))) })
	}
	quickly(t, "delete", func() { leaving.delete(0) })
	began, before := time.Now(), d.goroutineCount(t)
	for time.Since(began) < 5*time.Second {
		quickly(t, "ping", func() {
			if code, text := d.must(t, http.MethodGet, "/status", []byte("[]")); code != http.StatusOK {
				t.Fatalf("ping was answered with %d %s", code, text)
			}
		})
		quickly(t, "status", func() {
			if s := living.status(); s.Container("c").State.Running == nil {
				t.Fatalf("the pod is %+v", s)
			}
			for _, p := range more {
				p.status()
			}
		})
		quickly(t, "logs", func() {
			living.waitLog("c", "before\n")
		})
		<-time.After(100 * time.Millisecond)
	}
	if now := d.goroutineCount(t); now > before+10 {
		t.Errorf("%d goroutines after five seconds, at first there were %d", now, before)
	}
	if n := countLines(d.log, "trying again"); n > 20 {
		t.Errorf("the log has %d lines on tries:\n%s", n, d.log.About("trying again"))
	}

	f.heal()
	for _, p := range more {
		if got := p.output(); got != "ran\n" {
			t.Errorf("log = %q", got)
		}
	}
	leaving.waitGone()
	if got := living.status().Container("c"); got.State.Running == nil || got.RestartCount != 0 {
		t.Errorf("the pod that ran is %+v", got)
	}
}

var goroutineGauge = regexp.MustCompile(`(?m)^go_goroutines (\d+)$`)

func (d *daemon) goroutineCount(t *testing.T) int {
	t.Helper()
	found := goroutineGauge.FindStringSubmatch(d.metrics(t))
	if found == nil {
		t.Fatal("the metrics do not say how many goroutines there are")
	}
	n, err := strconv.Atoi(found[1])
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// TestStopWhileEngineHangs: an operator does not wait for an engine either.
func TestStopWhileEngineHangs(t *testing.T) {
	t.Parallel()
	d, f := behindFlaky(t, 0, nil)
	living := d.run(t, newPod(shell("c", untilStopped)))
	before := living.waitRunning().Container("c")
	f.hang()
	starting := d.run(t, newPod(shell("c", "echo ran")))
	starting.waitFor("the pod waits", func(s podStatus) bool { return s.Container("c").State.Waiting != nil })
	if err := d.stop(); err != nil { // within a minute
		t.Fatal(err)
	}
	f.heal()
	if err := d.start(); err != nil {
		t.Fatal(err)
	}
	d.waitReady(t)
	if got := living.waitRunning().Container("c"); got.ContainerID != before.ContainerID {
		t.Errorf("another container: %+v, before it was %+v", got, before)
	}
	if got := starting.output(); got != "ran\n" {
		t.Errorf("log = %q", got)
	}
}

// TestEngineBreaksOff: every connection is cut, again and again, and nobody is
// let in for a while. Pods go on, what ended meanwhile is found out, and the log
// tells of it without a line for every try.
func TestEngineBreaksOff(t *testing.T) {
	t.Parallel()
	d, f := behindFlaky(t, 1, nil)
	living := d.run(t, newPod(shell("c", "echo before; "+untilStopped)))
	always := newPod(shell("c", untilStopped))
	always.Spec.RestartPolicy = v1.RestartPolicyAlways
	victim := d.run(t, always)
	before := living.waitRunning().Container("c")
	victim.waitRunning()
	d.waitWarmBeside(t, 1)
	for range 5 {
		f.cut()
		<-time.After(200 * time.Millisecond)
		living.waitRunning()
	}
	f.reset()
	if err := suite.engine.kill(t.Context(), victim.sandbox().ID); err != nil {
		t.Fatal(err)
	}
	var created *podRun
	quickly(t, "create", func() { created = d.run(t, newPod(shell("c", "echo ran"))) })
	for began := time.Now(); time.Since(began) < 4*time.Second; <-time.After(100 * time.Millisecond) {
		quickly(t, "status", func() { living.status(); victim.status() })
	}
	f.heal()
	again := victim.waitFor("the pod whose sandbox was killed runs again", func(s podStatus) bool {
		c := s.Container("c")
		return c.State.Running != nil && c.LastTerminationState.Terminated != nil
	}).Container("c")
	if end := again.LastTerminationState.Terminated; !strings.Contains(end.Message, "sandbox") || end.ExitCode == 0 {
		t.Errorf("it ended before with %+v", end)
	}
	if got := created.output(); got != "ran\n" {
		t.Errorf("log = %q", got)
	}
	if got := living.status().Container("c"); got.ContainerID != before.ContainerID || got.RestartCount != 0 {
		t.Errorf("another container: %+v, before it was %+v", got, before)
	}
	if got := living.logs("c", logOptions{}); got != "before\n" {
		t.Errorf("log = %q", got)
	}
	for _, loop := range []string{"image events broke off", "no sandbox yet", "does not come back", "could not be made"} {
		if n := countLines(d.log, loop); n > 8 {
			t.Errorf("%d lines on one outage:\n%s", n, d.log.About(loop))
		}
	}
}

// TestImageArrivesUnseen: one that comes while docker-sd cannot hear of it is in
// the warm sandboxes once it can.
func TestImageArrivesUnseen(t *testing.T) {
	t.Parallel()
	d, f := behindFlaky(t, 1, nil)
	d.waitWarmBeside(t, 1)
	f.reset()
	image, want := lateImage(t)
	before := d.warm(t)
	f.heal()
	d.waitRenewed(t, 1, before)
	d.says(t, 1, image, want)
}

// TestSlowEngine: a pod takes longer and is otherwise the same.
func TestSlowEngine(t *testing.T) {
	t.Parallel()
	d, f := behindFlaky(t, 0, nil)
	f.slow(500 * time.Millisecond)
	var p *podRun
	quickly(t, "create", func() { p = d.run(t, newPod(shell("c", "echo ran"))) })
	quickly(t, "status", func() { p.status() })
	if got := p.output(); got != "ran\n" {
		t.Errorf("log = %q", got)
	}
	p.delete(0)
	p.waitGone()
}
