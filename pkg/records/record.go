// Package records keeps on disk what docker-sd has to know of a pod after a crash or a
// loss of power: the pod's record, a copy of what it holds of devices, and its tombstone
// once it is deleted.
package records

import (
	"encoding/json"
	"time"

	v1 "k8s.io/api/core/v1"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/clusternet"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/lifecycle"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/podspec"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/volumes"
)

// Record is what is kept of a pod: what was asked, how far its life has come, and how
// it ended. What its containers do is not stored, it is read from the sandbox's engine.
// Records hold secrets and are readable by their owner only.
type Record struct {
	Pod  *v1.Pod      `json:"pod"`
	Data volumes.Data `json:"data"`
	JID  string       `json:"jid"`
	// Stage that the pod has reached.
	Stage lifecycle.Stage `json:"stage"`
	// Sandbox is the pool name of the pod's sandbox.
	Sandbox string `json:"sandbox"`
	// Replaced is the sandbox that was lost, until it is known to be gone.
	Replaced string    `json:"replaced,omitempty"`
	Since    time.Time `json:"since"`
	// Network says that the pod joins the network of its cluster, as its annotations say.
	Network bool `json:"network,omitempty"`
	// Runtime is how the pod is run, as the configuration had it when the pod was created.
	Runtime podspec.RuntimeClass `json:"runtime,omitzero"`
	// Began is the same moment as Since, by the kernel. Records from before it was
	// kept have none.
	Began Moment `json:"began,omitzero"`
	// Devices that the pod holds, by container, until it has ended; opaque to this
	// package.
	Devices json.RawMessage `json:"devices,omitempty"`
	// Grace is how many seconds the containers of a deleted pod have to stop.
	Grace int64 `json:"grace,omitempty"`
	// End is the reason for which the pod is ended, whatever its containers make of
	// being stopped.
	End *v1.ContainerStateTerminated `json:"end,omitempty"`
	// Ended are the last statuses of containers that have ended for good: all of them
	// once the pod has ended, before that those that ended in a sandbox that was lost.
	Ended []v1.ContainerStatus `json:"ended,omitempty"`
}

// ForgetData drops what only containers need: the ConfigMaps and Secrets that came with the
// pod, the values of variables, which are those of Secrets as well (protocol 5.1), and
// the keys of the pod's tunnel.
func (r *Record) ForgetData() {
	r.Data, r.Pod = volumes.Data{}, r.Pod.DeepCopy()
	clusternet.Forget(r.Pod)
	for _, list := range [][]v1.Container{r.Pod.Spec.InitContainers, r.Pod.Spec.Containers} {
		for i := range list {
			list[i].Env = nil
		}
	}
}

// Age of a pod: by the kernel's time where the record is of this boot, and
// otherwise by the clock, which may have been set meanwhile.
func (r Record) Age(at Moment, clock time.Time) time.Duration {
	if r.Began.Boot != "" && r.Began.Boot == at.Boot {
		return at.Up - r.Began.Up
	}
	return max(clock.Sub(r.Since), 0)
}

// Rebooted says that the host was started again since the record was made.
func (r Record) Rebooted(at Moment) bool {
	return r.Began.Boot != "" && at.Boot != "" && r.Began.Boot != at.Boot
}
