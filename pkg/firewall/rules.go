package firewall

import (
	"net/netip"
	"slices"

	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// rule of one of the table's chains.
type rule struct {
	chain string
	match []expr.Any
}

// The chains: three on hooks of the kernel, which send what comes from sandboxes on
// to the others.
const (
	arrival, local, forwarded      = "arrival", "local", "forwarded"
	fromPods, podsToHost, podsAway = "from-pods", "pods-to-host", "pods-away"
)

// ruleset are the rules for what comes from sandboxes. Answers to what others have
// begun, such as probes and published ports, always pass. By the interface, not by
// the source address: a pod with NET_RAW can write any address in its packets.
func ruleset(c Config, earlier []string, resolvers []netip.Addr) []rule {
	var out []rule
	add := func(chain string, parts ...[]expr.Any) {
		out = append(out, rule{chain, append(slices.Concat(parts...), &expr.Counter{})})
	}
	end := func(chain string, verdict expr.Any, parts ...[]expr.Any) {
		add(chain, parts...)
		last := &out[len(out)-1]
		last.match = append(last.match, verdict)
	}
	sandboxes := [][]expr.Any{interfaceIs(expr.MetaKeyIIFNAME, []byte(prefix(c.Instance)))}
	targets := [][]expr.Any{interfaceIs(expr.MetaKeyOIFNAME, []byte(family))}
	for _, bridge := range earlier {
		sandboxes = append(sandboxes, interfaceIs(expr.MetaKeyIIFNAME, whole(bridge)))
		targets = append(targets, interfaceIs(expr.MetaKeyOIFNAME, whole(bridge)))
	}
	for _, from := range sandboxes {
		end(arrival, jump(fromPods), from)
		end(local, jump(podsToHost), from)
		end(forwarded, jump(podsAway), from)
	}
	// A forged source could be the other end of a connection that the host has.
	end(fromPods, &expr.Verdict{Kind: expr.VerdictDrop}, forged())
	for _, chain := range []string{podsToHost, podsAway} {
		end(chain, accept(), answers())
		for _, server := range resolvers {
			for _, udp := range []bool{true, false} {
				end(chain, accept(), to(netip.PrefixFrom(server, server.BitLen())), port(53, udp))
			}
		}
	}
	end(podsToHost, accept(), neighbours())
	for _, e := range c.Host {
		match := port(e.Port, e.UDP)
		if e.Address.IsValid() {
			match = append(to(netip.PrefixFrom(e.Address, e.Address.BitLen())), match...)
		}
		end(podsToHost, accept(), match)
	}
	if !c.Metadata {
		for _, at := range Metadata {
			// The host may have such an address itself, for a service in a cloud's place.
			end(podsToHost, reject(), to(at))
			end(podsAway, reject(), to(at))
		}
	}
	if !c.AnyHost {
		end(podsToHost, reject())
	}
	for _, other := range targets {
		end(podsAway, reject(), other)
	}
	return out
}

// whole is an interface's name that has to match to its end.
func whole(name string) []byte {
	data := make([]byte, unix.IFNAMSIZ)
	copy(data, name)
	return data
}

func interfaceIs(key expr.MetaKey, name []byte) []expr.Any {
	return []expr.Any{&expr.Meta{Key: key, Register: 1}, equals(name)}
}

func equals(data []byte) expr.Any { return &expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: data} }

func jump(chain string) expr.Any { return &expr.Verdict{Kind: expr.VerdictJump, Chain: chain} }

func accept() expr.Any { return &expr.Verdict{Kind: expr.VerdictAccept} }

// reject lets the pod know at once.
func reject() expr.Any {
	return &expr.Reject{Type: unix.NFT_REJECT_ICMPX_UNREACH, Code: unix.NFT_REJECT_ICMPX_ADMIN_PROHIBITED}
}

// forged matches a source that is not reached by the interface that it came from.
func forged() []expr.Any {
	return []expr.Any{&expr.Fib{Register: 1, FlagSADDR: true, FlagIIF: true, ResultOIF: true}, equals([]byte{0, 0, 0, 0})}
}

// answers matches what belongs to a connection that the other side has begun. One
// that a pod has begun is judged anew, so that rules hold for those of before, too.
func answers() []expr.Any {
	states := binaryutil.NativeEndian.PutUint32(expr.CtStateBitESTABLISHED | expr.CtStateBitRELATED)
	return []expr.Any{
		&expr.Ct{Register: 1, Key: expr.CtKeySTATE},
		&expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: 4, Mask: states, Xor: make([]byte, 4)},
		&expr.Cmp{Op: expr.CmpOpNeq, Register: 1, Data: make([]byte, 4)},
		&expr.Ct{Register: 1, Key: expr.CtKeyDIRECTION}, equals([]byte{1}),
	}
}

// neighbours matches what IPv6 needs to reach a gateway at all: solicitations of
// routers and neighbours, and the answers to them.
func neighbours() []expr.Any {
	return []expr.Any{
		&expr.Meta{Key: expr.MetaKeyNFPROTO, Register: 1}, equals([]byte{unix.NFPROTO_IPV6}),
		&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: 1}, equals([]byte{unix.IPPROTO_ICMPV6}),
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: 0, Len: 1},
		&expr.Range{Op: expr.CmpOpEq, Register: 1, FromData: []byte{133}, ToData: []byte{136}},
	}
}

func port(number uint16, udp bool) []expr.Any {
	protocol := byte(unix.IPPROTO_TCP)
	if udp {
		protocol = unix.IPPROTO_UDP
	}
	return []expr.Any{
		&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: 1}, equals([]byte{protocol}),
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: 2, Len: 2},
		equals([]byte{byte(number >> 8), byte(number)}),
	}
}

// to matches a destination.
func to(at netip.Prefix) []expr.Any {
	protocol, offset, size := byte(unix.NFPROTO_IPV4), uint32(16), uint32(4)
	if at.Addr().Is6() {
		protocol, offset, size = unix.NFPROTO_IPV6, 24, 16
	}
	mask := make([]byte, size)
	for bit := range at.Bits() {
		mask[bit/8] |= 0x80 >> (bit % 8)
	}
	out := []expr.Any{
		&expr.Meta{Key: expr.MetaKeyNFPROTO, Register: 1}, equals([]byte{protocol}),
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseNetworkHeader, Offset: offset, Len: size},
	}
	if at.Bits() < int(size)*8 {
		out = append(out, &expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: size, Mask: mask, Xor: make([]byte, size)})
	}
	return append(out, equals(at.Masked().Addr().AsSlice()))
}
