package accelerators

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	v1 "k8s.io/api/core/v1"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/engine"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/gpu"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/gpu/inject"
)

// Broker gives accelerators to pods in the form that pods keep them: what a pod
// holds is JSON for its record.
type Broker struct {
	ledger   *gpu.Ledger
	injector inject.Injector
	// off says that the node gives out no accelerators at all; containers are left
	// as they are then.
	off bool
}

// Reserve gives a pod all that it asks for, or nothing; see gpu.Ledger.Reserve.
func (b Broker) Reserve(pod *v1.Pod) (json.RawMessage, error) {
	request, err := gpu.RequestFor(pod)
	if err != nil {
		return nil, err
	}
	assignment, err := b.ledger.Reserve(string(pod.UID), request)
	if err != nil || assignment.Empty() {
		return nil, err
	}
	held, err := json.Marshal(assignment)
	if err != nil {
		return nil, fmt.Errorf("encode the devices of pod %s: %w", pod.UID, err)
	}
	return held, nil
}

// Claim marks what a pod holds as taken after a restart; see gpu.Ledger.Claim.
func (b Broker) Claim(podUID string, held json.RawMessage) error {
	assignment, err := gpu.ParseAssignment(held)
	if err != nil {
		return err
	}
	return b.ledger.Claim(podUID, assignment)
}

// ClaimUnknown keeps all devices back from others; see gpu.Ledger.ClaimUnknown.
func (b Broker) ClaimUnknown(podUID string) { b.ledger.ClaimUnknown(podUID) }

// Release gives back all that a pod holds.
func (b Broker) Release(podUID string) { b.ledger.Release(podUID) }

// Inject adds to a container's spec what it needs for the devices it was given.
// With none it makes sure that it sees none. The image's variables are those that
// the container starts from.
func (b Broker) Inject(held json.RawMessage, container string, imageEnv []string, spec *engine.Spec) error {
	if b.off {
		return nil
	}
	assignment, err := gpu.ParseAssignment(held)
	if err != nil {
		return err
	}
	devices, err := b.ledger.Devices(assignment, container)
	if err != nil {
		return err
	}
	in, err := b.injector.Container(devices)
	if err != nil {
		return err
	}
	in.Apply(imageEnv, spec)
	return nil
}

// Health tells of devices that failed while a container holds them: each of its
// devices in the field of a container status that Kubernetes has for this, and a
// sentence. Both are empty if all are well.
func (b Broker) Health(podUID, container string) ([]v1.ResourceStatus, string) {
	var parts []string
	byResource := map[string][]v1.ResourceHealth{}
	for _, d := range b.ledger.Health(podUID, container) {
		shown := v1.ResourceHealth{ResourceID: v1.ResourceID(d.UUID), Health: v1.ResourceHealthStatusHealthy}
		if d.Trouble != "" {
			parts = append(parts, "device "+d.Trouble)
			shown.Health, shown.Message = v1.ResourceHealthStatusUnhealthy, &d.Trouble
		}
		if d.Offered != "" {
			byResource[d.Offered] = append(byResource[d.Offered], shown)
		}
	}
	if len(parts) == 0 {
		return nil, ""
	}
	var statuses []v1.ResourceStatus
	for _, name := range slices.Sorted(maps.Keys(byResource)) {
		statuses = append(statuses, v1.ResourceStatus{Name: v1.ResourceName(name), Resources: byResource[name]})
	}
	return statuses, strings.Join(parts, "; ")
}
