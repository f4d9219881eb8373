//go:build e2e

package e2e_test

import (
	"net/http"
	"path/filepath"
	"strings"
	"testing"
)

// TestHostPathsApartFromTheEngine: docker-sd does not start with host paths from which
// pods would reach the engine, and says which and why.
func TestHostPathsApartFromTheEngine(t *testing.T) {
	t.Parallel()
	var info struct{ DockerRootDir string }
	if err := suite.engine.call(t.Context(), http.MethodGet, "/info", &info); err != nil {
		t.Fatal(err)
	}
	for name, settings := range map[string]map[string]any{
		"its data root":       {"HostPathPrefixes": []string{"/srv", info.DockerRootDir}},
		"below its data root": {"PersistentVolumeClaims": map[string]string{"c": filepath.Join(info.DockerRootDir, "volumes")}},
		"its usual socket":    {"HostPathPrefixes": []string{"/var/run"}},
	} {
		t.Run(name, func(t *testing.T) {
			settings["AVAILABLEDINDS"] = 0
			d := prepareDaemon(t, settings)
			if err := d.Start(); err != nil {
				t.Fatal(err)
			}
			eventually(t, runLimit, "it ends", func() bool { return !d.Running() }, d.log.String)
			if said := d.log.String(); d.Err() == nil || !strings.Contains(said, "pods would reach that") || !strings.Contains(said, "the Docker engine") {
				t.Errorf("it ended with %v and said %q", d.Err(), said)
			}
		})
	}
}
