package figures_test

import (
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/intertwin-eu/interlink-docker-plugin/tests/figures"
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
			if got := figures.Percentile(tt.samples, tt.p); got != tt.want {
				t.Errorf("Percentile(%v, %v) = %v, want %v", tt.samples, tt.p, got, tt.want)
			}
		})
	}
	if got := figures.Percentile(nil, 50); !math.IsNaN(got) {
		t.Errorf("Percentile of nothing = %v, want NaN", got)
	}
	if hundred[0] != 100 {
		t.Error("Percentile changed its argument")
	}
}

func TestNumber(t *testing.T) {
	for v, want := range map[float64]string{0.126: "0.13", 9.994: "9.99", 31.26: "31.3", 131.5: "132"} {
		if got := figures.Number(v); got != want {
			t.Errorf("Number(%v) = %s, want %s", v, got, want)
		}
	}
}

func TestWrite(t *testing.T) {
	path := filepath.Join(t.TempDir(), "figures.json")
	want := map[string][]float64{"a": {1, 2}}
	if err := figures.Write(path, want); err != nil {
		t.Fatal(err)
	}
	body, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var got map[string][]float64
	if err := json.Unmarshal(body, &got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("document (-want +got):\n%s", diff)
	}
	if err := figures.Write(path, math.NaN()); err == nil {
		t.Error("what is no JSON was written")
	}
}
