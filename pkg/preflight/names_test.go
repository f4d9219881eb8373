package preflight_test

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/preflight"
)

// named finds the names of checks in the sources.
var named = regexp.MustCompile(`(?:const (?:name(?:, \w+)?|name\w+|files) = |\bName: +|\b(?:ok|warn|fail|Disk)\(|\b(?:lines|answer)\(ctx, (?:\w+\.)*probes, |\.lines\(ctx, |limit\{|\t\t\{)"([a-zA-Z][a-zA-Z -]+)"(?:,|\n)`)

// TestEveryCheckIsExplained: what a check may be called is in Checks, and has a place in the docs
// to which its lines lead.
func TestEveryCheckIsExplained(t *testing.T) {
	found := map[string]bool{}
	for _, pattern := range []string{"*.go", "../doctor/*.go"} {
		paths, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range paths {
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if strings.HasSuffix(path, "_test.go") || path == "names.go" {
				continue
			}
			for _, match := range named.FindAllStringSubmatch(string(text), -1) {
				found[match[1]] = true
			}
		}
	}
	ids := map[string]bool{}
	for _, name := range preflight.Checks() {
		if !found[name] {
			t.Errorf("no check has the name %q", name)
		}
		ids[preflight.ID(name)] = true
	}
	if len(ids) != len(preflight.Checks()) {
		t.Errorf("%d names have %d ids", len(preflight.Checks()), len(ids))
	}
	for name := range found {
		if !slices.Contains(preflight.Checks(), name) {
			t.Errorf("%q is a check, and not in Checks", name)
		}
	}
	docs, err := os.ReadFile("../../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(string(docs), "\n| line | examines | remedy |\n")
	table, _, _ = strings.Cut(table, "\n\n")
	for _, name := range preflight.Checks() {
		if want := `<a id="check-` + preflight.ID(name) + `"></a>` + "`" + name + "`"; !strings.Contains(table, want) {
			t.Errorf("the table of docs/operations.md has no %s", want)
		}
	}
	if rows := strings.Count(table, `<a id="check-`); rows != len(preflight.Checks()) {
		t.Errorf("docs/operations.md explains %d checks, and there are %d", rows, len(preflight.Checks()))
	}
}

func TestLinesHaveIDs(t *testing.T) {
	var r preflight.Report
	r.Add(preflight.Line{Name: "MTU"}, preflight.Line{Name: "keyring bytes"})
	if l := r.Lines[1]; r.Lines[0].ID != "mtu" || l.ID != "keyring-bytes" || l.Docs != "docs/operations.md#check-keyring-bytes" {
		t.Errorf("lines are %+v", r.Lines)
	}
}
