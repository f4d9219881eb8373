package gpu

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// FuzzAssignment: what a record holds of a pod's devices.
func FuzzAssignment(f *testing.F) {
	for _, text := range []string{``, `null`, `{}`, `{"containers":{"main":["GPU-1","GPU-2::1"]}}`, `{"containers":{"a":null,"b":["","GPU-1","GPU-1"]}}`} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, held []byte) {
		assignment, err := ParseAssignment(held)
		if err != nil {
			return
		}
		text, err := json.Marshal(assignment)
		if err != nil {
			t.Fatal(err)
		}
		again, err := ParseAssignment(text)
		if err != nil {
			t.Fatalf("%s is written but not read: %v", text, err)
		}
		for name := range assignment.Containers {
			seen := map[string]bool{}
			for _, uuid := range assignment.UUIDs(name) {
				if seen[uuid] {
					t.Fatalf("%q twice for container %q", uuid, name)
				}
				seen[uuid] = true
			}
			if diff := cmp.Diff(assignment.UUIDs(name), again.UUIDs(name)); diff != "" {
				t.Fatalf("container %q (-first +second):\n%s", name, diff)
			}
		}
	})
}
