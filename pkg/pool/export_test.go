package pool

import "net/netip"

// What the tests of this package look at from outside.
type Subnets = subnets

var (
	NewSubnets = newSubnets
	Cut        = cut
)

func (s *subnets) Take(sandbox string) (string, error)        { return s.take(sandbox) }
func (s *subnets) Give(sandbox string)                        { s.give(sandbox) }
func (s *subnets) Claim(sandbox string, network netip.Prefix) { s.claim(sandbox, network) }
func (p *Pool) Knows(name string) bool                        { return p.knows(name) }
