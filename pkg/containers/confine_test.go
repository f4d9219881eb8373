package containers

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	v1 "k8s.io/api/core/v1"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/engine"
)

// TestProfilesOfTheNode: those below the folder, and nothing outside of it.
func TestProfilesOfTheNode(t *testing.T) {
	dir := t.TempDir()
	root := filepath.Join(dir, "profiles")
	if err := os.MkdirAll(filepath.Join(root, "sub"), 0o700); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"profiles/sub/p.json": `{"a":1}`, "profiles/none.json": "hidden", "outside.json": `{"hidden":1}`} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for name, target := range map[string]string{"link.json": "sub/p.json", "up.json": "../outside.json", "host.json": filepath.Join(dir, "outside.json")} {
		if err := os.Symlink(target, filepath.Join(root, name)); err != nil {
			t.Fatal(err)
		}
	}
	for name, want := range map[string]string{"sub/p.json": "", "link.json": "", "gone.json": "does not exist", "none.json": "no JSON", "sub": "not a file",
		"up.json": "not below the folder", "host.json": "not below the folder", "../outside.json": "not below the folder"} {
		pod := plainPod()
		pod.Spec.SecurityContext = &v1.PodSecurityContext{SeccompProfile: &v1.SeccompProfile{Type: v1.SeccompProfileTypeLocalhost, LocalhostProfile: &name}}
		spec := engine.Spec{}
		err := confine(&spec, pod, &pod.Spec.Containers[0], root)
		if want == "" && (err != nil || len(spec.SecurityOpt) != 1 || spec.SecurityOpt[0] != `seccomp={"a":1}`) {
			t.Errorf("%s: %v, %v", name, spec.SecurityOpt, err)
		}
		if want != "" && (err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), dir) || strings.Contains(err.Error(), "hidden") || len(spec.SecurityOpt) > 0) {
			t.Errorf("%s: %v, want %s", name, err, want)
		}
		if wrong := (&configError{}); err != nil && (!errors.As(err, &wrong) || wrong.reason != "CreateContainerError") {
			t.Errorf("%s: %v is not what a container waits with", name, err)
		}
	}
}
