package preflight_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/preflight"
)

func TestAccounting(t *testing.T) {
	dir := t.TempDir()
	file := func(name string, mode os.FileMode) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, nil, mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	holds(t, map[string]judged{
		"own":          {preflight.Accounting(file("own", 0o600)), preflight.OK, "own"},
		"to be made":   {preflight.Accounting(filepath.Join(dir, "new")), preflight.OK, "will be made"},
		"no folder":    {preflight.Accounting(filepath.Join(dir, "none", "new")), preflight.Warn, "no such file"},
		"below a file": {preflight.Accounting(filepath.Join(dir, "own", "new")), preflight.Warn, "not a directory"},
		"a folder":     {preflight.Accounting(dir), preflight.Warn, "not a file"},
		"open":         {preflight.Accounting(file("open", 0o644)), preflight.Warn, "open to other users"},
	})
	if _, err := os.Stat(filepath.Join(dir, "new")); err == nil {
		t.Error("the check has made the file")
	}
}
