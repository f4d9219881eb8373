package gpu

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestHeld: what a pod holds can be looked at, and a change of that copy changes nothing.
func TestHeld(t *testing.T) {
	l := NewLedger(Sharing{})
	l.Update(Inventory{Devices: []Device{{UUID: "a", Resource: ResourceGPU}, {UUID: "b", Resource: ResourceGPU}}})
	if err := l.Claim("pod", Assignment{Containers: map[string][]string{"one": {"b"}, "two": {"a", "b"}}}); err != nil {
		t.Fatal(err)
	}
	held := l.Held("pod")
	if diff := cmp.Diff([]string{"a", "b"}, held.Devices()); diff != "" {
		t.Errorf("devices (-want +got):\n%s", diff)
	}
	held.Containers["one"][0] = "c"
	if diff := cmp.Diff([]string{"b"}, l.Held("pod").UUIDs("one")); diff != "" {
		t.Errorf("after a change of the copy (-want +got):\n%s", diff)
	}
	if got := l.Held("other").Devices(); got != nil {
		t.Errorf("a pod that holds nothing holds %v", got)
	}
}
