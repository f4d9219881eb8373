package hostnet

import (
	"os"
	"path/filepath"
	"testing"
)

// TestUplinkMTU: the least of all default routes counts, and no other interface.
func TestUplinkMTU(t *testing.T) {
	const second = "wg0\t00000000\t010200C0\t0003\t0\t0\t10\t00000000\t0\t0\t0\n"
	for name, c := range map[string]struct {
		routes string
		mtu    map[string]string
		want   int
	}{
		"one":               {routeTable, map[string]string{"eth0": "1450", "tun0": "1280"}, 1450},
		"two":               {routeTable + second, map[string]string{"eth0": "1500", "wg0": "1420"}, 1420},
		"one is not known":  {routeTable + second, map[string]string{"eth0": "9000"}, 9000},
		"no default route":  {"Iface\tDestination\n", map[string]string{"eth0": "1450"}, 0},
		"no file of routes": {"", map[string]string{"eth0": "1450"}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			proc, sys := t.TempDir(), t.TempDir()
			files := map[string]string{}
			if c.routes != "" {
				files[filepath.Join(proc, "net", "route")] = c.routes
			}
			for device, mtu := range c.mtu {
				files[filepath.Join(sys, "class", "net", device, "mtu")] = mtu + "\n"
			}
			for path, text := range files {
				if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			if got := uplinkMTU(proc, sys); got != c.want {
				t.Errorf("uplinkMTU() = %d, want %d", got, c.want)
			}
		})
	}
}
