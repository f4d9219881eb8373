package clusternet

import (
	"fmt"
	"net/netip"
	"strings"
)

// wireguard is what a configuration for wg or wg-quick says, each value as it is written
// and "" where it is not given.
type wireguard struct {
	privateKey, publicKey, allowedIPs, endpoint, keepalive string
	// address and mtu are given in the form for wg-quick only.
	address, mtu string
}

// field is where the value of a key belongs, nil for one that is not known. ignored says
// that a key is known and of no use here.
func (w *wireguard) field(section, key string) (dst *string, ignored bool) {
	switch section + "." + key {
	case "interface.privatekey":
		return &w.privateKey, false
	case "interface.address":
		return &w.address, false
	case "interface.mtu":
		return &w.mtu, false
	case "interface.dns", "interface.listenport":
		return nil, true
	case "peer.publickey":
		return &w.publicKey, false
	case "peer.allowedips":
		return &w.allowedIPs, false
	case "peer.endpoint":
		return &w.endpoint, false
	case "peer.persistentkeepalive":
		return &w.keepalive, false
	}
	return nil, false
}

// readWireguard reads the form of wg-quick(8). There is one interface and one peer, each
// key once. Keys that would run something or that are not known are errors.
func readWireguard(text string) (wireguard, error) {
	var out wireguard
	section, seen := "", map[string]bool{}
	for line := range strings.Lines(text) {
		line, _, _ = strings.Cut(line, "#")
		if line = strings.TrimSpace(line); line == "" {
			continue
		}
		if strings.HasPrefix(line, "[") {
			section = strings.ToLower(strings.Trim(line, "[]"))
			if section != "interface" && section != "peer" || seen[section] {
				return out, fmt.Errorf("the WireGuard configuration has the section %s, which is not known or is there twice", shown(line))
			}
			seen[section] = true
			continue
		}
		name, value, found := strings.Cut(line, "=")
		key := strings.ToLower(strings.TrimSpace(name))
		dst, ignored := out.field(section, key)
		if !found || dst == nil && !ignored || seen[section+"."+key] {
			return out, fmt.Errorf("the WireGuard configuration has %s, which is not known or is there twice", shown(strings.TrimSpace(name)))
		}
		seen[section+"."+key] = true
		if dst != nil {
			*dst = strings.TrimSpace(value)
		}
	}
	return out, nil
}

// or fills what is not given from another configuration of the same tunnel.
func (w wireguard) or(other wireguard) wireguard {
	for _, pair := range [][2]*string{
		{&w.privateKey, &other.privateKey}, {&w.publicKey, &other.publicKey}, {&w.allowedIPs, &other.allowedIPs},
		{&w.endpoint, &other.endpoint}, {&w.keepalive, &other.keepalive}, {&w.address, &other.address}, {&w.mtu, &other.mtu},
	} {
		if *pair[0] == "" {
			*pair[0] = *pair[1]
		}
	}
	return w
}

// maxNetworks bounds the entries of a list.
const maxNetworks = 32

// readNetworks reads a list of CIDRs, each once.
func readNetworks(what, text string) ([]netip.Prefix, error) {
	var out []netip.Prefix
	for item := range strings.SplitSeq(text, ",") {
		prefix, err := readNetwork(strings.TrimSpace(item))
		if err == nil {
			err = allowedNetwork(prefix)
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", what, err)
		}
		out = append(out, prefix)
		if len(out) > maxNetworks {
			return nil, fmt.Errorf("%s has more than %d entries", what, maxNetworks)
		}
	}
	return unique(out), nil
}

// unique keeps the first of equal networks.
func unique(in []netip.Prefix) []netip.Prefix {
	seen := map[netip.Prefix]bool{}
	var out []netip.Prefix
	for _, prefix := range in {
		if !seen[prefix] {
			out = append(out, prefix)
		}
		seen[prefix] = true
	}
	return out
}

func texts(prefixes []netip.Prefix) []string {
	out := make([]string, 0, len(prefixes))
	for _, prefix := range prefixes {
		out = append(out, prefix.String())
	}
	return out
}
