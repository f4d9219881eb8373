package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestFigures(t *testing.T) {
	s := newSamples()
	for i := range 200 {
		s.add("create", float64(200-i))
	}
	first := s.figures()[0]
	if first.P50 != 100 || first.P99 != 198 || first.Max != 200 || first.Samples != 200 {
		t.Errorf("of 1 to 200: %+v", first)
	}
	var out bytes.Buffer
	document{Figures: []Figure{first}}.print(&out)
	if out.String() != "simulate create 100 198 ms\n" {
		t.Errorf("printed as %q", out.String())
	}
}

func TestWriteDocs(t *testing.T) {
	path := filepath.Join(t.TempDir(), "d.md")
	if err := os.WriteFile(path, []byte("before\n"+tableMark+"old\n"+tableEnd+"after\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	d := document{CPUs: 3, Nodes: 7, Figures: []Figure{{What: "a thing", P50: 1, P99: 23, Max: 456, Unit: "ms"}}}
	for range 2 {
		if err := d.writeDocs(path); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"before\n" + tableMark + "7 docker-sd", "3 cores", "| a thing | 1.00 | 23.0 | 456 | ms |\n" + tableEnd + "after\n"} {
		if !strings.Contains(string(text), want) {
			t.Errorf("%q lacks %q", text, want)
		}
	}
	if strings.Contains(string(text), "old") {
		t.Errorf("%q has its old table", text)
	}
	if err := os.WriteFile(path, []byte("no marks"), 0o600); err != nil {
		t.Fatal(err)
	}
	if d.writeDocs(path) == nil {
		t.Error("docs without marks were written")
	}
}

// The docs have a line for every figure.
func TestTableInDocs(t *testing.T) {
	text, err := os.ReadFile("../../docs/many-hosts.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, found := strings.Cut(string(text), tableMark)
	table, _, ended := strings.Cut(rest, tableEnd)
	if !found || !ended {
		t.Fatal("docs/many-hosts.md has no marks")
	}
	for _, kind := range kinds() {
		if !strings.Contains(table, "| "+kind.What+" |") {
			t.Errorf("the table lacks %q: make simulate", kind.What)
		}
	}
}

func TestPolled(t *testing.T) {
	for name, c := range map[string]struct {
		state  string
		ran    bool
		reject bool
	}{
		"waits":        {`{"waiting":{}}`, false, false},
		"runs":         {`{"running":{}}`, false, false},
		"runs still":   {`{"running":{}}`, true, false},
		"waits again":  {`{"waiting":{}}`, true, true},
		"ended":        {`{"terminated":{"exitCode":0}}`, false, true},
		"without news": {`{}`, true, true},
	} {
		t.Run(name, func(t *testing.T) {
			p, err := newPod("n")
			if err != nil {
				t.Fatal(err)
			}
			p.ran = c.ran
			answer := fmt.Sprintf(`[{"name":%q,"UID":%q,"containers":[{"name":"hello-world","state":%s}]}]`, p.name, p.uid, c.state)
			if err := p.polled([]byte(answer)); (err != nil) != c.reject {
				t.Errorf("polled(%s) = %v", answer, err)
			}
			for _, bad := range []string{`[]`, `null`, `{}`, strings.ReplaceAll(answer, p.uid, "other")} {
				if p.polled([]byte(bad)) == nil {
					t.Errorf("polled(%s) succeeded", bad)
				}
			}
			p.deleting()
			if err := p.polled([]byte(`[]`)); err != nil {
				t.Errorf("after the delete: %v", err)
			}
		})
	}
}

func TestCreated(t *testing.T) {
	p, err := newPod("n")
	if err != nil {
		t.Fatal(err)
	}
	for _, bad := range []string{`{}`, `[]`, `{"PodUID":"other","PodJID":"j"}`, `{"PodUID":"` + p.uid + `","PodJID":""}`} {
		if p.created([]byte(bad)) == nil {
			t.Errorf("created(%s) succeeded", bad)
		}
	}
	if err := p.created([]byte(`{"PodUID":"` + p.uid + `","PodJID":"j"}`)); err != nil {
		t.Error(err)
	}
}
