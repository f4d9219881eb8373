package main

import (
	"fmt"
	"io"
	"slices"
	"strconv"
	"time"

	"github.com/intertwin-eu/interlink-docker-plugin/tests/figures"
)

// Figure is one measured quantity of docker-sd or of the plain engine.
type Figure struct {
	Name string `json:"name"`
	// P50 and P99 are in Unit. With few samples P99 is the largest of them.
	P50  float64 `json:"p50"`
	P99  float64 `json:"p99"`
	Unit string  `json:"unit"`
	// Ratio is P50 divided by the P50 of the figure named in Against; 0 where a
	// ratio means nothing.
	Ratio   float64   `json:"ratio,omitempty"`
	Against string    `json:"against,omitempty"`
	Samples []float64 `json:"samples"`
}

func milliseconds(durations []time.Duration) []float64 {
	out := make([]float64, len(durations))
	for i, d := range durations {
		out[i] = float64(d) / float64(time.Millisecond)
	}
	return out
}

// line is what a figure looks like on standard output.
func (f Figure) line() string {
	ratio := "-"
	if f.Ratio > 0 {
		ratio = strconv.FormatFloat(f.Ratio, 'f', 2, 64)
	}
	return fmt.Sprintf("bench %s %s %s %s %s", f.Name, figures.Number(f.P50), figures.Number(f.P99), f.Unit, ratio)
}

// report collects the figures of a run and prints each as it comes.
type report struct {
	out     io.Writer
	figures []Figure
}

// add records a figure and its ratio to the one named against, "" for none.
func (r *report) add(name, unit string, samples []float64, against string) {
	f := Figure{Name: name, Unit: unit, Samples: samples, P50: figures.Percentile(samples, 50), P99: figures.Percentile(samples, 99)}
	if base, found := r.find(against); found && base.P50 > 0 {
		f.Ratio, f.Against = f.P50/base.P50, against
	}
	r.figures = append(r.figures, f)
	fmt.Fprintln(r.out, f.line())
}

func (r *report) addTimes(name string, times []time.Duration, against string) {
	r.add(name, "ms", milliseconds(times), against)
}

func (r *report) find(name string) (Figure, bool) {
	at := slices.IndexFunc(r.figures, func(f Figure) bool { return f.Name == name })
	if at < 0 {
		return Figure{}, false
	}
	return r.figures[at], true
}

// document is the JSON file.
type document struct {
	Taken   time.Time `json:"taken"`
	Quick   bool      `json:"quick"`
	Engine  string    `json:"engine"`
	CPUs    int       `json:"cpus"`
	Figures []Figure  `json:"figures"`
}
