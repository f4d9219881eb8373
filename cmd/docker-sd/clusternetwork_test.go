package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/config"
	"github.com/intertwin-eu/interlink-docker-plugin/tests/certificates"
)

// TestClusterNetworkFiles: a file without a certificate is told by name, and a node that is
// off needs none.
func TestClusterNetworkFiles(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "ca.pem")
	if err := os.WriteFile(file, []byte("no certificate"), 0o600); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{file: "no certificate in PEM", filepath.Join(dir, "missing"): "no such file"} {
		if _, err := readCAs(path); err == nil || !strings.Contains(err.Error(), "ClusterNetworkCA "+path) || !strings.Contains(err.Error(), want) {
			t.Errorf("readCAs(%s) = %v", path, err)
		}
	}
	ca := certificates.New(t, "ca.test", nil)
	if err := os.WriteFile(file, []byte(ca.PEM()), 0o600); err != nil {
		t.Fatal(err)
	}
	if text, err := readCAs(file); err != nil || text != ca.PEM() {
		t.Errorf("readCAs() = %q, %v", text, err)
	}
	settings := config.Default()
	settings.ClusterNetwork.Mode, settings.ClusterNetwork.CAFile = "off", "/missing"
	if policy, program, err := clusterNetwork(t.Context(), settings, nil); err != nil || !policy.Off || program != "" {
		t.Errorf("a node that is off: %+v, %q, %v", policy, program, err)
	}
}
