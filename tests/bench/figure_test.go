package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestReport(t *testing.T) {
	var out bytes.Buffer
	r := report{out: &out}
	r.addTimes("plain", []time.Duration{100 * time.Millisecond, 200 * time.Millisecond, 100 * time.Millisecond}, "plain")
	r.addTimes("pod", []time.Duration{131234 * time.Microsecond}, "plain")
	r.addTimes("answer", []time.Duration{1234 * time.Microsecond}, "absent")
	r.addMemory("memory", usage{resident: 61_054, private: 2000}, 2)
	want := "bench plain 100 200 ms -\nbench pod 131 131 ms 1.31\nbench answer 1.23 1.23 ms -\nbench memory_resident 31.3 31.3 MB -\n" +
		"bench memory_private 1.02 1.02 MB -\n"
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Errorf("lines (-want +got):\n%s", diff)
	}
	if pod, _ := r.find("pod"); pod.Against != "plain" {
		t.Errorf("pod is compared with %q, want plain", pod.Against)
	}
}

func TestWriteChart(t *testing.T) {
	path := filepath.Join(t.TempDir(), "chart.svg")
	figures := []Figure{
		{Name: "plain_start_bridge", P50: 110, Unit: "ms", Ratio: 1.1},
		{Name: "create_running_warm", P50: 120, Unit: "ms", Ratio: 1.23},
		{Name: "memory", P50: 30, Unit: "MB"},
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
