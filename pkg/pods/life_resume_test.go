package pods_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/containerd/errdefs"
	v1 "k8s.io/api/core/v1"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/engine/enginetest"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/podlogs"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/podstatus"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/volumes"
)

// counted runs until a signal and counts its runs.
func counted(runs *atomic.Int32) enginetest.Program {
	return func(p *enginetest.Process) int {
		runs.Add(1)
		p.Signal()
		return 143
	}
}

// TestResumeAtAnyMoment: a docker-sd that ends in the midst of a pod's start is followed
// by one that goes on there. The container runs, and has run once.
func TestResumeAtAnyMoment(t *testing.T) {
	for _, at := range momentsOfAStart {
		for when, moment := range map[string]enginetest.Moment{"before": enginetest.Before, "after": enginetest.After} {
			t.Run(when+" "+at.name, func(t *testing.T) {
				n := newNode(t, func(n *node) { n.size = 0 })
				var runs atomic.Int32
				n.host.InnerProgram("serve", counted(&runs))
				held := holding(n, at.host, enginetest.Fault{Call: at.call, Hold: moment})
				p := newPod()
				n.create(p)
				held.AwaitCall()
				n.crash()
				n.awaitRunning(p, "main")
				n.hasRun(&runs, 1)
				if !n.devices.holds(string(p.UID)) {
					t.Error("it has lost its devices")
				}
				n.delete(p, nil)
				n.host.Await("nothing is left on the host", func(s enginetest.Snapshot) bool { return len(s.Containers)+len(s.Networks) == 0 })
			})
		}
	}
}

// TestResume: what runs goes on, and what ended meanwhile is told.
func TestResume(t *testing.T) {
	for name, test := range map[string]struct {
		policy v1.RestartPolicy
		// meanwhile is what the container does while no docker-sd is there.
		exit     int
		restarts int32
	}{
		"runs":          {v1.RestartPolicyNever, -1, 0},
		"has succeeded": {v1.RestartPolicyOnFailure, 0, 0},
		"has failed":    {v1.RestartPolicyNever, 3, 0},
		"runs again":    {v1.RestartPolicyOnFailure, 3, 1},
	} {
		t.Run(name, func(t *testing.T) {
			n := newNode(t)
			var on atomic.Bool
			on.Store(true)
			n.host.InnerProgram("ask", switched(&on))
			p := newPod(restarting(test.policy), withMain(func(c *v1.Container) { c.StartupProbe, c.ReadinessProbe = execProbe("ask"), execProbe("ask") }))
			n.create(p)
			n.awaitRunning(p, "main")
			e, before := n.sandbox(p).Engine, n.instance(p, "main")
			n.end()
			if test.exit >= 0 {
				e.Exit(before, test.exit)
			}
			n.start()
			if test.exit >= 0 && test.restarts == 0 {
				if end := n.awaitEnd(p, "main"); int(end.ExitCode) != test.exit {
					t.Errorf("it ended with %+v", end)
				}
			} else {
				r := n.await(p, "running as often", func(r podstatus.Report) bool {
					return isRunning("main")(r) && statusOf(r, "main").RestartCount == test.restarts
				})
				if same := n.instance(p, "main") == before; same != (test.restarts == 0) {
					t.Errorf("the same instance: %t: %+v", same, statusOf(r, "main"))
				}
			}
			n.delete(p, nil)
		})
	}
}

// TestResumeOfInitContainers: those that have run do not run again.
func TestResumeOfInitContainers(t *testing.T) {
	n := newNode(t)
	open := make(chan struct{})
	var first atomic.Int32
	n.host.InnerProgram("once", func(*enginetest.Process) int { first.Add(1); return 0 })
	n.host.InnerProgram("gate", func(p *enginetest.Process) int { return gate(p, open) })
	p := newPod(withInit(container("first", "once"), container("second", "gate")))
	n.create(p)
	n.awaitRunning(p, "second")
	n.restart()
	n.awaitRunning(p, "second")
	close(open)
	n.awaitRunning(p, "main")
	if first.Load() != 1 {
		t.Errorf("the first init container has run %d times", first.Load())
	}
	n.delete(p, nil)
}

// TestRecordThatCannotBeRead: its pod goes on, nothing is told of it, and a delete
// removes it.
func TestRecordThatCannotBeRead(t *testing.T) {
	n := newNode(t)
	p := newPod()
	n.create(p)
	n.awaitRunning(p, "main")
	n.sandbox(p) // has its pod's name
	n.end()
	path := filepath.Join(n.dir, "records", string(p.UID)+".json")
	if err := os.WriteFile(path, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	n.start()
	if report, known := n.manager.Status(p); known {
		t.Errorf("Status() = %+v", report)
	}
	if _, err := n.manager.Create(n.ctx, p, volumes.Data{}); !errdefs.IsFailedPrecondition(err) {
		t.Errorf("Create() = %v", err)
	}
	if n.host.Snapshot().Containers[string(p.UID)+"_dind"].Status != "running" {
		t.Error("its sandbox does not run any more")
	}
	if err := n.manager.Delete(n.ctx, p.UID, nil); err != nil {
		t.Fatal(err)
	}
	n.host.Await("its sandbox is gone", func(s enginetest.Snapshot) bool {
		_, there := s.Containers[string(p.UID)+"_dind"]
		return !there
	})
}

// TestLostWhileAway: a sandbox that is gone when docker-sd comes back.
func TestLostWhileAway(t *testing.T) {
	for policy, again := range map[v1.RestartPolicy]bool{v1.RestartPolicyNever: false, v1.RestartPolicyAlways: true} {
		t.Run(string(policy), func(t *testing.T) {
			n := newNode(t)
			var runs atomic.Int32
			n.host.InnerProgram("serve", counted(&runs))
			p := newPod(restarting(policy))
			n.create(p)
			n.awaitRunning(p, "main")
			id := n.sandbox(p).ID
			n.end()
			n.host.Lose(id)
			n.start()
			if again {
				n.awaitRunning(p, "main")
			} else if end := n.awaitEnd(p, "main"); end.ExitCode != 137 || !strings.Contains(end.Message, "lost while docker-sd was away") {
				t.Errorf("it ended with %+v", end)
			}
			n.hasRun(&runs, map[bool]int32{false: 1, true: 2}[again])
			n.delete(p, nil)
		})
	}
}

// TestRestartThroughACrash: at whatever moment of a container's restart docker-sd ends,
// the next one goes on with it, and the log of the run before is there.
func TestRestartThroughACrash(t *testing.T) {
	for _, at := range []struct {
		call string
		skip int
	}{{"DELETE /containers/*", 0}, {"POST /containers/*/rename", 0}, {"POST /containers/create", 1}, {"POST /containers/*/start", 1}} {
		for when, moment := range map[string]enginetest.Moment{"before": enginetest.Before, "after": enginetest.After} {
			t.Run(when+" "+at.call, func(t *testing.T) {
				n := newNode(t, func(n *node) { n.size = 0 })
				var ran atomic.Int32
				n.host.InnerProgram("serve", func(p *enginetest.Process) int {
					run := ran.Add(1)
					_, _ = fmt.Fprintf(p.Stdout, "run %d\n", run)
					if run > 1 {
						p.Signal()
					}
					return 1
				})
				held := holding(n, false, enginetest.Fault{Call: at.call, Skip: at.skip, Hold: moment})
				p := newPod(restarting(v1.RestartPolicyOnFailure))
				n.create(p)
				held.AwaitCall()
				n.crash()
				n.await(p, "running again", func(r podstatus.Report) bool { return isRunning("main")(r) && statusOf(r, "main").RestartCount == 1 })
				n.hasRun(&ran, 2)
				if before := n.log(podlogs.Query{UID: p.UID, Previous: true}); before != "run 1\n" {
					t.Errorf("the log of the run before: %q", before)
				}
				n.delete(p, nil)
			})
		}
	}
}

// TestEndThroughACrash: a pod's end is told, its log kept and its sandbox let go, whenever
// docker-sd ends meanwhile.
func TestEndThroughACrash(t *testing.T) {
	for _, at := range []struct {
		host bool
		call string
	}{{false, "GET /containers/*/logs"}, {true, "DELETE /containers/*"}, {true, "DELETE /networks/*"}} {
		for when, moment := range map[string]enginetest.Moment{"before": enginetest.Before, "after": enginetest.After} {
			t.Run(when+" "+at.call, func(t *testing.T) {
				n := newNode(t, func(n *node) { n.size = 0 })
				held := holding(n, at.host, enginetest.Fault{Call: at.call, Hold: moment})
				p := newPod(running("echo", "kept"))
				n.create(p)
				held.AwaitCall()
				n.crash()
				if end := n.awaitEnd(p, "main"); end.ExitCode != 0 {
					t.Errorf("it ended with %+v", end)
				}
				n.host.Await("its sandbox is let go", func(s enginetest.Snapshot) bool { return len(s.Containers)+len(s.Networks) == 0 })
				if got := n.log(podlogs.Query{UID: p.UID}); got != "kept\n" {
					t.Errorf("log: %q", got)
				}
				n.delete(p, nil)
			})
		}
	}
}

// TestReasonSurvivesACrash: why a pod is ended is known to the next docker-sd, however its
// container ends meanwhile.
func TestReasonSurvivesACrash(t *testing.T) {
	n := newNode(t)
	p := newPod()
	n.create(p)
	n.awaitRunning(p, "main")
	e, id := n.sandbox(p).Engine, n.instance(p, "main")
	held := e.Inject(enginetest.Fault{Call: "POST /containers/*/stop", Hold: enginetest.Before})
	released := n.manager.Evict(string(p.UID), "the node was low on disk")
	held.AwaitCall()
	n.end()
	<-released
	e.Exit(id, 0)
	n.start()
	if end := n.awaitEnd(p, "main"); end.Reason != "Evicted" || end.ExitCode != 137 {
		t.Errorf("it ended with %+v", end)
	}
	n.delete(p, nil)
}
