package pods_test

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	v1 "k8s.io/api/core/v1"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/podstatus"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/usage"
)

// ear is a Meter that writes down what it is told, and what is there at a pod's end.
type ear struct {
	node *node

	mu    sync.Mutex
	heard []string
	// open are pods that were not settled.
	open map[string]bool
}

// metering gives a node such a meter.
func metering(n *node) { n.meter = &ear{node: n, open: map[string]bool{}} }

func (e *ear) note(format string, args ...any) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.heard = append(e.heard, fmt.Sprintf(format, args...))
}

func (e *ear) Began(uid string) {
	e.note("began")
	e.mu.Lock()
	defer e.mu.Unlock()
	e.open[uid] = true
}

func (e *ear) Placed(_, sandbox string, since time.Time, fresh bool) {
	running := false
	for _, c := range e.node.host.Snapshot().Containers {
		running = running || c.ID == sandbox
	}
	e.note("placed fresh=%t there=%t since=%t", fresh, running, time.Since(since) < time.Hour)
}

func (e *ear) Settle(end usage.Ending) (usage.Bill, bool, error) {
	e.mu.Lock()
	open := e.open[end.UID]
	delete(e.open, end.UID)
	e.mu.Unlock()
	if open {
		e.note("settled %s devices=%t", end.Phase, e.node.devices.holds(end.UID))
	}
	return usage.Bill{CPUSeconds: 1.5, PeakMemoryBytes: 1 << 20, Devices: []string{"one"}, DeviceSeconds: 2}, open, nil
}

func (e *ear) Forget(string) { e.note("forgotten") }

// hears waits for all that a meter is told of a pod.
func (n *node) hears(want ...string) {
	n.t.Helper()
	e := n.meter.(*ear)
	have := func() []string {
		e.mu.Lock()
		defer e.mu.Unlock()
		return slices.Clone(e.heard)
	}
	n.poll("the meter has heard as much", func() bool { return len(have()) >= len(want) })
	if diff := cmp.Diff(want, have()); diff != "" {
		n.t.Errorf("the meter has heard (-want +got):\n%s", diff)
	}
}

const (
	placedFresh = "placed fresh=true there=true since=true"
	placedAgain = "placed fresh=false there=true since=true"
)

// TestMeterOfAnEnd: a pod is settled once, while it has its devices and its sandbox, also
// where docker-sd was started again before or after that.
func TestMeterOfAnEnd(t *testing.T) {
	n := newNode(t, metering)
	p := newPod()
	n.create(p)
	n.awaitRunning(p, "main")
	n.restart()
	n.awaitRunning(p, "main")
	n.sandbox(p).Engine.Exit(n.instance(p, "main"), 0)
	n.awaitPhase(p, podstatus.PhaseSucceeded)
	n.poll("the pod's end was told", func() bool { return n.told.has("ended") })
	n.restart()
	n.delete(p, nil)
	n.hears("began", placedFresh, "began", placedAgain, "settled succeeded devices=true", "forgotten")
}

// TestMeterOfADelete: a pod that is deleted while it runs is settled before anything of it
// is given back.
func TestMeterOfADelete(t *testing.T) {
	n := newNode(t, metering)
	p := newPod()
	n.create(p)
	n.awaitRunning(p, "main")
	n.delete(p, nil)
	n.hears("began", placedFresh, "settled deleted devices=true", "forgotten")
}

// TestMeterOfALoss: a pod that starts over elsewhere is one pod, in two sandboxes.
func TestMeterOfALoss(t *testing.T) {
	n := newNode(t, metering)
	p := newPod(restarting(v1.RestartPolicyAlways))
	n.create(p)
	n.awaitRunning(p, "main")
	n.host.Lose(n.sandbox(p).ID)
	n.await(p, "running again", func(r podstatus.Report) bool { return isRunning("main")(r) && statusOf(r, "main").RestartCount > 0 })
	n.delete(p, nil)
	n.hears("began", placedFresh, placedFresh, "settled deleted devices=true", "forgotten")
}
