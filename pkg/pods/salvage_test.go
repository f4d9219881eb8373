package pods

import (
	"encoding/json"
	"os"
	"strings"
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
	m := New(Config{Dir: t.TempDir()}, nil, nil, c)
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

// TestSalvage: what a refused record says of its sandbox is used only where it can
// be that pod's.
func TestSalvage(t *testing.T) {
	const sandbox, former = "0c8f3b1e-0000-4000-8000-000000000001_dind", "0c8f3b1e-0000-4000-8000-000000000002_dind"
	pod := `"pod":{"metadata":{"uid":"` + testUID + `","name":"a","namespace":"b"}}`
	for name, c := range map[string]struct {
		file            string
		sandbox, former string
		namespace       string
	}{
		"newer":                 {sealed(9, `{`+pod+`,"sandbox":"`+sandbox+`","replaced":"`+former+`"}`), sandbox, former, "b"},
		"damaged, of version 1": {strings.Replace(sealed(1, `{`+pod+`,"sandbox":"`+sandbox+`","former":"`+former+`"}`), `"checksum":"`, `"checksum":"0`, 1), sandbox, former, "b"},
		"fields of other types": {sealed(9, `{`+pod+`,"placed":7,"since":{},"sandbox":"`+sandbox+`"}`), sandbox, "", "b"},
		"no pod":                {sealed(9, `{"sandbox":"`+sandbox+`"}`), sandbox, "", ""},
		"of another pod":        {strings.Replace(sealed(9, `{`+pod+`,"sandbox":"`+sandbox+`"}`), testUID, "11111111-2222-4333-8444-555555555555", 1), "", "", ""},
		"a name that leaves":    {sealed(9, `{`+strings.Replace(pod, `"b"`, `"../x"`, 1)+`,"sandbox":"`+sandbox+`"}`), sandbox, "", ""},
		"no sandbox's name":     {sealed(9, `{`+pod+`,"sandbox":"../../x","former":""}`), "", "", "b"},
		"cut":                   {sealed(9, `{`+pod+`}`)[:50], "", "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			s := openStore(t)
			if err := os.WriteFile(s.recordPath(testUID), []byte(c.file), 0o600); err != nil {
				t.Fatal(err)
			}
			r := s.salvage(testUID)
			if r.Pod.UID != testUID || r.Pod.Namespace != c.namespace || r.Sandbox != c.sandbox || r.Replaced != c.former {
				t.Errorf("salvaged pod %s/%s, sandboxes %q, %q; want those of %+v", r.Pod.Namespace, r.Pod.UID, r.Sandbox, r.Replaced, c)
			}
		})
	}
}
