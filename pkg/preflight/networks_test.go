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
	large, small := map[string]int{"bridge": 1500, "other": 1400}, map[string]int{"bridge": 1400}
	for name, c := range map[string]struct {
		mtus  preflight.MTUs
		want  preflight.Verdict
		found string
	}{
		"equal":           {preflight.MTUs{Sandboxes: 1500, Uplink: 1500, Own: large, Others: large}, preflight.OK, "1500 on the host's uplink"},
		"smaller":         {preflight.MTUs{Sandboxes: 1380, Uplink: 1450, Own: small, Others: small}, preflight.OK, "1380 bytes"},
		"larger":          {preflight.MTUs{Sandboxes: 1500, Uplink: 1450, Own: small, Others: small}, preflight.Warn, "1500 bytes in the networks of sandboxes, but 1450"},
		"no route":        {preflight.MTUs{Sandboxes: 1500, Others: large}, preflight.OK, "no default route"},
		"older sandboxes": {preflight.MTUs{Sandboxes: 1450, Uplink: 1450, Own: large, Others: large}, preflight.Warn, "the networks of 1 sandboxes have more"},
		"other networks":  {preflight.MTUs{Sandboxes: 1450, Uplink: 1450, Own: small, Others: large}, preflight.Warn, "connections of their containers may hang: bridge (1500)"},
	} {
		got := c.mtus.Judge()
		if got.Verdict != c.want || !strings.Contains(got.Found, c.found) || (got.Verdict == preflight.Warn) != (got.Do != "") {
			t.Errorf("%s: %+v, want %s with %q", name, got, c.want, c.found)
		}
	}
}
