package pods

import (
	"context"
	"errors"
	"maps"
	"os"
	"time"

	"github.com/containerd/containerd/log"
	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/fault"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/lifecycle"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/podstatus"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/records"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/volumes"
)

// outcome is how a pod ends: what is kept of that, and what the pod gives up by it.
type outcome struct{ *pod }

// fail ends what has not ended with one state.
func (o outcome) fail(ctx context.Context, end v1.ContainerStateTerminated) {
	end.FinishedAt = metav1.Now()
	o.statuses.EndRemaining(func(status v1.ContainerStatus) v1.ContainerState {
		state := end
		state.ContainerID = status.ContainerID
		if running := status.State.Running; running != nil {
			state.StartedAt = running.StartedAt
		} else {
			state.StartedAt = end.FinishedAt
		}
		return v1.ContainerState{Terminated: &state}
	})
	log.G(ctx).WithField("reason", end.Reason).Warn("pod failed: " + end.Message)
	o.conclude(ctx)
}

// conclude keeps the outcome on disk and releases what only a living pod needs.
func (o outcome) conclude(ctx context.Context) {
	o.keepTrouble()
	o.statuses.MarkEnded()
	used := metered(o).settle(ctx, o.outcomePhase())
	statuses, _ := o.statuses.Snapshot()
	final := make([]v1.ContainerStatus, 0, len(statuses))
	for _, status := range statuses {
		final = append(final, status)
	}
	if err := o.record.Note(func(r *records.Record) {
		r.Stage, r.Ended, r.Devices = r.Stage.Reach(lifecycle.StageEnded), final, nil
		r.ForgetData()
	}); err != nil {
		log.G(ctx).WithError(err).Warn("the pod's outcome could not be saved")
	}
	fault.Point("pods.outcome.recorded")
	o.letGoOfDevices(ctx)
	o.containers.Images.Secrets = nil
	o.removeData(ctx)
	o.running(errNeverRan)
	maps.Copy(used, o.fields())
	o.events.Tell(ctx, EventEnded, "", used)
}

// removeData removes the files of ConfigMaps and Secrets that the pod's volumes have: none
// of its containers runs again. What is left goes with the pod's delete.
func (o outcome) removeData(ctx context.Context) {
	folder, err := os.Readlink(o.link())
	if err == nil {
		err = volumes.RemoveData(ctx, folder)
	}
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		log.G(ctx).WithError(err).Warn("data of a pod that has ended is left on disk until the pod is deleted")
	}
}

// letGoOfDevices gives back what the pod holds, once its end is on disk.
func (o outcome) letGoOfDevices(ctx context.Context) {
	if err := o.node.store.RemoveDevices(o.spec.UID); err != nil {
		log.G(ctx).WithError(err).Warn("a copy of what the ended pod held is left")
	}
	o.node.accelerators.Release(string(o.spec.UID))
	fault.Point("pods.outcome.released")
}

// fields say how a pod ended and when.
func (o outcome) fields() log.Fields {
	statuses, ended := o.statuses.Snapshot()
	return log.Fields{"phase": podstatus.PhaseOf(o.spec, statuses, ended, false), "after": o.record.Load().Age(records.Now(), time.Now()).Round(time.Millisecond)}
}
