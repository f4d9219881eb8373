package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/config"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/gpu"
)

// A drain is seen in the next answer, outlives docker-sd, and its end takes the
// taint back although the caller leaves alone what is not reported.
func TestDrain(t *testing.T) {
	dir := t.TempDir()
	path := settingsFile(t, "DataRootFolder: "+dir+"\n")
	drain := func(args ...string) {
		t.Helper()
		var out bytes.Buffer
		if err := run(t.Context(), append([]string{"drain", "-interlinkconfigpath", path}, args...), noVariables, &out); err != nil || out.Len() == 0 {
			t.Fatalf("drain %v = %v with %q", args, err, out.String())
		}
	}
	own := []config.Taint{{Key: "k", Value: "v", Effect: "NoExecute"}}
	said := func(taints []config.Taint) string {
		n := newNode(config.Config{MaxPods: 1, DataRootFolder: dir, PingTaints: taints}, gpu.NewLedger(gpu.Sharing{}))
		_, after, _ := strings.Cut(pinged(t, n), `"pods":`)
		return after
	}
	const taint = `{"key":"docker-sd.interlink/drain","value":"true","effect":"NoSchedule"}`
	const ownTaint = `{"key":"k","value":"v","effect":"NoExecute"}`
	for _, step := range []struct {
		do               func()
		without, withOwn string
	}{
		{func() {}, `"1"}}`, `"1"},"taints":[` + ownTaint + `]}`},
		{func() { drain() }, `"0"},"taints":[` + taint + `]}`, `"0"},"taints":[` + ownTaint + `,` + taint + `]}`},
		{func() { drain("--off") }, `"1"},"taints":[]}`, `"1"},"taints":[` + ownTaint + `]}`},
		{func() {
			past := time.Now().Add(-undrainPeriod - time.Second)
			if err := os.Chtimes(filepath.Join(dir, "drain"), past, past); err != nil {
				t.Fatal(err)
			}
		}, `"1"}}`, `"1"},"taints":[` + ownTaint + `]}`},
	} {
		step.do()
		if got := said(nil); got != step.without {
			t.Errorf("a ping ends in %s, want %s", got, step.without)
		}
		if got := said(own); got != step.withOwn {
			t.Errorf("a ping with taints configured ends in %s, want %s", got, step.withOwn)
		}
	}
	if info, err := os.Stat(filepath.Join(dir, "drain")); err != nil || info.Mode() != 0o600 {
		t.Errorf("the file is %v, %v", info, err)
	}
	nowhere := settingsFile(t, "DataRootFolder: "+filepath.Join(dir, "none")+"\n")
	if err := run(t.Context(), []string{"drain", "-interlinkconfigpath", nowhere}, noVariables, nil); err == nil {
		t.Error("drain of a docker-sd that never ran succeeded")
	}
}
