package pods

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/containerd/containerd/log"
	"github.com/containerd/errdefs"
	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/engine"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/fault"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/probes"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/retry"
)

// attendant runs the postStart hook and the probes of one running instance.
type attendant struct {
	cancel context.CancelFunc
	group  sync.WaitGroup
	// killed says why docker-sd itself stopped the instance; read after stop.
	killed string
}

func (a *attendant) stop() {
	a.cancel()
	a.group.Wait()
}

// noteStart shows when the engine says that an instance started, as a docker-sd
// that takes the pod over will: engines differ in what they call its start, and
// none tells it in the answer to the call.
func (r *runner) noteStart(ctx context.Context, id string) {
	seen, err := r.s.Engine.Inspect(ctx, id)
	if err != nil || seen.State.StartedAt.IsZero() {
		return // it is a moment off
	}
	r.p.statuses.Update(r.spec.Name, func(s *v1.ContainerStatus) {
		if s.State.Running != nil {
			s.State.Running = &v1.ContainerStateRunning{StartedAt: metav1.NewTime(seen.State.StartedAt)}
		}
	})
}

// attend marks an instance as running and starts what accompanies it. An
// adopted one had its hook already.
func (r *runner) attend(ctx context.Context, seen engine.Container, adopted bool) *attendant {
	r.p.statuses.Update(r.spec.Name, func(s *v1.ContainerStatus) {
		s.State = v1.ContainerState{Running: &v1.ContainerStateRunning{StartedAt: metav1.NewTime(seen.State.StartedAt)}}
	})
	if !adopted {
		r.p.tell(ctx, EventStarted, r.spec.Name, log.Fields{"attempt": r.attempt})
	}
	if !r.init {
		r.p.running(nil)
	}
	r.p.settled()
	watched, cancel := context.WithCancel(ctx)
	a := &attendant{cancel: cancel}
	if !adopted {
		a.group.Go(func() { r.noteStart(watched, seen.ID) })
	}
	a.group.Go(func() {
		if hook := r.spec.Lifecycle; !adopted && hook != nil && hook.PostStart != nil {
			if err := r.p.target(r.s.Sandbox, r.spec, seen.ID).Hook(watched, hook.PostStart); err != nil && watched.Err() == nil {
				a.kill(ctx, r, fmt.Sprintf("postStart hook failed: %s", err), nil)
				return
			}
			fault.Point("pods.container.hooked")
		}
		target := r.p.target(r.s.Sandbox, r.spec, seen.ID)
		target.StartedAt, target.Started = seen.State.StartedAt, adopted && hadToStart(r.spec, seen.State.StartedAt)
		var sick *probes.Unhealthy
		probes.Run(watched, target, probes.Callbacks{
			Started: func(ok bool) { r.p.statuses.Update(r.spec.Name, func(s *v1.ContainerStatus) { s.Started = &ok }) },
			Ready:   func(ok bool) { r.p.statuses.Update(r.spec.Name, func(s *v1.ContainerStatus) { s.Ready = ok }) },
			Event: func(kind probes.Kind, result probes.Result) {
				log.G(ctx).WithField("container", r.spec.Name).WithField("outcome", result.Outcome.String()).
					Debug(string(kind) + " probe")
			},
			Unhealthy: func(u probes.Unhealthy) { sick = &u },
		})
		if sick != nil {
			a.kill(ctx, r, fmt.Sprintf("%s probe failed: %s", sick.Probe, sick.Message), sick.TerminationGracePeriodSeconds)
		}
	})
	return a
}

// hadToStart says whether an adopted container's startup probe must have
// succeeded: one that lives longer than the probe would have let it. Running the
// probe again could kill a healthy container.
func hadToStart(c *v1.Container, began time.Time) bool {
	probe := c.StartupProbe
	if probe == nil {
		return true
	}
	window := cmp.Or(probe.PeriodSeconds, 10)*cmp.Or(probe.FailureThreshold, 3) + probe.InitialDelaySeconds + cmp.Or(probe.TimeoutSeconds, 1)
	return time.Since(began) > time.Duration(window)*time.Second
}

// kill stops the instance, and tries again until it has: an engine may be away just
// then, and nobody else would.
func (a *attendant) kill(ctx context.Context, r *runner, why string, grace *int64) {
	now, _ := r.p.statuses.Instance(r.spec.Name)
	tries := retry.New(time.Second, 5*time.Second)
	for {
		seen, err := r.s.Engine.Inspect(ctx, now.ID)
		if err == nil && seen.State.Alive() {
			break
		}
		if err == nil || errdefs.IsNotFound(err) {
			return // it ended by itself meanwhile, which is its own reason
		}
		if tries.Failed(ctx, "a container that is to be stopped cannot be looked at, trying again", err) != nil {
			return
		}
	}
	a.killed = why
	// Not why: a probe's output may hold what must not be logged.
	log.G(ctx).WithField("container", r.spec.Name).Warn("container is stopped because a probe or its postStart hook failed")
	r.p.report(ctx, EventUnhealthy, r.spec.Name, nil)
	r.p.statuses.Update(r.spec.Name, func(s *v1.ContainerStatus) { s.Ready = false })
	period := gracePeriod(r.p.spec, nil)
	if grace != nil {
		period = time.Duration(*grace) * time.Second
	}
	for {
		err := r.p.stopContainer(ctx, r.s.Sandbox, r.spec, period)
		if err == nil || tries.Failed(ctx, "a container could not be stopped, trying again", err) != nil {
			return
		}
	}
}

// oomNotice is how long after a container's end its engine may still hear that
// the kernel had killed it for its memory: moments, on a machine with much to do.
const oomNotice = 500 * time.Millisecond

// askWhy completes the state of a container that was killed while it had a bound
// on its memory. An engine that learns of the reason only after the end leaves it
// out: one of forty on a quiet machine (20.10).
func (r *runner) askWhy(ctx context.Context, id string, state engine.State) engine.State {
	if state.ExitCode != sigkilled || state.OOMKilled || state.StartedAt.IsZero() || r.spec.Resources.Limits.Memory().IsZero() {
		return state
	}
	killed, err := r.s.Engine.RanOutOfMemory(ctx, id, state.StartedAt, oomNotice)
	if err != nil {
		log.G(ctx).WithError(err).Debug("the engine does not tell why the container was killed")
	}
	state.OOMKilled = killed
	return state
}

// sigkilled is the exit code of a process that SIGKILL ended.
const sigkilled = 137

// ended describes an end as kubelet does. The caller overwrites the reason, so
// what matters is in the message as well (protocol 2.2).
func (r *runner) ended(state engine.State) v1.ContainerStateTerminated {
	now, _ := r.p.statuses.Instance(r.spec.Name)
	end := v1.ContainerStateTerminated{
		ExitCode:   int32(state.ExitCode),
		Reason:     "Completed",
		StartedAt:  metav1.NewTime(state.StartedAt),
		FinishedAt: metav1.NewTime(state.FinishedAt),
	}
	if now.ID != "" {
		end.ContainerID = engineID(now.ID)
	}
	if end.StartedAt.IsZero() {
		end.StartedAt = end.FinishedAt
	}
	if end.FinishedAt.Before(&end.StartedAt) {
		end.FinishedAt = end.StartedAt // the clock was set back while it ran
	}
	switch {
	case state.OOMKilled && state.ExitCode != 0:
		end.Reason = "OOMKilled"
		end.Message = "OOMKilled: the container used more memory than it may"
		if limit := r.spec.Resources.Limits.Memory(); !limit.IsZero() {
			end.Message += ", its limit is " + limit.String()
		}
	case state.Error != "":
		end.Reason = "StartError"
		end.Message = state.Error
	case state.ExitCode == sigkilled && !r.spec.Resources.Limits.Memory().IsZero():
		// One of forty again has no such event at all.
		end.Reason = "Error"
		end.Message = "the container was killed (SIGKILL); if it used more memory than its limit of " +
			r.spec.Resources.Limits.Memory().String() + ", that is why"
	case state.ExitCode != 0:
		end.Reason = "Error"
	}
	if r.diedWithSandbox(state) {
		// Its engine knows no more than that it is gone, and says 255.
		end.ExitCode, end.Reason, end.Message = 137, "Error", r.s.loss
	}
	if message := r.terminationMessage(state); message != "" {
		if end.Message != "" {
			end.Message += ": "
		}
		end.Message += message
	}
	return end
}

// diedWithSandbox says that a container began before its sandbox was started
// again, and was found ended only after that.
func (r *runner) diedWithSandbox(state engine.State) bool {
	return r.s != nil && r.s.loss != "" && state.StartedAt.Before(r.s.Started) && !state.FinishedAt.Before(r.s.Started)
}

// Bounds of a termination message, as in kubelet.
const (
	maxMessageBytes    = 4096
	maxFallbackBytes   = 2048
	maxFallbackLines   = 80
	terminationTimeout = 5 * time.Second
)

// terminationMessage is what the container wrote to its terminationMessagePath,
// or the end of its log after a failure if its policy says so.
func (r *runner) terminationMessage(state engine.State) string {
	if r.spec.TerminationMessagePath != "" {
		if f, err := os.Open(messagePath(r.s.Sandbox, r.spec.Name)); err == nil {
			defer f.Close()
			body, err := io.ReadAll(io.LimitReader(f, maxMessageBytes))
			if err == nil && len(body) > 0 {
				return printable(body)
			}
		}
	}
	now, _ := r.p.statuses.Instance(r.spec.Name)
	if r.spec.TerminationMessagePolicy != v1.TerminationMessageFallbackToLogsOnError || state.ExitCode == 0 || now.ID == "" {
		return ""
	}
	ctx, cancel := context.WithTimeout(r.p.m.life, terminationTimeout)
	defer cancel()
	var log bytes.Buffer
	if err := r.s.Engine.Logs(ctx, now.ID, engine.LogOptions{Tail: maxFallbackLines, TTY: r.spec.TTY}, &log); err != nil {
		return ""
	}
	body := log.Bytes()
	return printable(body[max(len(body)-maxFallbackBytes, 0):])
}

func printable(b []byte) string {
	return strings.ToValidUTF8(string(b), "\uFFFD")
}
