package probes

import (
	"context"
	"fmt"
	"sync"
	"time"

	v1 "k8s.io/api/core/v1"
)

// Kind is one of the three probes of a container.
type Kind string

// The probes of a container, by the words that users know.
const (
	Startup   Kind = "startup"
	Liveness  Kind = "liveness"
	Readiness Kind = "readiness"
)

// Unhealthy tells why a container must be killed.
type Unhealthy struct {
	// Probe is Startup or Liveness.
	Probe Kind
	// Message is a sentence for the user, at most 10 KiB.
	Message string
	// TerminationGracePeriodSeconds of the probe; when set, it replaces the one of the pod for this kill.
	TerminationGracePeriodSeconds *int64
}

// Callbacks receive what Run finds out. Each may be nil. They are called one at a time, never after Run has returned
// and not after its context has ended; Run waits for them, so they must not wait for Run.
type Callbacks struct {
	// Started is called with true, once, when the startup probe has succeeded, or at once without such a probe.
	Started func(bool)
	// Ready is called when readiness changes; a container begins as not ready.
	Ready func(bool)
	// Unhealthy is called at most once, when startup or liveness has failed failureThreshold times in a row. Run
	// returns after it; the caller kills the container and restarts it by policy.
	Unhealthy func(Unhealthy)
	// Event is called for every probe that failed, could not be made or succeeded with a warning, where kubelet
	// would post an event. It comes before the change that the probe brings about.
	Event func(Kind, Result)
}

// Run makes the probes of one instance of a container until ctx ends or the container is unhealthy, by the rules of
// kubelet: liveness and readiness wait until the container has started, each probe runs first after its
// initialDelaySeconds and then every periodSeconds, and only results in a row reach a threshold. Unknown results are
// not counted. Without a readiness probe the container is ready once it has started. Run returns after all its
// goroutines have ended, and as soon as nothing is left to probe.
func Run(ctx context.Context, t Target, on Callbacks) {
	if t.StartedAt.IsZero() {
		t.StartedAt = time.Now()
	}
	ctx, cancel := context.WithCancel(ctx)
	r := &runner{target: t, on: on, findings: make(chan finding)}
	defer r.workers.Wait()
	defer cancel()

	if t.Container.StartupProbe != nil && !t.Started {
		r.start(ctx, Startup, t.Container.StartupProbe)
	} else {
		r.started(ctx)
	}
	for r.watches() {
		select {
		case <-ctx.Done():
			return
		case f := <-r.findings:
			if ctx.Err() != nil || r.take(ctx, f) {
				return
			}
		}
	}
}

// runner belongs to the goroutine of Run; the workers only send on findings.
type runner struct {
	target   Target
	on       Callbacks
	findings chan finding
	workers  sync.WaitGroup
	up       bool
	ready    bool
}

// watches says whether there is anything left to probe.
func (r *runner) watches() bool {
	return !r.up || r.target.Container.LivenessProbe != nil || r.target.Container.ReadinessProbe != nil
}

// finding is one probe made by a worker. Decided says that its outcome has reached the threshold.
type finding struct {
	kind    Kind
	probe   *v1.Probe
	result  Result
	decided bool
}

func (r *runner) start(ctx context.Context, kind Kind, p *v1.Probe) {
	r.workers.Go(func() { watch(ctx, r.target, kind, p, r.findings) })
}

// started begins the second phase. Readiness is asked at once and not only at its next period, as kubelet does.
func (r *runner) started(ctx context.Context) {
	r.up = true
	if r.on.Started != nil {
		r.on.Started(true)
	}
	if p := r.target.Container.LivenessProbe; p != nil {
		r.start(ctx, Liveness, p)
	}
	if p := r.target.Container.ReadinessProbe; p != nil {
		r.start(ctx, Readiness, p)
	} else {
		r.setReady(true)
	}
}

func (r *runner) setReady(ready bool) {
	if ready == r.ready {
		return
	}
	r.ready = ready
	if r.on.Ready != nil {
		r.on.Ready(ready)
	}
}

// take acts on a finding and says whether it is the last one.
func (r *runner) take(ctx context.Context, f finding) (last bool) {
	if r.on.Event != nil && f.result != success("") {
		r.on.Event(f.kind, f.result)
	}
	healthy := f.result.Outcome == Success
	switch {
	case !f.decided:
		return false
	case f.kind == Readiness:
		r.setReady(healthy)
		return false
	case !healthy:
		r.unhealthy(f)
		return true
	case f.kind == Startup:
		r.started(ctx)
	}
	return false
}

func (r *runner) unhealthy(f finding) {
	if r.on.Unhealthy == nil {
		return
	}
	r.on.Unhealthy(Unhealthy{
		Probe: f.kind,
		Message: bounded(fmt.Sprintf("the %s probe failed %d times in a row: %s",
			f.kind, timingOf(f.probe).failureThreshold, f.result.Message)),
		TerminationGracePeriodSeconds: f.probe.TerminationGracePeriodSeconds,
	})
}

// watch makes one probe again and again and sends each finding. It ends with ctx, when the container has started, or
// when it is to be killed: no command may run in a container that is being stopped.
func watch(ctx context.Context, t Target, kind Kind, p *v1.Probe, findings chan<- finding) {
	timing := timingOf(p)
	// At most the delay: a start in the future is one before the clock was set back.
	if !sleep(ctx, min(time.Until(t.StartedAt.Add(timing.delay)), timing.delay)) {
		return
	}
	ticker := time.NewTicker(timing.period)
	defer ticker.Stop()
	var row streak
	for {
		result := t.Probe(ctx, p)
		f := finding{kind, p, result, row.add(result.Outcome, timing)}
		select {
		case <-ctx.Done():
			return
		case findings <- f:
		}
		if f.decided && (kind == Startup || kind == Liveness && result.Outcome == Failure) {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// sleep waits for d and says whether it could before ctx ended.
func sleep(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return ctx.Err() == nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

// streak counts equal outcomes in a row.
type streak struct {
	outcome Outcome
	length  int
}

// add counts o and says whether it has reached its threshold. An unknown outcome neither counts nor interrupts.
func (s *streak) add(o Outcome, t timing) (decided bool) {
	if o == Unknown {
		return false
	}
	if o != s.outcome {
		*s = streak{outcome: o}
	}
	s.length++
	if o == Success {
		return s.length >= t.successThreshold
	}
	return s.length >= t.failureThreshold
}
