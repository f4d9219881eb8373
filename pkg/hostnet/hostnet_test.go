package hostnet

import (
	"net/netip"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// routes as the kernel of a little-endian machine prints them: a default route,
// a VPN, a LAN, two networks of engines and a single host.
const routeTable = `Iface	Destination	Gateway 	Flags	RefCnt	Use	Metric	Mask		MTU	Window	IRTT
eth0	00000000	010200C0	0003	0	0	0	00000000	0	0	0
tun0	0000D50A	00000000	0001	0	0	0	0000FFFF	0	0	0
eth0	000200C0	00000000	0001	0	0	0	00FFFFFF	0	0	0
br-08e230858cc9	00005A64	00000000	0001	0	0	0	F0FFFFFF	0	0	0
docker0	000011AC	00000000	0001	0	0	0	0000FFFF	0	0	0
eth0	070200C0	00000000	0005	0	0	0	FFFFFFFF	0	0	0
`

func TestRoutes(t *testing.T) {
	proc := t.TempDir()
	if err := os.Mkdir(filepath.Join(proc, "net"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(proc, "net", "route"), []byte(routeTable), 0o600); err != nil {
		t.Fatal(err)
	}
	got, err := Routes(proc)
	if err != nil {
		t.Fatal(err)
	}
	var want []netip.Prefix
	for _, text := range []string{"10.213.0.0/16", "192.0.2.0/24", "100.90.0.0/28", "172.17.0.0/16", "192.0.2.7/32"} {
		want = append(want, netip.MustParsePrefix(text))
	}
	same := cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })
	if diff := cmp.Diff(want, got, same); diff != "" {
		t.Errorf("Routes() (-want +got):\n%s", diff)
	}
	chosen, ok := freeOf(got, defaultNetworks)
	if !ok || chosen != defaultNetworks[2] {
		t.Errorf("freeOf() = %s, %v, want the first range that neither the VPN nor another engine uses", chosen, ok)
	}
}

func TestFreeOf(t *testing.T) {
	for name, c := range map[string]struct {
		routes []string
		want   int
	}{
		"no routes":     {nil, 0},
		"around it":     {[]string{"10.0.0.0/8"}, 1},
		"inside it":     {[]string{"10.213.7.0/24"}, 1},
		"beside it":     {[]string{"10.213.32.0/24"}, 0},
		"two are taken": {[]string{"10.0.0.0/8", "100.64.0.0/10"}, 2},
		"all are taken": {[]string{"10.0.0.0/8", "100.64.0.0/10", "198.18.0.0/15"}, -1},
	} {
		t.Run(name, func(t *testing.T) {
			var routes []netip.Prefix
			for _, text := range c.routes {
				routes = append(routes, netip.MustParsePrefix(text))
			}
			got, ok := freeOf(routes, defaultNetworks)
			if ok != (c.want >= 0) || ok && got != defaultNetworks[c.want] {
				t.Errorf("freeOf() = %s, %v", got, ok)
			}
		})
	}
}
