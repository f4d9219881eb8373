package sandbox

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
)

func TestCut(t *testing.T) {
	for _, c := range []struct {
		parent      string
		count       int
		first, last string
	}{
		{"10.1.2.0/24", 16, "10.1.2.0/28", "10.1.2.240/28"},
		{"10.1.2.77/24", 16, "10.1.2.0/28", "10.1.2.240/28"},
		{"172.20.0.0/16", 4096, "172.20.0.0/28", "172.20.255.240/28"},
		{"10.0.0.0/8", 4096, "10.0.0.0/28", "10.0.255.240/28"},
		{"10.1.2.16/28", 1, "10.1.2.16/28", "10.1.2.16/28"},
		{"10.1.2.16/30", 1, "10.1.2.16/30", "10.1.2.16/30"},
		{"255.255.255.0/24", 16, "255.255.255.0/28", "255.255.255.240/28"},
	} {
		t.Run(c.parent, func(t *testing.T) {
			got := cut(netip.MustParsePrefix(c.parent))
			if len(got) != c.count || got[0].String() != c.first || got[len(got)-1].String() != c.last {
				t.Errorf("Cut() = %d from %s to %s, want %d from %s to %s",
					len(got), got[0], got[len(got)-1], c.count, c.first, c.last)
			}
			seen := map[netip.Prefix]bool{}
			for _, p := range got {
				if seen[p] || p != p.Masked() {
					t.Fatalf("%s is there twice, or not a network's address", p)
				}
				seen[p] = true
			}
		})
	}
}

func prefixes(texts ...string) []netip.Prefix {
	var out []netip.Prefix
	for _, text := range texts {
		out = append(out, netip.MustParsePrefix(text))
	}
	return out
}

func take(t *testing.T, s *subnets, name, want string) {
	t.Helper()
	if got, err := s.take(name); err != nil || got != want {
		t.Errorf("Take(%s) = %q, %v, want %q", name, got, err, want)
	}
}

func TestSubnetsOrder(t *testing.T) {
	s := newSubnets(prefixes("10.1.0.0/27", "10.2.0.0/28"))
	take(t, s, "a", "10.1.0.0/28")
	take(t, s, "a", "10.1.0.0/28")
	take(t, s, "b", "10.1.0.16/28")
	s.give("a")
	s.give("a")
	s.give("unknown")
	take(t, s, "c", "10.2.0.0/28")
	take(t, s, "d", "10.1.0.0/28")
	_, err := s.take("e")
	if !errdefs.IsResourceExhausted(err) {
		t.Fatalf("Take() of none left = %v, want ErrResourceExhausted", err)
	}
	if want := "no subnet is left for a sandbox, all 3 are in use: widen DockerNetworkSubnet"; !strings.HasPrefix(err.Error(), want) {
		t.Errorf("error %q, want %q", err, want)
	}
	s.give("b")
	take(t, s, "e", "10.1.0.16/28")
}

func TestSubnetsLeaveTheChoiceToTheEngine(t *testing.T) {
	s := newSubnets(nil)
	for i := range 3 {
		take(t, s, fmt.Sprint(i), "")
	}
}

func TestSubnetsClaim(t *testing.T) {
	s := newSubnets(prefixes("10.1.0.0/27"))
	s.claim("elsewhere", netip.MustParsePrefix("192.168.0.0/24"))
	s.claim("earlier", netip.MustParsePrefix("10.1.0.0/28"))
	take(t, s, "new", "10.1.0.16/28")
	if got, err := s.take("another"); err == nil {
		t.Errorf("Take() = %s, which an earlier sandbox has", got)
	}
	s.give("earlier")
	take(t, s, "another", "10.1.0.0/28")
}

// A network that the engine chose before the setting was made may be larger
// than one of ours: the engine refuses each that lies in it.
func TestSubnetsClaimOfALargerNetwork(t *testing.T) {
	s := newSubnets(prefixes("10.1.0.0/24"))
	s.claim("earlier", netip.MustParsePrefix("10.1.0.0/25"))
	take(t, s, "new", "10.1.0.128/28")
	for range 7 {
		s.give("new")
		if got, err := s.take("new"); err == nil && netip.MustParsePrefix("10.1.0.0/25").Overlaps(netip.MustParsePrefix(got)) {
			t.Fatalf("Take() = %s, which an earlier sandbox's network covers", got)
		}
	}
	s.give("earlier")
	free := map[string]bool{}
	for i := range 17 {
		if got, err := s.take(fmt.Sprint(i)); err == nil {
			free[got] = true
		}
	}
	if s.give("new"); len(free) != 15 {
		t.Errorf("%d subnets after the larger network is gone, want all 15 but the one that is held", len(free))
	}
}
