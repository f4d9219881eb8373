package main

import (
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/intertwin-eu/interlink-docker-plugin/tests/figures"
)

// Figure is one measured quantity.
type Figure struct {
	Name string  `json:"name"`
	What string  `json:"what"`
	P50  float64 `json:"p50"`
	P99  float64 `json:"p99"`
	Max  float64 `json:"max"`
	Unit string  `json:"unit"`
	// Samples is how many there were.
	Samples int `json:"samples"`
}

// kinds of figures in the order in which they are told, with what they say.
func kinds() []Figure {
	return []Figure{
		{Name: "create", What: "create, answered", Unit: "ms"},
		{Name: "status", What: "status of one pod", Unit: "ms"},
		{Name: "round", What: "status round of a node", Unit: "ms"},
		{Name: "ping", What: "ping", Unit: "ms"},
		{Name: "delete", What: "delete, answered", Unit: "ms"},
		{Name: "cpu_start", What: "CPU time per pod that starts, polls included", Unit: "ms"},
		{Name: "cpu_polled", What: "CPU of a docker-sd whose pods are only polled, of one core", Unit: "%"},
		{Name: "memory", What: "resident memory of a docker-sd", Unit: "MB"},
	}
}

// samples are collected by all virtual kubelets.
type samples struct {
	mu   sync.Mutex
	seen map[string][]float64
}

// newSamples are none.
func newSamples() *samples { return &samples{seen: map[string][]float64{}} }

// add adds a value to the figure of a name.
func (s *samples) add(name string, value float64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seen[name] = append(s.seen[name], value)
}

// since adds the milliseconds since a moment.
func (s *samples) since(name string, began time.Time) {
	s.add(name, float64(time.Since(began))/float64(time.Millisecond))
}

// figures sums up what was collected, in the order of kinds.
func (s *samples) figures() []Figure {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := kinds()
	for i := range out {
		values := s.seen[out[i].Name]
		if out[i].Samples = len(values); len(values) == 0 {
			continue
		}
		out[i].P50, out[i].P99, out[i].Max = figures.Percentile(values, 50), figures.Percentile(values, 99), slices.Max(values)
	}
	return out
}

// document is the JSON file, and what the table in the docs is made from.
type document struct {
	Taken time.Time `json:"taken"`
	CPUs  int       `json:"cpus"`
	Nodes int       `json:"nodes"`
	// Pods were created in all, of which as many as Running ran at a time.
	Pods    int `json:"pods"`
	Running int `json:"running"`
	// Polls while nothing else happened; none of them made a docker-sd ask an engine.
	Polls   int      `json:"polls"`
	Figures []Figure `json:"figures"`
}

// print writes one line for each figure: simulate NAME P50 P99 UNIT.
func (d document) print(w io.Writer) {
	for _, f := range d.Figures {
		fmt.Fprintf(w, "simulate %s %s %s %s\n", f.Name, figures.Number(f.P50), figures.Number(f.P99), f.Unit)
	}
}

// table is what stands in the docs.
func (d document) table() string {
	out := fmt.Sprintf("%d docker-sd with %d running pods, %d created in all, on one machine of %d cores with the\n"+
		"clients and the engines that pretend; %d polls of running pods caused no call to an engine.\n\n"+
		"| | p50 | p99 | max | |\n|---|---:|---:|---:|---|\n", d.Nodes, d.Running, d.Pods, d.CPUs, d.Polls)
	for _, f := range d.Figures {
		out += fmt.Sprintf("| %s | %s | %s | %s | %s |\n", f.What, figures.Number(f.P50), figures.Number(f.P99), figures.Number(f.Max), f.Unit)
	}
	return out
}

// Marks around the table in the docs.
const (
	tableMark = "<!-- written by tests/simulate -->\n"
	tableEnd  = "<!-- end -->\n"
)

// writeDocs puts the table between its marks.
func (d document) writeDocs(path string) error {
	file, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("read the docs: %w", err)
	}
	head, rest, found := strings.Cut(string(file), tableMark)
	_, tail, ended := strings.Cut(rest, tableEnd)
	if !found || !ended {
		return fmt.Errorf("%s lacks %q or %q", path, tableMark, tableEnd)
	}
	if err := os.WriteFile(path, []byte(head+tableMark+d.table()+tableEnd+tail), 0o644); err != nil {
		return fmt.Errorf("write the docs: %w", err)
	}
	return nil
}
