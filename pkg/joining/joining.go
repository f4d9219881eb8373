// Package joining makes a pod join the network of its cluster, and watches that it stays
// there. The tunnel itself is its sandbox's: this package asks the init for it.
package joining

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/containerd/containerd/log"
	"github.com/containerd/errdefs"
	v1 "k8s.io/api/core/v1"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/clusternet"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/fault"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/initapi"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/podspec"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/podstatus"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/retry"
)

// Init is what a pod needs of its sandbox's init to join its cluster's network.
type Init interface {
	OpenTunnel(ctx context.Context, t initapi.Tunnel) error
	TunnelState(ctx context.Context) (initapi.TunnelState, error)
}

// Events tells the log and the observers of pods what becomes of a pod.
type Events interface {
	// Step begins a step of the pod's life, which ends when the function is called.
	Step(ctx context.Context, step string, of ...string) (context.Context, func(error))
	// Tell logs a change of state and reports it. container is "" where the pod changes.
	Tell(ctx context.Context, what, container string, fields log.Fields)
	// Report is Tell for what has a line in the log already.
	Report(ctx context.Context, what, container string, fields log.Fields)
}

// Step ends when the pod has joined its cluster's network, or is to fail.
const Step = "network"

// What happens to the network of a pod.
const (
	EventJoined = "joined its cluster's network"
	EventCutOff = "lost its cluster's network"
)

// Joining is how a pod joins the network of its cluster, and how that is going. It is nil
// for a pod that joins none, which its methods allow.
type Joining struct {
	wish   *clusternet.Wish
	limit  time.Duration
	events Events

	mu sync.Mutex
	// state is what the init told last. lost says that the pod runs without its network.
	state initapi.TunnelState
	lost  bool
}

// New reads the pod's wish, which was checked when the pod was admitted: one that another
// configuration would refuse by now is still carried out. The pod is to join within limit.
func New(spec *v1.Pod, policy clusternet.Policy, limit time.Duration, events Events) *Joining {
	wish, _, faults := clusternet.Read(spec, policy)
	if len(faults) > 0 {
		wish, _, _ = clusternet.Read(spec, clusternet.Policy{CAs: policy.CAs, Insecure: policy.Insecure, Proxy: policy.Proxy})
	}
	if wish == nil {
		return nil
	}
	return &Joining{wish: wish, limit: limit, events: events}
}

// Cluster is what the pod's containers have of it.
func (j *Joining) Cluster() podspec.Cluster {
	if j == nil {
		return podspec.Cluster{}
	}
	return podspec.Cluster{Address: j.wish.Address, Nameservers: j.wish.Nameservers, Search: j.wish.Search, ContactHost: j.wish.ContactHost}
}

// Attempt is a pod's way into the network from one stay in a sandbox.
type Attempt struct {
	*Joining
	init Init
	// explain shows the pod's owner why the pod waits.
	explain func(string)
	// must says that the pod fails if it cannot join: none of its containers has run in this
	// sandbox. held says that none runs now, so that the next one waits for the network.
	must, held bool
	// asked says that the init has accepted the wish.
	asked bool
	// settled is closed once the tunnel is up, or err says why it is not in time.
	settled chan struct{}
	err     error
}

// Stay is a pod's time in one sandbox.
type Stay struct {
	Init Init
	// Found says that the pod was in this sandbox before docker-sd started, and RanBefore
	// that a container of it has run.
	Found, RanBefore bool
	// Statuses are those of the pod's containers now.
	Statuses map[string]v1.ContainerStatus
	// Explain shows the pod's owner why the pod waits.
	Explain func(string)
}

// Join begins to make the pod's tunnel and watches it until ctx ends, in a goroutine of the
// group. A tunnel that an earlier docker-sd has asked for goes on.
func (j *Joining) Join(ctx context.Context, group *sync.WaitGroup, stay Stay) *Attempt {
	if j == nil {
		return nil
	}
	a := &Attempt{Joining: j, init: stay.Init, explain: stay.Explain, settled: make(chan struct{}),
		must: !stay.Found || !stay.RanBefore, held: true}
	for _, status := range stay.Statuses {
		a.held = a.held && status.State.Running == nil
	}
	a.see(initapi.TunnelState{}, false)
	group.Go(func() { a.run(ctx) })
	return a
}

// run is the attempt from its begin until ctx ends.
func (a *Attempt) run(ctx context.Context) {
	step, done := a.events.Step(ctx, Step)
	a.err = a.make(step)
	done(a.err)
	close(a.settled)
	if failed := (&NotJoined{}); errors.As(a.err, &failed) && !a.must {
		a.tellLost(ctx, failed.reason.Error())
	}
	a.watch(ctx)
}

// Wait returns once the pod has joined, or why the pod fails. Where containers run already,
// nothing is waited for, and a pod that has run goes on without its network. The error
// is ctx's too.
func (a *Attempt) Wait(ctx context.Context) error {
	if a == nil || !a.must && !a.held {
		return nil
	}
	select {
	case <-a.settled:
		if a.must {
			return a.err
		}
		return ctx.Err()
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Reason is kubelet's word for a pod whose network is not there.
const Reason = "NetworkNotReady"

// NotJoined says that a pod could not join its cluster's network in time.
type NotJoined struct{ reason error }

// Error is for the pod's owner.
func (e *NotJoined) Error() string {
	return "the pod could not join the network of its cluster: " + e.reason.Error()
}

// Unwrap gives the reason.
func (e *NotJoined) Unwrap() error { return e.reason }

// The pauses between two looks at a tunnel: while it is being made, and later.
const (
	firstLook = 10 * time.Millisecond
	lastLook  = 250 * time.Millisecond
	watchLook = 5 * time.Second
)

// make asks for the tunnel until it is up. The error is a NotJoined, or ctx's.
func (a *Attempt) make(ctx context.Context) error {
	limited, cancel := context.WithTimeout(ctx, a.limit)
	defer cancel()
	told := ""
	for pause := firstLook; ; pause = min(2*pause, lastLook) {
		up, err := a.ask(limited)
		switch {
		case up:
			fault.Point("pods.network.joined")
			if told != "" {
				a.explain("")
			}
			a.events.Tell(ctx, EventJoined, "", log.Fields{"mode": a.wish.Mode})
			return nil
		case errdefs.IsNotImplemented(err):
			return &NotJoined{errors.New("its sandbox was made by an earlier docker-sd that knew no tunnels; create the pod again")}
		case err != nil && !errdefs.IsUnavailable(err):
			return &NotJoined{err}
		}
		reason := a.reason(err)
		if reason != told {
			told = reason
			a.explain("joining the network of its cluster: " + reason)
		}
		if retry.Pause(limited, pause) == nil {
			continue
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return &NotJoined{fmt.Errorf("within %s: %s", a.limit, reason)}
	}
}

// ask has the init told the wish, unless it has accepted it, and looks at the tunnel.
func (a *Attempt) ask(ctx context.Context) (up bool, err error) {
	if !a.asked {
		if err := a.init.OpenTunnel(ctx, a.wish.Tunnel); err != nil {
			return false, err
		}
		fault.Point("pods.network.asked")
		a.asked = true
	}
	state, err := a.init.TunnelState(ctx)
	if err != nil {
		return false, err
	}
	a.asked = state.Wanted // an init that was started again has forgotten it
	a.mu.Lock()
	defer a.mu.Unlock()
	a.state, a.lost = state, a.lost && !state.Up
	return state.Up, nil
}

// see notes how the network is.
func (j *Joining) see(state initapi.TunnelState, lost bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.state, j.lost = state, lost
}

// last is what was seen last.
func (j *Joining) last() (state initapi.TunnelState, lost bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.state, j.lost
}

// reason is why the tunnel is not up, with err of the last question.
func (j *Joining) reason(err error) string {
	if err != nil && !errors.Is(err, context.DeadlineExceeded) {
		return err.Error()
	}
	state, _ := j.last()
	return cmp.Or(state.Error, "the server "+j.wish.Tunnel.Server+" has not answered yet")
}

// watch looks at the tunnel until ctx ends, and tells when it is lost and when it is back.
// The pod goes on without it: its probes decide.
func (a *Attempt) watch(ctx context.Context) {
	for up := a.err == nil; retry.Pause(ctx, watchLook) == nil; {
		now, err := a.ask(ctx)
		if err != nil || now == up {
			continue
		}
		if up = now; up {
			a.events.Tell(ctx, EventJoined, "", log.Fields{"mode": a.wish.Mode})
		} else {
			a.tellLost(ctx, a.reason(nil))
		}
	}
}

// tellLost tells that the pod runs without the network of its cluster.
func (a *Attempt) tellLost(ctx context.Context, reason string) {
	state, _ := a.last()
	a.see(state, true)
	log.G(ctx).WithField("reason", reason).Warn("the pod has lost the network of its cluster, and goes on without it")
	a.events.Report(ctx, EventCutOff, "", log.Fields{"mode": a.wish.Mode})
}

// ShowTrouble adds to statuses that the network is lost, and changes no state. A container
// that runs has no message (protocol 2.2): the list of pods on this node has it.
func (j *Joining) ShowTrouble(statuses map[string]v1.ContainerStatus) {
	if j == nil {
		return
	}
	state, lost := j.last()
	if !lost {
		return
	}
	for name, status := range statuses {
		if status.State.Waiting != nil {
			podstatus.AddTrouble(&status, "the network of its cluster is lost: "+cmp.Or(state.Error, "the server does not answer"))
			statuses[name] = status
		}
	}
}

// View is what operators see of it: nothing that is secret.
func (j *Joining) View() *podstatus.NetworkView {
	if j == nil {
		return nil
	}
	state, _ := j.last()
	out := &podstatus.NetworkView{Mode: string(j.wish.Mode), Server: j.wish.Tunnel.Server, Address: j.wish.Address, Up: state.Up,
		Changed: state.Changed, Handshake: state.Handshake, Received: state.Received, Sent: state.Sent,
		Reconnections: state.Reconnections, Starts: state.Starts}
	if !out.Up {
		out.Error = state.Error
	}
	return out
}
