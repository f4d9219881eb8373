package preflight_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/preflight"
)

func TestNFS(t *testing.T) {
	servers := []string{"nfs.example.org", "192.0.2.0/24"}
	for _, c := range []struct {
		client, open bool
		verdict      preflight.Verdict
		word         string
	}{
		{true, false, preflight.OK, "nfs.example.org, 192.0.2.0/24"},
		{true, true, preflight.Warn, "without a firewall"},
		{false, false, preflight.Fail, "this kernel has no NFS client"},
	} {
		line := preflight.NFS(servers, c.client, c.open)
		if line.Verdict != c.verdict || !strings.Contains(line.Found, c.word) || c.verdict != preflight.OK && line.Do == "" {
			t.Errorf("%+v: %+v", c, line)
		}
	}
}

func TestClaims(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		line    preflight.Line
		verdict preflight.Verdict
		word    string
	}{
		"kept":          {preflight.Claims(t.TempDir(), false, preflight.Space{FreeBytes: 1 << 30}, nil), preflight.OK, "1GiB free; they are kept"},
		"not there yet": {preflight.Claims("/not/there", false, preflight.Space{}, nil), preflight.OK, "/not/there"},
		"deleted":       {preflight.Claims(t.TempDir(), true, preflight.Space{}, nil), preflight.Warn, "deleted with the last pod"},
		"no folder":     {preflight.Claims(file, false, preflight.Space{}, nil), preflight.Fail, "is not a folder"},
		"no disk":       {preflight.Claims("/not/there", false, preflight.Space{}, errors.New("stale")), preflight.Fail, "stale"},
	} {
		if c.line.Verdict != c.verdict || !strings.Contains(c.line.Found, c.word) || c.verdict != preflight.OK && c.line.Do == "" {
			t.Errorf("%s: %+v", name, c.line)
		}
	}
}
