package preflight_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/preflight"
)

// TestClusterNetwork: a node that refuses pods for lack of a device warns, unless it is off.
func TestClusterNetwork(t *testing.T) {
	missing := errors.New("there is no /dev/net/tun")
	for _, c := range []struct {
		on     bool
		device error
		want   preflight.Verdict
	}{{true, nil, preflight.OK}, {true, missing, preflight.Warn}, {false, missing, preflight.OK}} {
		got := preflight.ClusterNetwork(c.on, c.device)
		if got.Verdict != c.want || strings.Contains(got.Found, missing.Error()) != (c.want == preflight.Warn) {
			t.Errorf("ClusterNetwork(%t, %v) = %+v", c.on, c.device, got)
		}
	}
}

// TestMTU: packets that the uplink does not carry are a warning; smaller ones are not.
func TestMTU(t *testing.T) {
	for _, c := range []struct {
		networks, uplink int
		want             preflight.Verdict
	}{{1500, 1500, preflight.OK}, {1380, 1450, preflight.OK}, {1500, 1450, preflight.Warn}, {1500, 0, preflight.OK}} {
		if got := preflight.MTU(c.networks, c.uplink); got.Verdict != c.want || (got.Verdict == preflight.Warn) != strings.Contains(got.Do, "NetworkMTU") {
			t.Errorf("MTU(%d, %d) = %+v, want %s", c.networks, c.uplink, got, c.want)
		}
	}
}
