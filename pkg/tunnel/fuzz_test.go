package tunnel

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/initapi"
)

// FuzzWish: a wish that is taken becomes settings of WireGuard in which nothing stands
// that the wish has smuggled in.
func FuzzWish(f *testing.F) {
	good, err := json.Marshal(meshWish())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add([]byte(`{"server":"wss://h","pathPrefix":"s","reverse":[{"listen":"[::1]:1","target":"h:2"}],"proxy":"http://u:p@h:1"}`))
	f.Add([]byte(`{"server":"ws://h:80","pathPrefix":"s","wireGuard":{"remote":"a\n:1"}}`))
	known := []string{"private_key", "replace_peers", "public_key", "endpoint", "persistent_keepalive_interval", "replace_allowed_ips", "allowed_ip"}
	f.Fuzz(func(t *testing.T, text []byte) {
		var wish initapi.Tunnel
		if json.Unmarshal(text, &wish) != nil {
			return
		}
		if _, err := New(wish, nil); err != nil {
			return
		}
		if wish.WireGuard == nil {
			return
		}
		got, err := settings(*wish.WireGuard)
		if err != nil {
			t.Fatalf("taken, and then refused: %v", err)
		}
		if lines := strings.Count(got, "\n"); lines > 6+len(wish.WireGuard.AllowedIPs) {
			t.Errorf("%d lines for %d prefixes:\n%s", lines, len(wish.WireGuard.AllowedIPs), got)
		}
		for line := range strings.Lines(got) {
			name, value, found := strings.Cut(strings.TrimSuffix(line, "\n"), "=")
			if !found || !slices.Contains(known, name) || strings.ContainsAny(value, "= \t\r") {
				t.Errorf("the line %q of\n%s", line, got)
			}
		}
	})
}
