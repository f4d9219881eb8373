package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/cli"
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
		"check":                {exitFailed, "checks failed"},
		"check --no-boot":      {exitFailed, "checks failed"},
		"check --nonsense":     {exitNotMade, "unknown flag"},
		"check more":           {exitNotMade, `unknown command "more"`},
		"check -o xml":         {exitNotMade, "table or json"},
		"check --timeout 0s":   {exitNotMade, "such as 30s"},
		"check --timeout soon": {exitNotMade, "soon"},
	} {
		_, err := printed(t, config, strings.Fields(command)...)
		if err == nil || exitCode(err) != want.code || !strings.Contains(err.Error(), want.err) {
			t.Errorf("%s = %v with code %d, want %d", command, err, exitCode(err), want.code)
		}
	}
	if _, err := printed(t, filepath.Join(dir, "none.yaml"), "check"); exitCode(err) != exitNotMade {
		t.Errorf("check without a configuration = %v", err)
	}
	if _, err := printed(t, config, "pods"); exitCode(err) != 1 {
		t.Errorf("another command ends with %d", exitCode(err))
	}
	text, _ := printed(t, config, "check")
	for _, want := range []string{"fail  engine ", "no Docker engine answers at unix://" + dir, "\n                      -> start the engine, or set DOCKER_HOST",
		"warn  configuration   unknown key", "ok    kernel "} {
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

func TestCheckLines(t *testing.T) {
	r := preflight.Report{}
	r.Add(preflight.Line{Name: "a", Verdict: preflight.Fail, Found: "x\x1b[2J", Do: "y"}, preflight.Line{Name: "longer", Verdict: preflight.OK, Found: "z"})
	want := "\x1b[31mfail\x1b[0m  a       x [2J\n              -> y\n\x1b[32mok  \x1b[0m  longer  z\n1 ok, 0 warn, 1 fail\n"
	if got := lines(cli.Screen{Coloured: true}, r); got != want {
		t.Errorf("lines are\n%q, want\n%q", got, want)
	}
}
