package config_test

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/config"
)

var update = flag.Bool("update", false, "write docs/configuration.md anew")

// TestReferenceInDocs keeps docs/configuration.md what config.yaml and the code
// say: go test ./pkg/config -run ReferenceInDocs -update
func TestReferenceInDocs(t *testing.T) {
	const path = "../../docs/configuration.md"
	data, err := os.ReadFile(documented)
	if err != nil {
		t.Fatal(err)
	}
	want := reference(string(data), config.VariableOf())
	if *update {
		if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want {
		t.Errorf("%s is not what config.yaml and the code say: go test ./pkg/config -run ReferenceInDocs -update", path)
	}
}

const referenceHead = `# Configuration reference

Written from [config.yaml](../config.yaml) and the code by a test; do not edit.

`

// reference turns the commented file into tables, a section each.
func reference(file string, variables map[string]string) string {
	out := &strings.Builder{}
	out.WriteString(referenceHead)
	var text []string
	for _, block := range strings.Split(strings.TrimSpace(file), "\n\n") {
		var lines []string
		for line := range strings.SplitSeq(block, "\n") {
			comment, isComment := strings.CutPrefix(line, "#")
			comment = strings.TrimSpace(comment)
			section, isSection := strings.CutPrefix(comment, "--- ")
			switch {
			case isComment && isSection:
				flush(out, &text)
				fmt.Fprintf(out, "## %s\n\n", strings.TrimSuffix(section, " ---"))
			case isComment:
				text = append(text, comment)
			default:
				lines = append(lines, line)
			}
		}
		if len(lines) == 0 {
			flush(out, &text)
			continue
		}
		fmt.Fprintf(out, "- %s.\n  %s\n\n", strings.Join(entries(lines, variables), ", "), strings.Join(text, "\n  "))
		text = nil
	}
	flush(out, &text)
	return strings.TrimRight(out.String(), "\n") + "\n"
}

// entries are the keys of a block with their defaults and variables, and the
// lines below a key as they are.
func entries(lines []string, variables map[string]string) []string {
	var out []string
	for _, line := range lines {
		key, value, _ := strings.Cut(line, ":")
		if strings.TrimLeft(line, " -") != line {
			out = append(out, "`"+strings.TrimSpace(line)+"`")
			continue
		}
		entry := "**`" + key + "`**"
		if value = strings.Trim(strings.TrimSpace(value), `"`); value != "" {
			entry += " (`" + value + "`)"
		}
		if variable := variables[key]; variable != "" && variable != key {
			entry += " or variable `" + variable + "`"
		}
		out = append(out, entry)
	}
	return out
}

func flush(out *strings.Builder, text *[]string) {
	if len(*text) > 0 {
		fmt.Fprintf(out, "%s\n\n", strings.Join(*text, "\n"))
		*text = nil
	}
}
