package preflight

import (
	"errors"
	"strings"
	"testing"
)

func TestRuntimes(t *testing.T) {
	for name, c := range map[string]struct {
		classes map[string]string
		err     error
		verdict Verdict
		found   string
	}{
		"known":          {map[string]string{"a": "crun"}, nil, OK, "knows crun for the class a"},
		"a shim":         {map[string]string{"a": "io.containerd.runsc.v1"}, nil, OK, "a shim"},
		"unknown":        {map[string]string{"a": "crun", "b": "runsc"}, nil, Warn, "does not know runsc for the class b"},
		"engine is away": {map[string]string{"a": "crun"}, errors.New("away"), Warn, "away"},
	} {
		t.Run(name, func(t *testing.T) {
			line := Runtimes(c.classes, []string{"runc", "crun"}, c.err)
			if line.Verdict != c.verdict || !strings.Contains(line.Found, c.found) || (line.Do == "") != (c.verdict == OK) {
				t.Errorf("%+v", line)
			}
		})
	}
}
