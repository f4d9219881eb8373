package pods_test

import (
	"os"
	"testing"

	v1 "k8s.io/api/core/v1"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/engine/enginetest"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/podlogs"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/podstatus"
)

// tell writes a termination message.
func tell(path string) int {
	if os.WriteFile(path, []byte("as told"), 0o666) != nil {
		return 8
	}
	return 2
}

// momentsOfAStart are calls of a pod's start to the host's engine and to that in its
// sandbox, of a pod that is made in a pool of none.
var momentsOfAStart = []struct {
	name string
	host bool
	call string
}{
	{"network", true, "POST /networks/create"},
	{"sandbox made", true, "POST /containers/create"},
	{"sandbox started", true, "POST /containers/*/start"},
	{"sandbox joined", true, "POST /networks/*/connect"},
	{"sandbox named", true, "POST /containers/*/rename"},
	{"image found", false, "GET /images/*/json"},
	{"container made", false, "POST /containers/create"},
	{"container started", false, "POST /containers/*/start"},
	{"container awaited", false, "POST /containers/*/wait"},
}

// holding a call of a start, on the host's engine or in the sandbox to come.
func holding(n *node, host bool, fault enginetest.Fault) *enginetest.Fault {
	if host {
		return n.host.Inject(fault)
	}
	return n.host.InjectInside(fault)
}

// TestDeleteAtAnyMoment: whatever the pod's start is at, nothing is left of it.
func TestDeleteAtAnyMoment(t *testing.T) {
	for _, at := range momentsOfAStart {
		for when, moment := range map[string]enginetest.Moment{"before": enginetest.Before, "after": enginetest.After} {
			t.Run(when+" "+at.name, func(t *testing.T) {
				n := newNode(t, func(n *node) { n.size = 0 })
				held := holding(n, at.host, enginetest.Fault{Call: at.call, Hold: moment})
				p := newPod()
				n.create(p)
				held.AwaitCall()
				if err := n.manager.Delete(n.ctx, p.UID, nil); err != nil {
					t.Fatal(err)
				}
				held.Release()
				n.awaitGone(p)
				n.host.Await("nothing is left on the host", func(s enginetest.Snapshot) bool {
					return len(s.Containers)+len(s.Networks)+len(s.Volumes) == 0
				})
			})
		}
	}
}

// TestDeleteOfAnEndedPod: its archive goes with it.
func TestDeleteOfAnEndedPod(t *testing.T) {
	n := newNode(t, func(n *node) { n.size = 0 })
	p := newPod(running("echo", "kept"), func(p *v1.Pod) {
		second := container("second", "echo", "too")
		second.TTY = true
		p.Spec.Containers = append(p.Spec.Containers, second)
	})
	n.create(p)
	n.awaitPhase(p, podstatus.PhaseSucceeded)
	n.host.Await("its sandbox is let go", func(s enginetest.Snapshot) bool { return len(s.Containers)+len(s.Networks) == 0 })
	query := podlogs.Query{UID: p.UID, Container: "main"}
	if got := n.log(query); got != "kept\n" {
		t.Errorf("log: %q", got)
	}
	n.restart()
	if got := n.log(query); got != "kept\n" {
		t.Errorf("log after a restart: %q", got)
	}
	query.Container = "second"
	if got := n.log(query); got != "too\r\n" {
		t.Errorf("log of the terminal: %q", got)
	}
	if end := n.awaitEnd(p, "main"); end.ExitCode != 0 {
		t.Errorf("after a restart: %+v", end)
	}
	n.delete(p, nil)
}

// TestDeleteThatIsRefused by an engine is repeated until it works.
func TestDeleteThatIsRefused(t *testing.T) {
	n := newNode(t)
	p := newPod()
	n.create(p)
	n.awaitRunning(p, "main")
	s := n.sandbox(p)
	n.host.Fail("DELETE /containers/"+string(p.UID)+"_dind", 500, "driver \"overlay2\" failed to remove root filesystem: device or resource busy")
	s.Engine.Fail("POST /containers/*main*/stop", 500, "cannot stop container: permission denied")
	n.delete(p, nil)
}

// TestDeleteThroughARestart: who was told to delete goes on with it.
func TestDeleteThroughARestart(t *testing.T) {
	n := newNode(t)
	p := newPod(running("ignore"), withGrace(1))
	n.create(p)
	n.awaitRunning(p, "main")
	held := n.host.Inject(enginetest.Fault{Call: "DELETE /containers/" + string(p.UID) + "_dind", Hold: enginetest.Before})
	if err := n.manager.Delete(n.ctx, p.UID, nil); err != nil {
		t.Fatal(err)
	}
	held.AwaitCall()
	n.restart()
	n.awaitGone(p)
}
