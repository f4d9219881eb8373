package cli

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestGenerate(t *testing.T) {
	dir := t.TempDir()
	var out bytes.Buffer
	if err := run(t.Context(), []string{"generate", "-f", "../site/testdata/inventory.yaml", "-o", dir}, noVariables, &out); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"kubernetes/00-namespace.yaml", "kubernetes/cpu-01.yaml", "hosts/gpu-01/docker-sd.yaml", "hosts/gpu-01/InterLinkConfig.yaml"} {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil || info.Mode() != 0o640 || !strings.Contains(out.String(), name) {
			t.Errorf("%s: %v, %v", name, info, err)
		}
	}
}

// An inventory with which a docker-sd would not start writes nothing.
func TestGenerateChecks(t *testing.T) {
	for extra, want := range map[string]string{"{AVAILABLEDINDS: 1000}": "AVAILABLEDINDS", "{Avilabledinds: 3}": "Avilabledinds"} {
		dir := filepath.Join(t.TempDir(), "out")
		path := settingsFile(t, "hosts: [{name: a, address: h, cpu: 1, memory: 1Gi, dockerSD: "+extra+"}]")
		err := run(t.Context(), []string{"generate", "-f", path, "-o", dir}, noVariables, nil)
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "hosts/a/docker-sd.yaml") {
			t.Errorf("generate = %v, want %q and the file", err, want)
		}
		if _, err := os.Stat(dir); err == nil {
			t.Error("something was written")
		}
	}
}
