package main

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/podspec"
	"github.com/intertwin-eu/interlink-docker-plugin/tests/kube/cases"
	"github.com/intertwin-eu/interlink-docker-plugin/tests/kube/random"
)

var update = flag.Bool("update", false, "write docs/pods.md anew")

// elsewhere is the fields that need more than a case, with the test that shows them. A refused
// field that no case has is shown by refusedBy.
var elsewhere = map[string]string{
	"spec.runtimeClassName":   "TestRuntimeClass",
	"spec.schedulingGates":    "TestEveryFieldOfThePodHasARule",
	"spec.schedulingGroup":    "TestEveryFieldOfThePodHasARule",
	"spec.evictionResponders": "TestEveryFieldOfThePodHasARule",
}

const refusedBy = "TestEveryRefusedFieldIsRefused"

// shown is the cases that show each field, by its path.
func shown(t *testing.T) map[string][]string {
	t.Helper()
	all, err := cases.All()
	if err != nil {
		t.Fatal(err)
	}
	out := map[string][]string{}
	for _, c := range all {
		for _, path := range c.Fields {
			out[path] = append(out[path], c.Name)
		}
	}
	return out
}

// TestRows: each row is whole, its name is its own, and it names fields that have a rule.
func TestRows(t *testing.T) {
	all, err := cases.All()
	if err != nil {
		t.Fatal(err)
	}
	known, names := map[string]bool{}, map[string]bool{}
	for _, f := range podspec.Fields() {
		known[f.Path] = true
	}
	for _, c := range all {
		if err := c.Check(); err != nil {
			t.Error(err)
		}
		if names[c.Name] {
			t.Errorf("two cases are called %q", c.Name)
		}
		names[c.Name] = true
		for _, path := range c.Fields {
			if !known[path] {
				t.Errorf("case %q shows %s, which has no rule in pkg/podspec", c.Name, path)
			}
		}
	}
}

// TestEveryFieldIsShown by a case, or by another test that is there.
func TestEveryFieldIsShown(t *testing.T) {
	by := shown(t)
	for _, f := range podspec.Fields() {
		test := elsewhere[f.Path]
		switch {
		case len(by[f.Path]) > 0 && test != "":
			t.Errorf("%s is shown by a case: it needs no other test", f.Path)
		case len(by[f.Path]) == 0 && test == "" && f.Use != "refused":
			t.Errorf("%s is %s and no case shows it", f.Path, f.Use)
		}
	}
	declared := declaredTests(t)
	for path, test := range elsewhere {
		if !declared[test] {
			t.Errorf("%s is shown by %s, which there is not", path, test)
		}
	}
	if !declared[refusedBy] {
		t.Errorf("there is no %s", refusedBy)
	}
}

// declaredTests is the names of all tests of this module.
func declaredTests(t *testing.T) map[string]bool {
	t.Helper()
	declaration := regexp.MustCompile(`(?m)^func (Test\w+)\(`)
	out := map[string]bool{}
	for _, pattern := range []string{"../../pkg/*/*_test.go", "../*/*_test.go"} {
		files, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			for _, found := range declaration.FindAllSubmatch(text, -1) {
				out[string(found[1])] = true
			}
		}
	}
	return out
}

// table renders the fields of a pod, what becomes of them, and what shows it, in Markdown.
func table(by map[string][]string) string {
	var out strings.Builder
	out.WriteString("| Field | Here | Shown by |\n|---|---|---|\n")
	for _, f := range podspec.Fields() {
		here := f.Use
		switch {
		case f.Use == "ignored":
			here += ": " + f.Text
		case f.Use == "refused" && f.Values == nil:
			here += ": " + f.Text
		case f.Use == "refused":
			here = fmt.Sprintf("honoured, but `%s` is refused: %s", strings.Join(f.Values, "`, `"), f.Text)
		case f.Except != "":
			here += "; refused: " + f.Except
		}
		tests := by[f.Path]
		if test := elsewhere[f.Path]; test != "" {
			tests = append(tests, "`"+test+"`")
		}
		if len(tests) == 0 {
			tests = []string{"`" + refusedBy + "`"}
		}
		fmt.Fprintf(&out, "| `%s` | %s | %s |\n", f.Path, here, strings.Join(tests, "; "))
	}
	return out.String()
}

// TestFieldTableInDocs keeps docs/pods.md what the code does:
// go test ./tests/kube -run FieldTableInDocs -update
func TestFieldTableInDocs(t *testing.T) {
	const path, mark = "../../docs/pods.md", "<!-- written by tests/kube -->\n"
	file, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	head, written, found := strings.Cut(string(file), mark)
	if !found {
		t.Fatalf("%s has no line %q", path, mark)
	}
	want := table(shown(t))
	if *update {
		if err := os.WriteFile(path, []byte(head+mark+want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if written != want {
		t.Errorf("%s is not what the code does: go test ./tests/kube -run FieldTableInDocs -update", path)
	}
}

// TestRandomPods: a number always stands for the same pod, most pods are to run, and the parts
// of refusals and of containers are met.
func TestRandomPods(t *testing.T) {
	refusals, fields, accepted := map[string]bool{}, map[string]bool{}, 0
	for i := range 1000 {
		c, again := random.Case(1, i), random.Case(1, i)
		if a, b := fmt.Sprintf("%+v", c.See), fmt.Sprintf("%+v", again.See); a != b {
			t.Fatalf("pod %d has two faces:\n%s\n%s", i, a, b)
		}
		for _, part := range c.Refused {
			refusals[part] = true
		}
		if len(c.Refused) == 0 {
			accepted++
		}
		for _, container := range c.Spec.Containers {
			fields[fmt.Sprint(container.Lifecycle != nil, container.StartupProbe != nil, container.TTY)] = true
		}
	}
	if accepted < 600 || accepted > 950 {
		t.Errorf("%d of 1000 pods are to run", accepted)
	}
	if len(refusals) < 20 || len(fields) < 4 {
		t.Errorf("the refusals are %v, the kinds of containers %v", slices.Sorted(maps.Keys(refusals)), fields)
	}
}
