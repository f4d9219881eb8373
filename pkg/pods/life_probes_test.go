package pods_test

import (
	"io"
	"strings"
	"sync/atomic"
	"testing"

	v1 "k8s.io/api/core/v1"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/engine/enginetest"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/podstatus"
)

// execProbe runs a command in the container every second; one failure is enough.
func execProbe(command string) *v1.Probe {
	return &v1.Probe{ProbeHandler: v1.ProbeHandler{Exec: &v1.ExecAction{Command: []string{command}}},
		PeriodSeconds: 1, TimeoutSeconds: 10, FailureThreshold: 1, SuccessThreshold: 1}
}

func execHook(command string) *v1.LifecycleHandler {
	return &v1.LifecycleHandler{Exec: &v1.ExecAction{Command: []string{command}}}
}

// switched is a program that succeeds while on.
func switched(on *atomic.Bool) enginetest.Program {
	return func(*enginetest.Process) int {
		if on.Load() {
			return 0
		}
		return 1
	}
}

// TestReadinessProbe: a container is ready while the probe succeeds.
func TestReadinessProbe(t *testing.T) {
	n := newNode(t)
	var on atomic.Bool
	n.host.InnerProgram("ask", switched(&on))
	p := newPod(withMain(func(c *v1.Container) { c.ReadinessProbe = execProbe("ask") }))
	n.create(p)
	n.await(p, "running and not ready", isWaiting("main", "NotReady"))
	on.Store(true)
	n.await(p, "ready", func(r podstatus.Report) bool { return isRunning("main")(r) && statusOf(r, "main").Ready })
	on.Store(false)
	n.await(p, "not ready any more", isWaiting("main", "NotReady"))
	n.delete(p, nil)
}

// TestLivenessProbe: a container whose probe fails is stopped, and its policy says
// whether it runs again.
func TestLivenessProbe(t *testing.T) {
	n := newNode(t)
	var on atomic.Bool
	n.host.InnerProgram("ask", switched(&on))
	p := newPod(withMain(func(c *v1.Container) { c.LivenessProbe = execProbe("ask") }))
	n.create(p)
	if end := n.awaitEnd(p, "main"); !strings.HasPrefix(end.Message, "liveness probe failed") || end.ExitCode != 143 {
		t.Errorf("it ended with %+v", end)
	}
	n.delete(p, nil)
}

// TestStartupProbe: other probes and Started wait for it.
func TestStartupProbe(t *testing.T) {
	n := newNode(t)
	var on atomic.Bool
	var asked atomic.Int32
	n.host.InnerProgram("ask", switched(&on))
	n.host.InnerProgram("later", func(*enginetest.Process) int { asked.Add(1); return 0 })
	p := newPod(withMain(func(c *v1.Container) {
		c.StartupProbe, c.LivenessProbe = execProbe("ask"), execProbe("later")
		c.StartupProbe.FailureThreshold = 100
	}))
	n.create(p)
	n.awaitRunning(p, "main")
	n.sandbox(p).Engine.Await("the startup probe has run twice", func(s enginetest.Snapshot) bool { return countCalls(s, "POST", "main", "/exec") >= 2 })
	if started := statusOf(n.await(p, "known", isRunning("main")), "main").Started; asked.Load() != 0 || started == nil || *started {
		t.Errorf("before the startup probe has succeeded: started %v, the liveness probe has run %d times", started, asked.Load())
	}
	on.Store(true)
	n.await(p, "started", func(r podstatus.Report) bool {
		s := statusOf(r, "main").Started
		return s != nil && *s
	})
	n.delete(p, nil)
}

// TestPostStart: a hook that fails ends its container; one that is under way keeps probes
// waiting.
func TestPostStart(t *testing.T) {
	n := newNode(t)
	n.host.InnerProgram("hook", func(p *enginetest.Process) int { _, _ = io.WriteString(p.Stderr, "no way\n"); return 3 })
	p := newPod(withMain(func(c *v1.Container) { c.Lifecycle = &v1.Lifecycle{PostStart: execHook("hook")} }))
	n.create(p)
	if end := n.awaitEnd(p, "main"); !strings.HasPrefix(end.Message, "postStart hook failed") {
		t.Errorf("it ended with %+v", end)
	}
	n.delete(p, nil)
}

// TestPreStop runs before the stop signal, and its failure does not keep a pod.
func TestPreStop(t *testing.T) {
	for name, code := range map[string]int{"succeeds": 0, "fails": 5} {
		t.Run(name, func(t *testing.T) {
			n := newNode(t)
			var hooked, early atomic.Bool
			n.host.InnerProgram("hook", func(*enginetest.Process) int { hooked.Store(true); return code })
			n.host.InnerProgram("serve", func(p *enginetest.Process) int {
				if p.Signal() == "SIGTERM" && !hooked.Load() {
					early.Store(true)
				}
				return 0
			})
			p := newPod(withMain(func(c *v1.Container) { c.Lifecycle = &v1.Lifecycle{PreStop: execHook("hook")} }))
			n.create(p)
			n.awaitRunning(p, "main")
			n.delete(p, nil)
			if !hooked.Load() || early.Load() {
				t.Errorf("the hook has run: %t; the signal was ahead: %t", hooked.Load(), early.Load())
			}
		})
	}
}

// TestGrace: the delete's own grace, if it is shorter, and without any no hook.
func TestGrace(t *testing.T) {
	n := newNode(t)
	var hooked atomic.Bool
	n.host.InnerProgram("hook", func(*enginetest.Process) int { hooked.Store(true); return 0 })
	p := newPod(running("ignore"), withGrace(3600), withMain(func(c *v1.Container) { c.Lifecycle = &v1.Lifecycle{PreStop: execHook("hook")} }))
	n.create(p)
	n.awaitRunning(p, "main")
	none := int64(0)
	n.delete(p, &none)
	if hooked.Load() {
		t.Error("a delete without grace ran the hook")
	}
}

// TestTerminationMessage is the file's, or the end of the log where the policy says so.
func TestTerminationMessage(t *testing.T) {
	n := newNode(t)
	n.host.InnerProgram("fail", func(p *enginetest.Process) int { _, _ = io.WriteString(p.Stdout, "disk on fire\n"); return 1 })
	p := newPod(running("fail"), withMain(func(c *v1.Container) { c.TerminationMessagePolicy = v1.TerminationMessageFallbackToLogsOnError }))
	n.create(p)
	if end := n.awaitEnd(p, "main"); end.Message != "disk on fire\n" {
		t.Errorf("it ended with %+v", end)
	}
	n.delete(p, nil)
	n.host.InnerProgram("tell", func(p *enginetest.Process) int {
		for _, m := range p.Mounts {
			if m.Target == "/dev/termination-log" {
				return tell(m.Source)
			}
		}
		return 9
	})
	p = newPod(running("tell"), withMain(func(c *v1.Container) { c.TerminationMessagePath = "/dev/termination-log" }))
	n.create(p)
	if end := n.awaitEnd(p, "main"); end.ExitCode != 2 || end.Message != "as told" {
		t.Errorf("it ended with %+v", end)
	}
	n.delete(p, nil)
}
