package gpu

import (
	"encoding/json"
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// FuzzCDISpec: a specification of the host is read or refused, and what is read
// names its devices as they are.
func FuzzCDISpec(f *testing.F) {
	file, err := os.ReadFile("testdata/nvidia-cdi.yaml")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(file)
	f.Add([]byte(`{"cdiVersion":"0.5.0","kind":"nvidia.com/gpu","devices":[{"name":"0","containerEdits":{"deviceNodes":[{"path":"/dev/x"}]}}]}`))
	f.Add([]byte("kind: nvidia.com/gpu\ndevices: [null, {}]\ncontainerEdits: {hooks: [{args: [a]}]}"))
	f.Fuzz(func(t *testing.T, file []byte) {
		spec, err := decodeSpec("spec.yaml", file)
		if err != nil {
			return
		}
		text, err := json.Marshal(spec)
		if err != nil {
			t.Fatal(err)
		}
		again, err := decodeSpec("spec.yaml", text)
		if err != nil {
			t.Fatalf("%s is written but not read: %v", text, err)
		}
		if second, err := json.Marshal(again); err != nil || string(second) != string(text) {
			t.Fatalf("written once  %s\nwritten twice %s (%v)", text, second, err)
		}
	})
}

// FuzzAssignment: what a record holds of a pod's devices.
func FuzzAssignment(f *testing.F) {
	for _, text := range []string{``, `null`, `{}`, `{"containers":{"main":["GPU-1","GPU-2::1"]}}`, `{"containers":{"a":null,"b":["","GPU-1","GPU-1"]}}`} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, held []byte) {
		assignment, err := decodeHeld(held)
		if err != nil {
			return
		}
		text, err := json.Marshal(assignment)
		if err != nil {
			t.Fatal(err)
		}
		again, err := decodeHeld(text)
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
