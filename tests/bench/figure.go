package main

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
	"strconv"
	"time"
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

// percentile is the nearest-rank percentile of samples, NaN if there are none.
func percentile(samples []float64, p float64) float64 {
	if len(samples) == 0 {
		return math.NaN()
	}
	sorted := slices.Sorted(slices.Values(samples))
	rank := int(math.Ceil(p / 100 * float64(len(sorted))))
	return sorted[min(max(rank, 1), len(sorted))-1]
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
	return fmt.Sprintf("bench %s %s %s %s %s", f.Name, number(f.P50), number(f.P99), f.Unit, ratio)
}

// number keeps three significant digits of small values and no decimals of
// large ones.
func number(v float64) string {
	switch {
	case v >= 100:
		return strconv.FormatFloat(v, 'f', 0, 64)
	case v >= 10:
		return strconv.FormatFloat(v, 'f', 1, 64)
	}
	return strconv.FormatFloat(v, 'f', 2, 64)
}

// report collects the figures of a run and prints each as it comes.
type report struct {
	out     io.Writer
	figures []Figure
}

// add records a figure and its ratio to the one named against, "" for none.
func (r *report) add(name, unit string, samples []float64, against string) {
	f := Figure{Name: name, Unit: unit, Samples: samples, P50: percentile(samples, 50), P99: percentile(samples, 99)}
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

func writeJSON(path string, d document) error {
	body, err := json.MarshalIndent(d, "", " ")
	if err != nil {
		return fmt.Errorf("encode the figures: %w", err)
	}
	if err := os.WriteFile(path, append(body, '\n'), 0o644); err != nil {
		return fmt.Errorf("write the figures: %w", err)
	}
	return nil
}
