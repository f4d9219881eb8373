//go:build e2e

package tunnels_test

import (
	"strconv"
	"testing"
	"time"

	"github.com/intertwin-eu/interlink-docker-plugin/tests/clusterpeer"
)

func TestMesh(t *testing.T) {
	w := newWorld(t, nil)
	began := time.Now()
	tunnel := w.start(w.mesh(w.direct()))
	state := tunnel.waitFor("up", up)
	t.Logf("up after %s", time.Since(began))
	if !state.Wanted || state.Error != "" || time.Since(state.Handshake) > within || state.Reconnections != 0 {
		t.Errorf("the state is %+v", state)
	}
	w.wantService()
	const size = 100 << 20
	for _, way := range []string{"-download", "-upload"} {
		took, err := w.inPod(way, strconv.Itoa(size), "http://"+clusterpeer.ServiceAddress)
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("%s of %d bytes took %s s", way, size, took)
	}
}
