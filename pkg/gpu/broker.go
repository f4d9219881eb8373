package gpu

import (
	"encoding/json"
	"fmt"
	"strings"

	v1 "k8s.io/api/core/v1"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/engine"
)

// Broker gives accelerators to pods in the form that pods keep them: what a pod
// holds is JSON for its record.
type Broker struct {
	Ledger   *Ledger
	Injector Injector
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

// Release gives back all that a pod holds.
func (b Broker) Release(podUID string) { b.Ledger.Release(podUID) }

// Inject adds to a container's spec what it needs for the devices it was given.
// With none it makes sure that it sees none.
func (b Broker) Inject(held json.RawMessage, container string, spec *engine.Spec) error {
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
	in.apply(spec)
	return nil
}

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

// apply puts an injection into an engine's terms. Later variables win.
func (in Injection) apply(spec *engine.Spec) {
	spec.Env = append(spec.Env, in.Env...)
	for _, d := range in.Devices {
		spec.Devices = append(spec.Devices, engine.Device{Host: d.Path, Container: d.Path, Permissions: d.Permissions})
	}
	for _, m := range in.Mounts {
		spec.Mounts = append(spec.Mounts, engine.Mount{Source: m.Source, Target: m.Target, ReadOnly: m.ReadOnly})
	}
	if len(in.LibraryPath) > 0 {
		path := strings.Join(in.LibraryPath, ":")
		for _, variable := range spec.Env {
			if before, found := strings.CutPrefix(variable, "LD_LIBRARY_PATH="); found && before != "" {
				path = before + ":" + path
			}
		}
		spec.Env = append(spec.Env, "LD_LIBRARY_PATH="+path)
	}
	if in.Runtime != "" {
		spec.Runtime = in.Runtime
	}
	spec.CDIDevices = append(spec.CDIDevices, in.CDIDevices...)
}
