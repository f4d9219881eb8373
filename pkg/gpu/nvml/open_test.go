package nvml_test

import (
	"path/filepath"
	"testing"

	"github.com/containerd/errdefs"
	"github.com/google/go-cmp/cmp"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/gpu"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/gpu/gputest"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/gpu/monitor"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/gpu/nvml"
)

// It holds for both builds: without cgo there is no driver either.
func TestOpenOrNoneWithoutDriver(t *testing.T) {
	d, err := nvml.OpenOrNone(t.Context(), nvml.Options{LibraryPath: filepath.Join(t.TempDir(), "none.so")})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	l := gpu.NewLedger(gpu.Sharing{})
	if err := monitor.New(monitor.Config{Discoverer: d, Ledger: l}).Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]int64{gpu.ResourceGPU: 0}, l.Totals()); diff != "" {
		t.Errorf("totals (-want +got):\n%s", diff)
	}
	if _, err := l.Reserve("pod", gputest.Ask("main", 1)); !errdefs.IsResourceExhausted(err) {
		t.Errorf("error = %v, want resource exhausted", err)
	}
	if err := d.Probe(t.Context(), "GPU-0"); !errdefs.IsNotFound(err) {
		t.Errorf("probe = %v, want not found", err)
	}
}
