package inside

import (
	"slices"
	"strings"
	"time"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/admin"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/pods"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/podspec"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/podstatus"
)

// Describe says all that is known of a pod, without values of variables.
func (i *Inside) Describe(uid types.UID) (admin.Description, error) {
	e, err := i.Enter(uid)
	if err != nil {
		return admin.Description{}, err
	}
	spec := e.Spec.DeepCopy()
	out := admin.Description{Pod: e.View, Labels: spec.Labels, RestartPolicy: spec.Spec.RestartPolicy, QOSClass: podspec.QOSClass(spec),
		Conditions: conditions(e), Volumes: spec.Spec.Volumes}
	for at, c := range podspec.Containers(spec) {
		for n := range c.Env {
			c.Env[n].Value = ""
		}
		out.Containers = append(out.Containers, admin.DescribedContainer{Init: at < len(spec.Spec.InitContainers), Spec: c, Status: e.Statuses[c.Name]})
	}
	events, steps := i.Journal.Of(uid)
	out.Events, out.Timeline = events, timeline(e, steps)
	return out, nil
}

// conditions of a pod, as kubelet has them.
func conditions(e pods.Entry) []v1.PodCondition {
	initialized := true
	for i := range e.Spec.Spec.InitContainers {
		c := &e.Spec.Spec.InitContainers[i]
		status := e.Statuses[c.Name]
		end := status.State.Terminated
		done := end != nil && end.ExitCode == 0
		if podspec.IsSidecar(c) {
			done = status.State.Running != nil && status.Started != nil && *status.Started || end != nil
		}
		initialized = initialized && done
	}
	ready := true
	for i := range e.Spec.Spec.Containers {
		ready = ready && e.Statuses[e.Spec.Spec.Containers[i].Name].Ready
	}
	over := e.View.Phase == podstatus.PhaseSucceeded || e.View.Phase == podstatus.PhaseFailed
	condition := func(kind v1.PodConditionType, is bool) v1.PodCondition {
		out := v1.PodCondition{Type: kind, Status: v1.ConditionFalse}
		if is {
			out.Status = v1.ConditionTrue
		} else if over {
			out.Reason = "Pod" + strings.ToUpper(string(e.View.Phase[:1])) + string(e.View.Phase[1:])
		}
		return out
	}
	return []v1.PodCondition{
		condition(v1.PodReadyToStartContainers, e.Sandbox != nil),
		condition(v1.PodInitialized, initialized),
		condition(v1.PodReady, ready),
		condition(v1.ContainersReady, ready),
		condition(v1.PodScheduled, true),
	}
}

// timeline puts together what is known of a pod's start: its record, the steps that this run
// of docker-sd has seen, and the statuses of its containers.
func timeline(e pods.Entry, steps []admin.Moment) []admin.Moment {
	out := append([]admin.Moment{{Time: e.View.Created, What: "admitted"}}, steps...)
	for _, c := range podspec.Containers(e.Spec) {
		status := e.Statuses[c.Name]
		began := time.Time{}
		switch {
		case status.State.Running != nil:
			began = status.State.Running.StartedAt.Time
		case status.State.Terminated != nil:
			began = status.State.Terminated.StartedAt.Time
		case status.LastTerminationState.Terminated != nil:
			began = status.LastTerminationState.Terminated.StartedAt.Time
		}
		if !began.IsZero() {
			out = append(out, admin.Moment{Time: began, What: "started", Container: c.Name})
		}
		if at := e.Ready[c.Name]; status.Ready && !at.IsZero() {
			out = append(out, admin.Moment{Time: at, What: "ready", Container: c.Name})
		}
		if end := status.State.Terminated; end != nil && !end.FinishedAt.IsZero() {
			out = append(out, admin.Moment{Time: end.FinishedAt.Time, What: admin.MomentEnded, Container: c.Name})
		}
	}
	slices.SortStableFunc(out, func(a, b admin.Moment) int { return a.Time.Compare(b.Time) })
	return out
}
