package pods

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/podspec"
)

func numbered(i int) types.UID {
	return types.UID(fmt.Sprintf("00000000-0000-4000-8000-%012d", i))
}

// TestDeletesOfUnknownPodsAreBounded: each would be a file.
func TestDeletesOfUnknownPodsAreBounded(t *testing.T) {
	m := New(Config{Dir: t.TempDir(), MaxPods: 1, Tombstones: time.Hour}, nil, nil, nil)
	if err := m.store.Open(); err != nil {
		t.Fatal(err)
	}
	for i := range maxTombstones - 1 {
		m.tombstones[numbered(i)] = time.Now()
	}
	last := numbered(maxTombstones)
	for range 2 { // the second time is success as well
		if err := m.Delete(t.Context(), last, nil); err != nil {
			t.Fatal(err)
		}
	}
	if err := m.Delete(t.Context(), numbered(maxTombstones+1), nil); !errdefs.IsResourceExhausted(err) || !strings.Contains(err.Error(), "TombstonePeriod") {
		t.Errorf("one more is answered with %v", err)
	}
	m.tombstones[numbered(0)] = time.Now().Add(-2 * time.Hour)
	if err := m.Delete(t.Context(), numbered(maxTombstones+1), nil); err != nil {
		t.Errorf("once one has expired: %v", err)
	}
}

// TestEndedPodsAreBounded: MaxPods counts only those that run.
func TestEndedPodsAreBounded(t *testing.T) {
	m := New(Config{MaxPods: 1, Tombstones: time.Hour}, nil, nil, nil)
	for i := range maxKept {
		spec := plainPod()
		spec.UID = numbered(i)
		p := m.newPod(spec)
		p.statuses.MarkEnded()
		m.pods[spec.UID] = p
	}
	if _, _, err := m.register(plainPod()); !errdefs.IsResourceExhausted(err) || !strings.Contains(err.Error(), "delete some") {
		t.Errorf("one more is answered with %v", err)
	}
	delete(m.pods, numbered(0))
	if _, fresh, err := m.register(plainPod()); !fresh || err != nil {
		t.Errorf("after a delete: %v, %v", fresh, err)
	}
}

// TestPortsOfEndedPods: the scheduler gives the port of a pod that has ended to the
// next one, and a refused create is final.
func TestPortsOfEndedPods(t *testing.T) {
	m := New(Config{Dir: t.TempDir()}, nil, nil, ailing{})
	defer m.Close()
	spec := plainPod()
	spec.Spec.Containers[0].Ports = []v1.ContainerPort{{ContainerPort: 80, HostPort: 8080}}
	holder := m.newPod(spec)
	m.pods[spec.UID] = holder
	wanted := podspec.HostPorts(spec)
	if err := m.portConflict(wanted); !errdefs.IsConflict(err) {
		t.Errorf("of a pod that runs: %v", err)
	}
	holder.statuses.MarkEnded()
	if err := m.portConflict(wanted); err != nil {
		t.Errorf("of a pod that has ended: %v", err)
	}
}
