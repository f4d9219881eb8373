package cdi

import (
	"encoding/json"
	"os"
	"testing"
)

// FuzzSpec: a specification of the host is read or refused, and what is read
// names its devices as they are.
func FuzzSpec(f *testing.F) {
	file, err := os.ReadFile("testdata/nvidia-cdi.yaml")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(file)
	f.Add([]byte(`{"cdiVersion":"0.5.0","kind":"nvidia.com/gpu","devices":[{"name":"0","containerEdits":{"deviceNodes":[{"path":"/dev/x"}]}}]}`))
	f.Add([]byte("kind: nvidia.com/gpu\ndevices: [null, {}]\ncontainerEdits: {hooks: [{args: [a]}]}"))
	f.Fuzz(func(t *testing.T, file []byte) {
		spec, err := decode("spec.yaml", file)
		if err != nil {
			return
		}
		text, err := json.Marshal(spec)
		if err != nil {
			t.Fatal(err)
		}
		again, err := decode("spec.yaml", text)
		if err != nil {
			t.Fatalf("%s is written but not read: %v", text, err)
		}
		if second, err := json.Marshal(again); err != nil || string(second) != string(text) {
			t.Fatalf("written once  %s\nwritten twice %s (%v)", text, second, err)
		}
	})
}
