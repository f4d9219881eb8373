package sandbox

import (
	"fmt"
	"net/netip"
	"sync"

	"github.com/containerd/errdefs"
)

// subnetBits is the size of one sandbox's network: the sandbox, its gateway,
// and the two addresses that IPv4 reserves need four; the rest is headroom for
// what an operator attaches.
const subnetBits = 28

// subnets gives each sandbox a network out of the configured parents
// (DockerNetworkSubnet). Freed ones are used again last.
type subnets struct {
	configured bool

	mu    sync.Mutex
	free  []netip.Prefix
	taken map[string][]netip.Prefix
}

func newSubnets(parents []netip.Prefix) *subnets {
	s := &subnets{configured: len(parents) > 0, taken: map[string][]netip.Prefix{}}
	for _, parent := range parents {
		s.free = append(s.free, cut(parent)...)
	}
	return s
}

// maxSubnets bounds what is cut out of one parent: a /8 holds a million.
const maxSubnets = 4096

func cut(parent netip.Prefix) []netip.Prefix {
	parent = parent.Masked()
	var out []netip.Prefix
	for at := parent.Addr(); parent.Contains(at) && len(out) < maxSubnets; {
		out = append(out, netip.PrefixFrom(at, max(subnetBits, parent.Bits())))
		bytes := at.As4()
		next := uint32(bytes[0])<<24 | uint32(bytes[1])<<16 | uint32(bytes[2])<<8 | uint32(bytes[3])
		next += 1 << (32 - subnetBits)
		at = netip.AddrFrom4([4]byte{byte(next >> 24), byte(next >> 16), byte(next >> 8), byte(next)})
	}
	return out
}

// take returns the network for a sandbox, "" when the engine is to choose.
func (s *subnets) take(sandbox string) (string, error) {
	if !s.configured {
		return "", nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if held := s.taken[sandbox]; len(held) > 0 {
		return held[0].String(), nil
	}
	if len(s.free) == 0 {
		return "", fmt.Errorf("no subnet is left for a sandbox, all %d are in use: widen DockerNetworkSubnet: %w",
			len(s.taken), errdefs.ErrResourceExhausted)
	}
	prefix := s.free[0]
	s.free = s.free[1:]
	s.taken[sandbox] = []netip.Prefix{prefix}
	return prefix.String(), nil
}

// pass sets aside the network that take returned, because something else uses
// it: another docker-sd, or a network of the operator's. It is tried again last.
func (s *subnets) pass(sandbox string) { s.give(sandbox) }

// left counts the networks that are free.
func (s *subnets) left() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.free)
}

func (s *subnets) give(sandbox string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.free = append(s.free, s.taken[sandbox]...)
	delete(s.taken, sandbox)
}

// claim marks the network of a sandbox that outlived us as taken; it may be
// larger than ours are.
func (s *subnets) claim(sandbox string, network netip.Prefix) {
	s.mu.Lock()
	defer s.mu.Unlock()
	free := s.free[:0]
	for _, prefix := range s.free {
		if prefix.Overlaps(network) {
			s.taken[sandbox] = append(s.taken[sandbox], prefix)
		} else {
			free = append(free, prefix)
		}
	}
	s.free = free
}

// Subnets lists the ranges of sandboxes' networks that parents are cut into.
func Subnets(parents []netip.Prefix) []netip.Prefix { return newSubnets(parents).free }
