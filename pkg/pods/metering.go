package pods

import (
	"context"
	"time"

	"github.com/containerd/containerd/log"
	"github.com/docker/go-units"
	v1 "k8s.io/api/core/v1"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/eviction"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/fault"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/lifecycle"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/podspec"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/podstatus"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/records"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/sandbox"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/usage"
)

// Meter adds up what pods use. Its methods read and write a few small files.
type Meter interface {
	// Began is told of a pod that has not ended, new or of an earlier run.
	Began(podUID string)
	// Placed is told of the pod's sandbox, by the id of its container, and since when the pod
	// may have one. fresh says that nothing of the pod has run there yet.
	Placed(podUID, sandbox string, since time.Time, fresh bool)
	// Settle says what a pod has used, at its end; false, that it has said so before.
	Settle(e usage.Ending) (usage.Bill, bool, error)
	// Forget is told of a pod that is gone.
	Forget(podUID string)
}

// unmetered is a Meter that measures nothing.
type unmetered struct{}

func (unmetered) Began(string)                                  {}
func (unmetered) Placed(string, string, time.Time, bool)        {}
func (unmetered) Settle(usage.Ending) (usage.Bill, bool, error) { return usage.Bill{}, false, nil }
func (unmetered) Forget(string)                                 {}

// metered is what the meter is told of one pod.
type metered struct{ *pod }

// begin is for a pod that may still use something. One whose containers have all ended was
// settled before that was written down.
func (p metered) begin() {
	r := p.record.Load()
	if !r.Stage.Over() && len(r.Ended) < len(podspec.Containers(p.spec)) {
		p.node.config.Meter.Began(string(p.spec.UID))
	}
}

func (p metered) placed(s *sandbox.Sandbox, fresh bool) {
	since, r := time.Now(), p.record.Load()
	if r.Stage.Over() {
		return // only its logs are still there
	}
	if !fresh {
		since = r.Since
	}
	p.node.config.Meter.Placed(string(p.spec.UID), s.ID, since, fresh)
}

// phaseDeleted is that of a pod which was deleted before it ended.
const phaseDeleted = "deleted"

// settle says what the pod has used, for its last line in the log; nothing, if it has done
// so before. The pod still has its sandbox and its devices then.
func (p metered) settle(ctx context.Context, phase string) log.Fields {
	r := p.record.Load()
	bill, settled, err := p.node.config.Meter.Settle(usage.Ending{UID: string(p.spec.UID), Namespace: p.spec.Namespace, Name: p.spec.Name,
		Phase: phase, Created: r.Since, Age: r.Age(records.Now(), time.Now())})
	if err != nil {
		log.G(ctx).WithError(err).Warn("what a pod has used could not be written down, that is tried again")
	}
	if !settled {
		return log.Fields{}
	}
	fault.Point("pods.usage.settled")
	fields := log.Fields{"cpu": duration(bill.CPUSeconds), "peakMemory": units.BytesSize(float64(bill.PeakMemoryBytes))}
	if len(bill.Devices) > 0 {
		fields["gpu"], fields["gpuBusy"] = duration(bill.DeviceSeconds), duration(bill.DeviceBusySeconds)
	}
	return fields
}

func duration(seconds float64) time.Duration {
	return time.Duration(seconds * float64(time.Second)).Round(time.Millisecond)
}

// outcomePhase is the phase of a pod whose containers have all ended.
func (o outcome) outcomePhase() string {
	statuses, _ := o.statuses.Snapshot()
	return string(podstatus.PhaseOf(o.spec, statuses, true, false))
}

// keepStorage shows what was measured of the pod's disk usage: its folder, and its containers.
func (p metered) keepStorage(folder int64, containers []eviction.Container) {
	out := &usage.Storage{Time: time.Now(), Bytes: folder, Containers: map[string]int64{}}
	for _, c := range containers {
		out.Bytes += c.Used
		out.Containers[c.Name] = c.Used
	}
	p.storage.Store(out)
}

// Subjects lists the pods that have a sandbox and have not ended, with what may run of them.
func Subjects(m *Manager) []usage.Subject {
	m.mu.Lock()
	kept := make([]*pod, 0, len(m.pods))
	for _, p := range m.pods {
		kept = append(kept, p)
	}
	m.mu.Unlock()
	var out []usage.Subject
	for _, p := range kept {
		s := p.sandbox.Load()
		statuses, ended := p.statuses.Snapshot()
		if stage := p.record.Stage(); s == nil || ended && stage != lifecycle.StageStopping {
			continue
		}
		subject := usage.Subject{UID: p.spec.UID, Namespace: p.spec.Namespace, Name: p.spec.Name, Sandbox: s.ID, Storage: p.storage.Load()}
		for i, c := range podspec.Containers(p.spec) {
			run := runOf(&c, statuses[c.Name])
			now, _ := p.statuses.Instance(c.Name)
			run.ID, run.Init = now.ID, i < len(p.spec.Spec.InitContainers)
			subject.Containers = append(subject.Containers, run)
		}
		out = append(out, subject)
	}
	return out
}

// runOf describes a container.
func runOf(c *v1.Container, status v1.ContainerStatus) usage.Run {
	run := usage.Run{Name: c.Name, Image: c.Image, MemoryLimitBytes: c.Resources.Limits.Memory().Value(), CPULimit: c.Resources.Limits.Cpu().AsApproximateFloat64()}
	if running := status.State.Running; running != nil {
		run.Started = running.StartedAt.Time
	}
	return run
}
