package containers

import (
	"bytes"
	"context"
	"io"
	"os"
	"strings"
	"time"

	"github.com/containerd/containerd/log"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/engine"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/podspec"
	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// oomNotice is how long after a container's end its engine may still hear that
// the kernel had killed it for its memory: moments, on a machine with much to do.
const oomNotice = 500 * time.Millisecond

// confirmOOM completes the state of a container that was killed while it had a bound
// on its memory. An engine that learns of the reason only after the end leaves it
// out: one of forty on a quiet machine (20.10).
func (r *runner) confirmOOM(ctx context.Context, id string, state engine.State) engine.State {
	if state.ExitCode != sigkilled || state.OOMKilled || state.StartedAt.IsZero() || memoryLimit(r.p.Spec, r.spec) == "" {
		return state
	}
	killed, err := r.s.Engine.RanOutOfMemory(ctx, id, state.StartedAt, oomNotice)
	if err != nil {
		log.G(ctx).WithError(err).Debug("the engine does not tell why the container was killed")
	}
	state.OOMKilled = killed
	return state
}

// memoryLimit is the limit of a container in words, "" if it has none. What its pod as a
// whole may use can be the reason as well.
func memoryLimit(pod *v1.Pod, c *v1.Container) string {
	limit := podspec.Limit(pod, c, v1.ResourceMemory)
	switch whole := podspec.PodLimit(pod, v1.ResourceMemory); {
	case limit.IsZero():
		return ""
	case whole.IsZero():
		return limit.String()
	case limit.Cmp(whole) == 0:
		return whole.String() + ", for all containers of the pod together"
	default:
		return limit.String() + ", and " + whole.String() + " for all containers of the pod together"
	}
}

// sigkilled is the exit code of a process that SIGKILL ended.
const sigkilled = 137

// terminatedState describes an end as kubelet does. The caller overwrites the reason, so
// what matters is in the message as well (protocol 2.2).
func (r *runner) terminatedState(state engine.State) v1.ContainerStateTerminated {
	now, _ := r.p.Statuses.Instance(r.spec.Name)
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
		if limit := memoryLimit(r.p.Spec, r.spec); limit != "" {
			end.Message += ", its limit is " + limit
		}
	case state.Error != "":
		end.Reason = "StartError"
		end.Message = state.Error
	case state.ExitCode == sigkilled && memoryLimit(r.p.Spec, r.spec) != "":
		// One of forty again has no such event at all.
		end.Reason = "Error"
		end.Message = "the container was killed (SIGKILL), perhaps because it used more memory than it may: its limit is " +
			memoryLimit(r.p.Spec, r.spec)
	case state.ExitCode != 0:
		end.Reason = "Error"
	}
	if r.diedWithSandbox(state) {
		// Its engine knows no more than that it is gone, and says 255.
		end.ExitCode, end.Reason, end.Message = sigkilled, "Error", r.s.Loss
		if stopped := metav1.NewTime(r.s.Stopped); end.StartedAt.Before(&stopped) {
			end.FinishedAt = stopped
		}
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
	return r.s != nil && !state.StartedAt.IsZero() && state.StartedAt.Before(r.s.Started) && !state.FinishedAt.Before(r.s.Started)
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
	now, _ := r.p.Statuses.Instance(r.spec.Name)
	if r.spec.TerminationMessagePolicy != v1.TerminationMessageFallbackToLogsOnError || state.ExitCode == 0 || now.ID == "" {
		return ""
	}
	ctx, cancel := context.WithTimeout(r.p.Life, terminationTimeout)
	defer cancel()
	var log bytes.Buffer
	if err := r.s.Engine.Logs(ctx, now.ID, engine.LogOptions{Tail: maxFallbackLines, TTY: r.spec.TTY}, &log); err != nil {
		return ""
	}
	body := log.Bytes()
	return printable(body[max(len(body)-maxFallbackBytes, 0):])
}

// printable is text that JSON can carry.
func printable(b []byte) string {
	return strings.ToValidUTF8(string(b), "\uFFFD")
}
