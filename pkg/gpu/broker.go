package gpu

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	v1 "k8s.io/api/core/v1"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/engine"
)

// Broker gives accelerators to pods in the form that pods keep them: what a pod
// holds is JSON for its record.
type Broker struct {
	Ledger   *Ledger
	Injector Injector
	// Off says that the node gives out no accelerators at all; containers are left
	// as they are then.
	Off bool
}

// Reserve gives a pod all that it asks for, or nothing; see Ledger.Reserve.
func (b Broker) Reserve(pod *v1.Pod) (json.RawMessage, error) {
	request, err := RequestFor(pod)
	if err != nil {
		return nil, err
	}
	assignment, err := b.Ledger.Reserve(string(pod.UID), request)
	if err != nil || assignment.Empty() {
		return nil, err
	}
	held, err := json.Marshal(assignment)
	if err != nil {
		return nil, fmt.Errorf("encode the devices of pod %s: %w", pod.UID, err)
	}
	return held, nil
}

// Claim marks what a pod holds as taken after a restart; see Ledger.Claim.
func (b Broker) Claim(podUID string, held json.RawMessage) error {
	assignment, err := decodeHeld(held)
	if err != nil {
		return err
	}
	return b.Ledger.Claim(podUID, assignment)
}

// ClaimUnknown keeps all devices back from others; see Ledger.ClaimUnknown.
func (b Broker) ClaimUnknown(podUID string) { b.Ledger.ClaimUnknown(podUID) }

// Release gives back all that a pod holds.
func (b Broker) Release(podUID string) { b.Ledger.Release(podUID) }

// Inject adds to a container's spec what it needs for the devices it was given.
// With none it makes sure that it sees none. The image's variables are those that
// the container starts from.
func (b Broker) Inject(held json.RawMessage, container string, imageEnv []string, spec *engine.Spec) error {
	if b.Off {
		return nil
	}
	assignment, err := decodeHeld(held)
	if err != nil {
		return err
	}
	devices, err := b.Ledger.Devices(assignment, container)
	if err != nil {
		return err
	}
	in, err := b.Injector.Container(devices)
	if err != nil {
		return err
	}
	in.apply(imageEnv, spec)
	return nil
}

// Health tells of devices that failed while a container holds them: each of its
// devices in the field of a container status that Kubernetes has for this, and a
// sentence. Both are empty if all are well.
func (b Broker) Health(podUID, container string) ([]v1.ResourceStatus, string) {
	var parts []string
	byResource := map[string][]v1.ResourceHealth{}
	for _, d := range b.Ledger.Health(podUID, container) {
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

// decodeHeld reads what a pod holds from its record. JSON that cannot be read is an error.
func decodeHeld(held json.RawMessage) (Assignment, error) {
	var assignment Assignment
	if len(held) == 0 {
		return assignment, nil
	}
	if err := json.Unmarshal(held, &assignment); err != nil {
		return assignment, fmt.Errorf("the record of a pod's devices is damaged: %w", err)
	}
	return assignment, nil
}

// apply puts an injection into an engine's terms.
func (in Injection) apply(imageEnv []string, spec *engine.Spec) {
	spec.Env = override(spec.Env, in.Env...)
	if len(in.LibraryPath) > 0 {
		folders := in.LibraryPath
		if own := lookup("LD_LIBRARY_PATH", imageEnv, spec.Env); own != "" {
			folders = append([]string{own}, folders...)
		}
		spec.Env = override(spec.Env, "LD_LIBRARY_PATH="+strings.Join(folders, ":"))
	}
	spec.Devices = append(spec.Devices, in.EngineDevices()...)
	spec.Mounts = append(spec.Mounts, in.EngineMounts()...)
	if in.Runtime != "" {
		spec.Runtime = in.Runtime
	}
	spec.CDIDevices = append(spec.CDIDevices, in.CDIDevices...)
}

// override appends variables in place of those of the same name: which of two
// equal names counts is up to each runtime and program.
func override(env []string, variables ...string) []string {
	out := slices.Clone(env)
	for _, variable := range variables {
		name, _, _ := strings.Cut(variable, "=")
		out = append(slices.DeleteFunc(out, func(old string) bool { return strings.HasPrefix(old, name+"=") }), variable)
	}
	return out
}

// lookup returns a variable's value from lists of which later ones win.
func lookup(name string, lists ...[]string) string {
	value := ""
	for _, variable := range slices.Concat(lists...) {
		if v, found := strings.CutPrefix(variable, name+"="); found {
			value = v
		}
	}
	return value
}

// EngineDevices are the injection's device nodes in the engine's terms.
func (in Injection) EngineDevices() []engine.Device {
	var list []engine.Device
	for _, d := range in.Devices {
		list = append(list, engine.Device{Host: d.Path, Container: d.Path, Permissions: d.Permissions})
	}
	return list
}

// EngineMounts are the injection's mounts in the engine's terms.
func (in Injection) EngineMounts() []engine.Mount {
	var list []engine.Mount
	for _, m := range in.Mounts {
		list = append(list, engine.Mount{Source: m.Source, Target: m.Target, ReadOnly: m.ReadOnly})
	}
	return list
}
