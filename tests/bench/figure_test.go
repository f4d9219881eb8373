package main

import (
	"bytes"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestPercentile(t *testing.T) {
	hundred := make([]float64, 100)
	for i := range hundred {
		hundred[i] = float64(100 - i)
	}
	tests := []struct {
		name    string
		samples []float64
		p, want float64
	}{
		{"one sample is every percentile", []float64{7}, 99, 7},
		{"median of three, unsorted", []float64{9, 1, 5}, 50, 5},
		{"lower median of two", []float64{4, 2}, 50, 2},
		{"p99 of few is the largest", []float64{1, 2, 3}, 99, 3},
		{"p99 of a hundred is the second largest", hundred, 99, 99},
		{"p50 of a hundred", hundred, 50, 50},
		{"p0 is the smallest", hundred, 0, 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := percentile(tt.samples, tt.p); got != tt.want {
				t.Errorf("percentile(%v, %v) = %v, want %v", tt.samples, tt.p, got, tt.want)
			}
		})
	}
	if got := percentile(nil, 50); !math.IsNaN(got) {
		t.Errorf("percentile of nothing = %v, want NaN", got)
	}
	if hundred[0] != 100 {
		t.Error("percentile changed its argument")
	}
}

func TestReport(t *testing.T) {
	var out bytes.Buffer
	r := report{out: &out}
	r.addTimes("plain", []time.Duration{100 * time.Millisecond, 200 * time.Millisecond, 100 * time.Millisecond}, "plain")
	r.addTimes("pod", []time.Duration{131234 * time.Microsecond}, "plain")
	r.addTimes("answer", []time.Duration{1234 * time.Microsecond}, "absent")
	r.add("memory", "MiB", []float64{31.26}, "")
	want := "bench plain 100 200 ms -\nbench pod 131 131 ms 1.31\nbench answer 1.23 1.23 ms -\nbench memory 31.3 31.3 MiB -\n"
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Errorf("lines (-want +got):\n%s", diff)
	}
	if pod, _ := r.find("pod"); pod.Against != "plain" {
		t.Errorf("pod is compared with %q, want plain", pod.Against)
	}
}

func TestWriteJSON(t *testing.T) {
	path := filepath.Join(t.TempDir(), "figures.json")
	want := document{Taken: time.Unix(1, 0).UTC(), Quick: true, Engine: "20.10", CPUs: 2,
		Figures: []Figure{{Name: "a", P50: 1, P99: 2, Unit: "ms", Ratio: 0.5, Against: "b", Samples: []float64{1, 2}}}}
	if err := writeJSON(path, want); err != nil {
		t.Fatal(err)
	}
	body, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var got document
	if err := json.Unmarshal(body, &got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("document (-want +got):\n%s", diff)
	}
}

func TestWriteChart(t *testing.T) {
	path := filepath.Join(t.TempDir(), "chart.svg")
	figures := []Figure{
		{Name: "plain_start_bridge", P50: 110, Unit: "ms", Ratio: 1.1},
		{Name: "create_running_warm", P50: 120, Unit: "ms", Ratio: 1.23},
		{Name: "memory", P50: 30, Unit: "MiB"},
	}
	if err := writeChart(path, figures); err != nil {
		t.Fatal(err)
	}
	body, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	svg := string(body)
	for _, want := range []string{"<svg", "create_running_warm", "1.23", "</svg>"} {
		if !strings.Contains(svg, want) {
			t.Errorf("the chart does not contain %q", want)
		}
	}
	for _, other := range []string{"plain_start_bridge", "memory"} {
		if strings.Contains(svg, other) {
			t.Errorf("the chart contains %q, which is not docker-sd's ratio to the plain engine", other)
		}
	}
	if err := writeChart(path, figures[2:]); err == nil {
		t.Error("a chart without a ratio was drawn")
	}
}
