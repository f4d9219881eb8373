package pods_test

import (
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/containerd/errdefs"
	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/engine/enginetest"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/podlogs"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/podstatus"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/volumes"
)

// TestPod: create, status, logs, delete.
func TestPod(t *testing.T) {
	n := newNode(t)
	p := newPod(running("echo", "hello"))
	n.create(p)
	end := n.awaitEnd(p, "main")
	if end.ExitCode != 0 || end.Reason != "Completed" {
		t.Errorf("it ended with %+v", end)
	}
	query := podlogs.Query{UID: p.UID, Namespace: p.Namespace, Container: "main"}
	if got := n.log(query); got != "hello\n" {
		t.Errorf("log: %q", got)
	}
	n.delete(p, nil)
}

// TestContainersOfAPod run side by side, each with what is its own.
func TestContainersOfAPod(t *testing.T) {
	n := newNode(t)
	p := newPod(func(p *v1.Pod) {
		p.Spec.Containers[0].Env = []v1.EnvVar{{Name: "A", Value: "b"}}
		p.Spec.Containers = append(p.Spec.Containers, container("other", "exit", "3"))
	})
	n.create(p)
	if end := n.awaitEnd(p, "other"); end.ExitCode != 3 || end.Reason != "Error" {
		t.Errorf("the other container ended with %+v", end)
	}
	n.awaitRunning(p, "main")
	s := n.sandbox(p)
	found := false
	for name, c := range s.Engine.Snapshot().Containers {
		if c.Status != "running" {
			continue
		}
		found = true
		if !strings.Contains(name, "main") || !slices.Contains(c.Env, "A=b") || !slices.Contains(c.Env, `DEVICE="one"`) ||
			!slices.Equal(c.Argv, []string{"serve"}) || !slices.Equal(c.Networks, []string{"host"}) {
			t.Errorf("container %s: %+v", name, c)
		}
	}
	if !found {
		t.Error("no container runs in the sandbox")
	}
	n.delete(p, nil)
}

// TestInitContainers run one after the other, and a failed one is the end of the pod.
func TestInitContainers(t *testing.T) {
	n := newNode(t)
	p := newPod(withInit(container("first", "gate"), container("second", "exit", "4")))
	open := make(chan struct{})
	n.host.InnerProgram("gate", func(p *enginetest.Process) int { return gate(p, open) })
	n.create(p)
	r := n.await(p, "with its first init container running", isRunning("first"))
	if main := statusOf(r, "main").State.Waiting; main == nil || main.Reason != "PodInitializing" {
		t.Errorf("the main container: %+v", statusOf(r, "main").State)
	}
	close(open)
	if end := n.awaitEnd(p, "main"); end.ExitCode == 0 {
		t.Errorf("the main container of a failed pod: %+v", end)
	}
	r = n.await(p, "with its second init container ended", func(r podstatus.Report) bool { return statusOf(r, "second").State.Terminated != nil })
	if end := statusOf(r, "second").State.Terminated; end.ExitCode != 4 {
		t.Errorf("the second init container: %+v", end)
	}
	for _, call := range n.sandbox(p).Engine.Snapshot().Calls {
		if strings.HasPrefix(call, "POST") && strings.Contains(call, "main") {
			t.Errorf("call %s for a container that must not run", call)
		}
	}
	n.delete(p, nil)
}

// gate ends with 0 once it is opened.
func gate(p *enginetest.Process, open <-chan struct{}) int {
	select {
	case <-open:
		return 0
	case <-p.Done().Done():
		return 137
	}
}

// TestSidecar runs before the main containers and as long as they do; it is restarted and
// is not what the pod waits for.
func TestSidecar(t *testing.T) {
	n := newNode(t)
	always := v1.ContainerRestartPolicyAlways
	side := container("side", "serve")
	side.RestartPolicy = &always
	p := newPod(withInit(side), running("gate"))
	open, crash := make(chan struct{}), make(chan struct{}, 1)
	n.host.InnerProgram("gate", func(p *enginetest.Process) int { return gate(p, open) })
	var stopped atomic.Int32
	n.host.InnerProgram("serve", func(p *enginetest.Process) int {
		select {
		case <-crash:
			return 1
		case <-p.Done().Done():
			return 137
		case <-asChannel(p):
			stopped.Add(1)
			return 0
		}
	})
	n.create(p)
	n.awaitRunning(p, "main")
	e := n.sandbox(p).Engine
	began := e.Calls("POST /containers/*side*/start")
	crash <- struct{}{}
	e.Await("the sidecar runs again", func(s enginetest.Snapshot) bool { return countCalls(s, "POST", "side", "/start") == began+1 })
	if _, known := n.manager.Status(p); !known {
		t.Error("the pod is not known")
	}
	close(open)
	if end := n.awaitEnd(p, "main"); end.ExitCode != 0 {
		t.Errorf("the main container: %+v", end)
	}
	n.awaitPhase(p, podstatus.PhaseSucceeded)
	if stopped.Load() != 1 {
		t.Errorf("the sidecar was told to stop %d times", stopped.Load())
	}
	n.delete(p, nil)
}

// asChannel is closed with the process's first signal.
func asChannel(p *enginetest.Process) <-chan struct{} {
	got := make(chan struct{})
	go func() { p.Signal(); close(got) }()
	return got
}

// countCalls that have all the words.
func countCalls(s enginetest.Snapshot, words ...string) (n int) {
	for _, call := range s.Calls {
		if !slices.ContainsFunc(words, func(word string) bool { return !strings.Contains(call, word) }) {
			n++
		}
	}
	return n
}

// TestRestartPolicy: which ends are followed by another run.
func TestRestartPolicy(t *testing.T) {
	for _, test := range []struct {
		policy v1.RestartPolicy
		codes  []int
		// runs are those after which the container has ended for good; 0 is never.
		runs int
	}{
		{v1.RestartPolicyNever, []int{1}, 1},
		{v1.RestartPolicyOnFailure, []int{0}, 1},
		{v1.RestartPolicyOnFailure, []int{1, 0}, 2},
		{v1.RestartPolicyAlways, []int{0, 1}, 0},
		{v1.RestartPolicyOnFailure, []int{1, 2}, 0},
	} {
		t.Run(fmt.Sprint(test.policy, test.codes), func(t *testing.T) {
			n := newNode(t)
			var ran atomic.Int32
			n.host.InnerProgram("try", func(p *enginetest.Process) int {
				run := int(ran.Add(1))
				_, _ = fmt.Fprintf(p.Stdout, "run %d\n", run)
				return test.codes[min(run, len(test.codes))-1]
			})
			p := newPod(running("try"), restarting(test.policy))
			n.create(p)
			if test.runs > 0 {
				if end := n.awaitEnd(p, "main"); int(end.ExitCode) != test.codes[test.runs-1] || int(ran.Load()) != test.runs {
					t.Errorf("after %d runs: %+v", ran.Load(), end)
				}
				n.delete(p, nil)
				return
			}
			// The first restart comes at once, the second after ten seconds.
			r := n.await(p, "in its second back-off", func(r podstatus.Report) bool {
				w := statusOf(r, "main").State.Waiting
				return w != nil && w.Reason == "CrashLoopBackOff" && strings.Contains(w.Message, "back-off 10s")
			})
			status := statusOf(r, "main")
			if last := status.LastTerminationState.Terminated; last == nil || int(last.ExitCode) != test.codes[1] || status.RestartCount != 1 {
				t.Errorf("in its back-off: %+v", status)
			}
			if now, before := n.log(podlogs.Query{UID: p.UID}), n.log(podlogs.Query{UID: p.UID, Previous: true}); now != "run 2\n" || before != "run 1\n" {
				t.Errorf("logs: %q, before %q", now, before)
			}
			n.delete(p, nil)
		})
	}
}

// TestStartThatIsRefused: the container has ended, with the engine's words.
func TestStartThatIsRefused(t *testing.T) {
	n := newNode(t)
	n.host.InnerProgram("missing", nil)
	p := newPod(running("missing"))
	n.create(p)
	if end := n.awaitEnd(p, "main"); end.ExitCode != 128 || end.Reason != "StartError" || !strings.Contains(end.Message, "not found in $PATH") {
		t.Errorf("it ended with %+v", end)
	}
	n.delete(p, nil)
}

// TestOutOfMemory is told as kubelet does, whether the engine's state has it or only its
// events.
func TestOutOfMemory(t *testing.T) {
	for _, told := range []bool{true, false} {
		t.Run(fmt.Sprint("told ", told), func(t *testing.T) {
			n := newNode(t)
			p := newPod(withMain(func(c *v1.Container) {
				c.Resources.Limits = v1.ResourceList{v1.ResourceMemory: resource.MustParse("64Mi")}
			}))
			n.create(p)
			n.awaitRunning(p, "main")
			e := n.sandbox(p).Engine
			e.RunOutOfMemory(n.instance(p, "main"), told)
			if end := n.awaitEnd(p, "main"); end.Reason != "OOMKilled" || end.ExitCode != 137 || !strings.Contains(end.Message, "64Mi") {
				t.Errorf("it ended with %+v", end)
			}
			n.delete(p, nil)
		})
	}
}

// TestDeadline ends a pod that is active for too long.
func TestDeadline(t *testing.T) {
	n := newNode(t)
	second := int64(1)
	p := newPod(func(p *v1.Pod) { p.Spec.ActiveDeadlineSeconds = &second })
	n.create(p)
	if end := n.awaitEnd(p, "main"); end.Reason != "DeadlineExceeded" || end.ExitCode != 137 {
		t.Errorf("it ended with %+v", end)
	}
	n.awaitPhase(p, podstatus.PhaseFailed)
	n.delete(p, nil)
}

// TestRefusedCreates: what a node cannot take.
func TestRefusedCreates(t *testing.T) {
	n := newNode(t, func(n *node) { n.maxPods = 1 })
	p := newPod()
	n.create(p)
	for name, test := range map[string]struct {
		pod *v1.Pod
		is  func(error) bool
	}{
		"a full node":  {newPod(), errdefs.IsResourceExhausted},
		"no container": {newPod(func(p *v1.Pod) { p.Spec.Containers = nil }), errdefs.IsInvalidArgument},
		"privileged": {newPod(withMain(func(c *v1.Container) {
			yes := true
			c.SecurityContext = &v1.SecurityContext{Privileged: &yes}
		})), errdefs.IsInvalidArgument},
	} {
		if _, err := n.manager.Create(n.ctx, test.pod, volumes.Data{}); !test.is(err) {
			t.Errorf("%s: Create() = %v", name, err)
		}
	}
	first, err := n.manager.Create(n.ctx, p, volumes.Data{})
	if again, errAgain := n.manager.Create(n.ctx, p, volumes.Data{}); err != nil || errAgain != nil || again != first {
		t.Errorf("the same create: %q, %v; %q, %v", first, err, again, errAgain)
	}
	n.awaitRunning(p, "main")
	n.delete(p, nil)
	if _, err := n.manager.Create(n.ctx, p, volumes.Data{}); !errdefs.IsFailedPrecondition(err) {
		t.Errorf("a create after the delete = %v", err)
	}
	if err := n.manager.Delete(n.ctx, p.UID, nil); err != nil {
		t.Errorf("a second delete = %v", err)
	}
}

// TestViews: what operators see.
func TestViews(t *testing.T) {
	n := newNode(t)
	p := newPod()
	n.create(p)
	n.awaitRunning(p, "main")
	views := n.manager.List()
	if len(views) != 1 || views[0].Phase != podstatus.PhaseRunning || views[0].ContainerID != n.sandbox(p).ID || views[0].Containers[0].State != "running" {
		t.Errorf("List() = %+v", views)
	}
	if n.manager.Count() != 1 || !slices.Equal(n.manager.ImagesInUse(), []string{imageName}) {
		t.Errorf("%d pods with images %v", n.manager.Count(), n.manager.ImagesInUse())
	}
	n.delete(p, nil)
}
