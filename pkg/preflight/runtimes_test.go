package preflight

import (
	"errors"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
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
		"unknown":        {map[string]string{"a": "crun", "b": "runsc"}, nil, Warn, "has no program for, runsc for the class b"},
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

func TestClassImage(t *testing.T) {
	for name, c := range map[string]struct {
		err     error
		verdict Verdict
		found   string
	}{
		"there":          {nil, OK, "own:1 for the class own"},
		"not there":      {errdefs.ErrNotFound, Warn, "own:1 of the class own is not on this host"},
		"engine is away": {errors.New("away"), Warn, "away"},
	} {
		t.Run(name, func(t *testing.T) {
			line := ClassImage("own", "own:1", c.err)
			if line.Verdict != c.verdict || !strings.Contains(line.Found, c.found) || (line.Do == "") != (c.verdict == OK) {
				t.Errorf("%+v", line)
			}
		})
	}
}
