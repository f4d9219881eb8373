package config

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestShown: every key that has an effect is there, and nothing that is only accepted.
func TestShown(t *testing.T) {
	c := Default()
	c.GPU.HoldDown, c.InterlinkAPI.Address, c.HostPathPrefixes = 3*time.Minute, ":3000", []string{"/a"}
	got, err := Shown(c)
	if err != nil {
		t.Fatal(err)
	}
	accepted := map[string]bool{}
	for _, s := range unused() {
		accepted[s.key] = true
	}
	for _, s := range c.settings() {
		if _, there := got[s.key]; there == accepted[s.key] {
			t.Errorf("%s is there: %t", s.key, there)
		}
	}
	api, _ := got["InterlinkAPI"].(map[string]any)
	if got["GPUHoldDown"] != "3m0s" || api["Address"] != ":3000" || !cmp.Equal(got["HostPathPrefixes"], []any{"/a"}) {
		t.Errorf("Shown() = %v", got)
	}
}
