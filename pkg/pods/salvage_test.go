package pods

import (
	"encoding/json"
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/types"
)

// claims notes what pods are said to hold.
type claims struct {
	ailing
	held map[string]string
}

func (c *claims) Claim(uid string, held json.RawMessage) error {
	if held != nil {
		c.held[uid] = string(held)
	}
	return nil
}

// A record that is refused still tells which devices its pod may be using.
func TestDevicesOfRefusedRecords(t *testing.T) {
	c := &claims{held: map[string]string{}}
	m := New(Config{Dir: t.TempDir()}, nil, nil, c, nil)
	if err := m.store.open(); err != nil {
		t.Fatal(err)
	}
	for uid, file := range map[string]string{
		"newer":   `{"version":99,"checksum":"","record":{"devices":{"containers":{"c":["GPU-0"]}}}}`,
		"damaged": `{"version":1,"checksum":"bad","record":{"devices":{"containers":{"c":["GPU-1"]}}}}`,
		"ended":   `{"version":99,"record":{"devices":{"containers":{"c":["GPU-2"]}},"final":[]}}`,
		"none":    `{"version":99,"record":{}}`,
		"garbage": `{"version":1,"rec`,
	} {
		if err := os.WriteFile(m.store.recordPath(types.UID(uid)), []byte(file), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := m.Recover(t.Context(), func(map[string]bool) {}); err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"newer": `{"containers":{"c":["GPU-0"]}}`, "damaged": `{"containers":{"c":["GPU-1"]}}`}
	if diff := cmp.Diff(want, c.held); diff != "" {
		t.Errorf("claimed (-want +got):\n%s", diff)
	}
}
