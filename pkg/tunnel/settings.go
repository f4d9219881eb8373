package tunnel

import (
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"golang.zx2c4.com/wireguard/device"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/initapi"
)

// settings of the interface in the form of WireGuard's configuration protocol.
func settings(w initapi.WireGuard) (string, error) {
	private, err := base64.StdEncoding.DecodeString(w.PrivateKey)
	if err != nil {
		return "", errors.New("the private key is no base64")
	}
	peer, err := publicKey(w.PeerKey)
	if err != nil {
		return "", err
	}
	allowed, err := prefixes(w.AllowedIPs)
	if err != nil {
		return "", err
	}
	var out strings.Builder
	fmt.Fprintf(&out, "private_key=%s\nreplace_peers=true\npublic_key=%s\nendpoint=%s\n", hex.EncodeToString(private), hex.EncodeToString(peer[:]), endpointName)
	if w.KeepaliveSeconds > 0 {
		fmt.Fprintf(&out, "persistent_keepalive_interval=%d\n", w.KeepaliveSeconds)
	}
	fmt.Fprint(&out, "replace_allowed_ips=true\n")
	for _, prefix := range allowed {
		fmt.Fprintf(&out, "allowed_ip=%s\n", prefix)
	}
	return out.String(), nil
}

// publicKey of a peer from its text in base64.
func publicKey(text string) (key device.NoisePublicKey, err error) {
	raw, err := base64.StdEncoding.DecodeString(text)
	if err != nil || len(raw) != len(key) {
		return key, errors.New("the peer's key is not 32 bytes in base64")
	}
	return device.NoisePublicKey(raw), nil
}

// prefixes from their texts, with all bits behind the prefix zero.
func prefixes(texts []string) ([]netip.Prefix, error) {
	out := make([]netip.Prefix, 0, len(texts))
	for _, text := range texts {
		prefix, err := netip.ParsePrefix(text)
		if err != nil {
			return nil, fmt.Errorf("%q is no prefix", text)
		}
		out = append(out, prefix.Masked())
	}
	return out, nil
}
