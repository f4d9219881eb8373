package hostnet

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/engine"
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

// changing is an engine and a machine whose networks and routes change between two looks.
type changing struct {
	looks []look
	at    int
}

// look is what there is at one time.
type look struct{ routes, networks []string }

func (c *changing) ListNetworks(context.Context, ...string) (out []engine.Network, err error) {
	for _, subnet := range c.looks[min(c.at, len(c.looks)-1)].networks {
		out = append(out, engine.Network{Subnet: subnet})
	}
	c.at++
	return out, nil
}

func (c *changing) routes() (out []netip.Prefix, err error) {
	for _, route := range c.looks[min(c.at, len(c.looks)-1)].routes {
		out = append(out, netip.MustParsePrefix(route))
	}
	return out, nil
}

// TestForeign: a network of the engine that is made or removed between two looks is not
// taken for another's, and another's is found.
func TestForeign(t *testing.T) {
	const lan, own, other = "192.0.2.0/24", "10.213.0.16/28", "10.213.7.0/24"
	for name, c := range map[string]struct {
		looks []look
		want  []string
	}{
		"nothing of the range":  {[]look{{[]string{lan}, nil}}, nil},
		"the engine's own":      {[]look{{[]string{lan, own}, []string{"10.213.0.17/28"}}}, nil},
		"one that is removed":   {[]look{{[]string{own}, nil}, {nil, nil}}, nil},
		"one that is made":      {[]look{{[]string{own}, nil}, {[]string{own}, []string{own}}}, nil},
		"another's":             {[]look{{[]string{lan, other}, []string{own}}}, []string{other}},
		"another's and changes": {[]look{{[]string{own, other}, nil}, {[]string{other}, nil}}, []string{other}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				host := &changing{looks: c.looks}
				got, _, err := foreign(t.Context(), host, defaultNetworks, host.routes)
				if texts := fmt.Sprint(got); err != nil || texts != fmt.Sprint(c.want) {
					t.Errorf("foreign() = %s, %v, want %s", texts, err, c.want)
				}
			})
		})
	}
}
