package records

import (
	"os"
	"strings"
	"testing"
)

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
			if err := os.WriteFile(s.RecordPath(testUID), []byte(c.file), 0o600); err != nil {
				t.Fatal(err)
			}
			r := s.salvage(testUID)
			if r.Pod.UID != testUID || r.Pod.Namespace != c.namespace || r.Sandbox != c.sandbox || r.Replaced != c.former {
				t.Errorf("salvaged pod %s/%s, sandboxes %q, %q; want those of %+v", r.Pod.Namespace, r.Pod.UID, r.Sandbox, r.Replaced, c)
			}
		})
	}
}
