package pods

import (
	"encoding/json"
	"strings"
	"testing"

	v1 "k8s.io/api/core/v1"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/engine"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/podstatus"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/sandbox"
)

// ailing are accelerators of which one container's fail.
type ailing struct{ container, trouble string }

func (ailing) Reserve(*v1.Pod) (json.RawMessage, error)                     { return nil, nil }
func (ailing) Claim(string, json.RawMessage) error                          { return nil }
func (ailing) ClaimUnknown(string)                                          {}
func (ailing) Release(string)                                               {}
func (ailing) Inject(json.RawMessage, string, []string, *engine.Spec) error { return nil }
func (a ailing) Health(_, container string) (list []v1.ResourceStatus, _ string) {
	if container != a.container || a.trouble == "" {
		return nil, ""
	}
	return []v1.ResourceStatus{{Name: "nvidia.com/gpu"}}, a.trouble
}

func TestTroubleInStatus(t *testing.T) {
	const trouble = "device GPU-1 (A100) failed: XID 79"
	for _, tc := range []struct {
		name  string
		state v1.ContainerState
		want  string
	}{
		{"running", v1.ContainerState{Running: &v1.ContainerStateRunning{}}, ""},
		{"waiting", podstatus.Waiting("CrashLoopBackOff", ""), trouble},
		{"waiting with a message", podstatus.Waiting("CrashLoopBackOff", "back-off 10s"), "back-off 10s; " + trouble},
		{"ended", v1.ContainerState{Terminated: &v1.ContainerStateTerminated{ExitCode: 1, Message: "oops"}}, "oops; " + trouble},
		{"ended, told already", v1.ContainerState{Terminated: &v1.ContainerStateTerminated{Message: "oops; " + trouble}}, "oops; " + trouble},
	} {
		t.Run(tc.name, func(t *testing.T) {
			spec := &v1.Pod{Spec: v1.PodSpec{Containers: []v1.Container{{Name: "gpu"}, {Name: "other"}}}}
			spec.UID = "uid"
			m := New(Config{Dir: t.TempDir()}, nil, nil, ailing{"gpu", trouble})
			p := m.newPod(spec)
			for _, name := range []string{"gpu", "other"} {
				p.statuses.Update(name, func(s *v1.ContainerStatus) { s.State = *tc.state.DeepCopy() })
			}
			p.keepTrouble()
			// The devices are given back, and what was said stays.
			m.accelerators = ailing{}
			statuses, _ := p.statuses.Snapshot()
			p.showTrouble(statuses)
			got := statuses["gpu"]
			if len(got.AllocatedResourcesStatus) != 1 || messageOf(got.State) != tc.want {
				t.Errorf("status = %+v, want message %q", got, tc.want)
			}
			if (got.State.Running == nil) != (tc.state.Running == nil) || (got.State.Waiting == nil) != (tc.state.Waiting == nil) {
				t.Errorf("the state was changed: %+v", got.State)
			}
			other := statuses["other"]
			if other.AllocatedResourcesStatus != nil || messageOf(other.State) != messageOf(tc.state) {
				t.Errorf("status of a container without devices = %+v", other)
			}
		})
	}
}

func messageOf(state v1.ContainerState) string {
	switch {
	case state.Waiting != nil:
		return state.Waiting.Message
	case state.Terminated != nil:
		return state.Terminated.Message
	}
	return ""
}

func TestOwnerOf(t *testing.T) {
	id := strings.Repeat("a", 64)
	m := New(Config{Dir: t.TempDir()}, nil, nil, ailing{})
	spec := &v1.Pod{}
	spec.UID = "uid"
	p := m.newPod(spec)
	m.pods[spec.UID] = p
	if uid, found := m.OwnerOf(id); found {
		t.Errorf("a pod without a sandbox owns a container: %s", uid)
	}
	p.sandbox.Store(&sandbox.Sandbox{ID: id})
	if uid, found := m.OwnerOf(id); !found || uid != "uid" {
		t.Errorf("owner = %q, %v", uid, found)
	}
}
