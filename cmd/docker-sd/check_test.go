package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/preflight"
)

// printed runs docker-sd with a configuration.
func printed(t *testing.T, config string, args ...string) (string, error) {
	t.Helper()
	var out bytes.Buffer
	err := run(t.Context(), append([]string{"-interlinkconfigpath", config}, args...), noVariables, &out)
	return out.String(), err
}

// What a script learns from the exit code, without an engine.
func TestCheckExitCodes(t *testing.T) {
	dir, err := os.MkdirTemp("", "sd") // short, for its sockets
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	config := settingsFile(t, "DataRootFolder: "+filepath.Join(dir, "data")+"\nSocket: unix://"+filepath.Join(dir, "api.sock")+
		"\nDOCKER_HOST: unix://"+filepath.Join(dir, "none")+"\nAdminAddress: \"off\"\nStrange: 1\n")
	for command, want := range map[string]struct {
		code int
		err  string
	}{
		"check":                {1, "checks failed"},
		"check --no-boot":      {1, "checks failed"},
		"check --nonsense":     {2, "unknown flag"},
		"check more":           {2, `unknown command "more"`},
		"check -o xml":         {2, "table or json"},
		"check --timeout 0s":   {2, "such as 30s"},
		"check --timeout soon": {2, "soon"},
	} {
		_, err := printed(t, config, strings.Fields(command)...)
		if err == nil || exitCode(err) != want.code || !strings.Contains(err.Error(), want.err) {
			t.Errorf("%s = %v with code %d, want %d", command, err, exitCode(err), want.code)
		}
	}
	if _, err := printed(t, filepath.Join(dir, "none.yaml"), "check"); exitCode(err) != 2 {
		t.Errorf("check without a configuration = %v", err)
	}
	if _, err := printed(t, config, "pods"); exitCode(err) != 1 {
		t.Errorf("another command ends with %d", exitCode(err))
	}
	text, _ := printed(t, config, "check")
	for _, want := range []string{"fail  engine ", "no Docker engine answers at unix://" + dir, "\n                        -> start the engine, or set DOCKER_HOST",
		"warn  configuration     unknown key", "ok    kernel ", " [kernel]\n"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	text, _ = printed(t, config, "check", "-o", "json")
	var report preflight.Report
	if err := json.Unmarshal([]byte(text), &report); err != nil || report.OK || report.Count(preflight.Fail) != 1 {
		t.Errorf("the report is %+v, %v", report, err)
	}
	if _, err := os.Stat(filepath.Join(dir, "data")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the check has made DataRootFolder: %v", err)
	}
}
