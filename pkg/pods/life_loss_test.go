package pods_test

import (
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	v1 "k8s.io/api/core/v1"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/engine/enginetest"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/podlogs"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/podstatus"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/sandbox"
)

// TestSandboxStops under its pod: it is started again with what is inside, and what ran
// there has ended.
func TestSandboxStops(t *testing.T) {
	for policy, again := range map[v1.RestartPolicy]bool{v1.RestartPolicyNever: false, v1.RestartPolicyOnFailure: true} {
		for _, lost := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, removed: %t", policy, lost), func(t *testing.T) {
				n := newNode(t)
				n.host.InnerProgram("serve", func(p *enginetest.Process) int { p.Signal(); return 1 })
				p := newPod(restarting(policy))
				n.create(p)
				n.awaitRunning(p, "main")
				s := n.sandbox(p)
				if lost {
					n.host.Lose(s.ID)
				} else {
					n.host.Exit(s.ID, 137)
				}
				switch {
				case again:
					n.await(p, "running once more", func(r podstatus.Report) bool { return isRunning("main")(r) && statusOf(r, "main").RestartCount == 1 })
				default:
					if end := n.awaitEnd(p, "main"); end.ExitCode != 137 || !strings.Contains(end.Message, "the pod's sandbox stopped") {
						t.Errorf("it ended with %+v", end)
					}
				}
				n.delete(p, nil)
			})
		}
	}
}

// TestLostSandboxComesBack: a pod that must not run twice ends when its sandbox is refused
// too often, and its log is there once the sandbox is not refused any more.
func TestLostSandboxComesBack(t *testing.T) {
	n := newNode(t, func(n *node) { n.size = 0 })
	n.host.InnerProgram("serve", func(p *enginetest.Process) int {
		_, _ = fmt.Fprintln(p.Stdout, "kept")
		p.Signal()
		return 1
	})
	p := newPod(restarting(v1.RestartPolicyNever))
	n.create(p)
	n.awaitRunning(p, "main")
	s := n.sandbox(p)
	const refusals = 6 // five, after which the sandbox counts as lost, and one of the search for the log
	for range refusals {
		n.host.Fail("POST /containers/"+sandbox.AssignedName(string(p.UID))+"/start", http.StatusInternalServerError, "task: already exists")
	}
	n.host.Exit(s.ID, 137)
	if end := n.awaitEnd(p, "main"); end.ExitCode != 137 || !strings.Contains(end.Message, "the pod's sandbox stopped") {
		t.Errorf("it ended with %+v", end)
	}
	n.host.Await("its log is kept, its sandbox let go", func(s enginetest.Snapshot) bool { return len(s.Containers)+len(s.Networks) == 0 })
	if got := n.log(podlogs.Query{UID: p.UID}); got != "kept\n" {
		t.Errorf("log: %q", got)
	}
	n.delete(p, nil)
}

// TestStartOverKeepsEnds: a container that has ended for good does not run again in the
// next sandbox.
func TestStartOverKeepsEnds(t *testing.T) {
	n := newNode(t)
	var done, runs atomic.Int32
	n.host.InnerProgram("once", func(*enginetest.Process) int { done.Add(1); return 0 })
	n.host.InnerProgram("serve", func(p *enginetest.Process) int { runs.Add(1); p.Signal(); return 1 })
	p := newPod(restarting(v1.RestartPolicyOnFailure), func(p *v1.Pod) {
		p.Spec.Containers = append(p.Spec.Containers, container("once", "once"))
	})
	n.create(p)
	n.awaitEnd(p, "once")
	n.awaitRunning(p, "main")
	n.host.Lose(n.sandbox(p).ID)
	n.await(p, "running in another sandbox", func(r podstatus.Report) bool { return isRunning("main")(r) && runs.Load() == 2 })
	if end := n.awaitEnd(p, "once"); end.ExitCode != 0 || done.Load() != 1 {
		t.Errorf("the other container has run %d times: %+v", done.Load(), end)
	}
	n.delete(p, nil)
}

// TestInnerEngineRestarts: the pod's containers go on, and how they end is told.
func TestInnerEngineRestarts(t *testing.T) {
	n := newNode(t)
	p := newPod()
	n.create(p)
	n.awaitRunning(p, "main")
	e, id := n.sandbox(p).Engine, n.instance(p, "main")
	waits := e.Calls("POST /containers/*/wait")
	path := e.Down()
	if err := e.Listen(path); err != nil {
		t.Fatal(err)
	}
	e.Await("the container is waited for again", func(s enginetest.Snapshot) bool { return countCalls(s, "POST", "/wait") > waits })
	n.awaitRunning(p, "main")
	e.Exit(id, 6)
	if end := n.awaitEnd(p, "main"); end.ExitCode != 6 {
		t.Errorf("it ended with %+v", end)
	}
	n.delete(p, nil)
}

// TestInnerEngineIsAway while a container is to be made and started: it is asked again,
// and one that may have run does not run twice.
func TestInnerEngineIsAway(t *testing.T) {
	for _, call := range []string{"POST /containers/create", "POST /containers/*/start"} {
		for when, moment := range map[string]enginetest.Moment{"before": enginetest.Before, "after": enginetest.After} {
			t.Run(when+" "+call, func(t *testing.T) {
				n := newNode(t, func(n *node) { n.size = 0 })
				var runs atomic.Int32
				n.host.InnerProgram("serve", counted(&runs))
				holding(n, false, enginetest.Fault{Call: call, Cut: moment})
				p := newPod()
				n.create(p)
				if when == "before" && strings.HasSuffix(call, "start") {
					if end := n.awaitEnd(p, "main"); end.ExitCode != 128 || !strings.Contains(end.Message, "whether it ran is not known") || runs.Load() != 0 {
						t.Errorf("after %d runs: %+v", runs.Load(), end)
					}
				} else {
					n.awaitRunning(p, "main")
					n.hasRun(&runs, 1)
				}
				n.delete(p, nil)
			})
		}
	}
}

// TestHostEngineIsAway: pods go on, one that is created waits, and a delete is done later.
func TestHostEngineIsAway(t *testing.T) {
	n := newNode(t)
	first, second := newPod(), newPod()
	n.create(first)
	n.awaitRunning(first, "main")
	n.sandbox(first)
	n.host.Await("the pool is full again", func(s enginetest.Snapshot) bool {
		running := 0
		for _, c := range s.Containers {
			if c.Status == "running" {
				running++
			}
		}
		return running == 2
	})
	path := n.host.Down()
	n.create(second)
	n.awaitRunning(first, "main")
	if err := n.manager.Delete(n.ctx, first.UID, nil); err != nil {
		t.Fatal(err)
	}
	if err := n.host.Listen(path); err != nil {
		t.Fatal(err)
	}
	n.awaitGone(first)
	n.awaitRunning(second, "main")
	n.delete(second, nil)
}

// TestStoppedWhileAway: a sandbox that stands still when docker-sd comes back is started
// again, and what ran in it has ended with it.
func TestStoppedWhileAway(t *testing.T) {
	n := newNode(t)
	p := newPod()
	n.create(p)
	n.awaitRunning(p, "main")
	id := n.sandbox(p).ID
	n.end()
	n.host.Exit(id, 255)
	n.start()
	if end := n.awaitEnd(p, "main"); end.ExitCode != 137 || !strings.Contains(end.Message, "the pod's sandbox stopped") {
		t.Errorf("it ended with %+v", end)
	}
	n.delete(p, nil)
}

// TestSandboxThatDoesNotComeBack: it is there, but its engine cannot start it any more.
func TestSandboxThatDoesNotComeBack(t *testing.T) {
	n := newNode(t)
	p := newPod(restarting(v1.RestartPolicyAlways))
	n.create(p)
	n.awaitRunning(p, "main")
	s := n.sandbox(p)
	for range 5 { // as often as it is tried
		n.host.Fail("POST /containers/"+string(p.UID)+"_dind/start", 500, "cannot mount: input/output error")
	}
	n.host.Exit(s.ID, 137)
	n.await(p, "running in another sandbox", func(r podstatus.Report) bool {
		return isRunning("main")(r) && statusOf(r, "main").RestartCount == 1 && n.view(p).ContainerID != s.ID
	})
	n.delete(p, nil)
}

// TestInitsAfterTheSandboxStopped: they run again before a main container that does, as in
// a new sandbox of kubelet's; not where none does, and not twice where nothing happened.
func TestInitsAfterTheSandboxStopped(t *testing.T) {
	for _, while := range []string{"docker-sd runs", "docker-sd is away"} {
		t.Run(while, func(t *testing.T) {
			n := newNode(t)
			var inits, mains atomic.Int32
			n.host.InnerProgram("prepare", func(*enginetest.Process) int { inits.Add(1); return 0 })
			n.host.InnerProgram("serve", func(p *enginetest.Process) int {
				if mains.Add(1) != inits.Load() {
					t.Errorf("run %d of the main container after %d of its init container", mains.Load(), inits.Load())
				}
				p.Signal()
				return 1
			})
			p := newPod(restarting(v1.RestartPolicyOnFailure), withInit(container("first", "prepare")))
			n.create(p)
			n.awaitRunning(p, "main")
			id := n.sandbox(p).ID
			stopSandbox(n, id, while)
			n.await(p, "running once more", func(r podstatus.Report) bool { return isRunning("main")(r) && statusOf(r, "main").RestartCount == 1 })
			n.restart()
			n.awaitRunning(p, "main")
			r, _ := n.manager.Status(p)
			if got := statusOf(r, "first"); inits.Load() != 2 || got.RestartCount != 1 || got.State.Terminated == nil || got.State.Terminated.ExitCode != 0 {
				t.Errorf("the init container has run %d times: %+v", inits.Load(), got)
			}
			if got := statusOf(r, "main").LastTerminationState.Terminated; got == nil || got.ExitCode != 137 || !strings.Contains(got.Message, "the pod's sandbox stopped") {
				t.Errorf("the main container ended before with %+v", got)
			}
			n.delete(p, nil)
		})
	}
}

// stopSandbox has a sandbox stop under its pod.
func stopSandbox(n *node, id, while string) {
	n.t.Helper()
	if while == "docker-sd runs" {
		n.host.Exit(id, 137)
		return
	}
	n.end()
	n.host.Exit(id, 137)
	n.start()
}

// TestInitsOfAPodThatNeverRestarts: when its sandbox stops between two init containers, the
// pod cannot go on, since what the first prepared in memory is gone.
func TestInitsOfAPodThatNeverRestarts(t *testing.T) {
	n := newNode(t)
	var inits atomic.Int32
	n.host.InnerProgram("prepare", func(*enginetest.Process) int { inits.Add(1); return 0 })
	p := newPod(withInit(container("first", "prepare"), container("second", "serve")))
	n.create(p)
	n.awaitRunning(p, "second")
	n.host.Exit(n.sandbox(p).ID, 137)
	n.await(p, "without its first init container", func(r podstatus.Report) bool {
		end := statusOf(r, "first").State.Terminated
		return end != nil && end.ExitCode == 137 && strings.Contains(end.Message, "the pod's sandbox stopped")
	})
	n.awaitPhase(p, podstatus.PhaseFailed)
	if got := inits.Load(); got != 1 {
		t.Errorf("the init container ran %d times", got)
	}
	n.delete(p, nil)
}
