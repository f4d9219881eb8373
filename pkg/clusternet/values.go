package clusternet

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"
)

// hostPort joins a host and a port.
func hostPort(host string, port uint16) string {
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	return host + ":" + strconv.Itoa(int(port))
}

// readServer reads ws://HOST[:PORT] or wss://HOST[:PORT], with a slash at the end or
// without.
func readServer(text string) (server, error) {
	scheme, rest, found := strings.Cut(text, "://")
	if !found || scheme != plain && scheme != secure {
		return server{}, fmt.Errorf("the server %s is no URL that begins with ws:// or wss://", shown(text))
	}
	if strings.Contains(text, "@") {
		return server{}, errors.New("the server names a user, which is not supported by this node")
	}
	host, port := strings.TrimSuffix(rest, "/"), ""
	switch {
	case strings.HasPrefix(host, "["):
		inner, after, _ := strings.Cut(host[1:], "]")
		if address, err := netip.ParseAddr(inner); err != nil || !address.Is6() || after != "" && after[0] != ':' {
			return server{}, fmt.Errorf("the server %s has no address between its brackets", shown(text))
		}
		host, port = inner, strings.TrimPrefix(after, ":")
		if after == ":" {
			port = "0"
		}
	case strings.Contains(host, ":"):
		host, port, _ = strings.Cut(host, ":")
		if port == "" {
			port = "0"
		}
	}
	host = strings.ToLower(host)
	if !validHost(host) {
		return server{}, fmt.Errorf("the server %s has no valid host name", shown(text))
	}
	out := server{scheme: scheme, host: host, port: 80}
	if scheme == secure {
		out.port = 443
	}
	if port != "" {
		var err error
		if out.port, err = readPort(port); err != nil {
			return server{}, fmt.Errorf("the server %s: %w", shown(text), err)
		}
	}
	return out, nil
}

// validHost accepts a DNS name, or an address.
func validHost(host string) bool {
	if address, err := netip.ParseAddr(host); err == nil {
		return address.Zone() == "" && !address.IsUnspecified() && !address.IsMulticast()
	}
	// A name of digits and dots would be an address in another notation.
	return len(validation.IsDNS1123Subdomain(host)) == 0 && strings.Trim(host, "0123456789.") != ""
}

// readPort reads a port from 1 to 65535.
func readPort(text string) (uint16, error) {
	n, err := strconv.ParseUint(text, 10, 16)
	if err != nil || n == 0 || text[0] == '+' {
		return 0, fmt.Errorf("%s is no port from 1 to 65535", shown(text))
	}
	return uint16(n), nil
}

// secret is the form of a path prefix.
var secret = regexp.MustCompile(`^[A-Za-z0-9._~-]{1,256}$`)

// readPrefix reads the first part of the path of requests. The value is a secret, so no
// error has it.
func readPrefix(text string) (string, error) {
	if !secret.MatchString(text) || strings.Trim(text, ".") == "" {
		return "", errors.New("the path prefix is not 1 to 256 letters, digits, dots, hyphens, underscores and tildes")
	}
	return text, nil
}

// keyBytes is the length of a key of WireGuard.
const keyBytes = 32

// readKey reads a key of WireGuard. The value is a secret, so no error has it.
func readKey(name, text string) (string, error) {
	raw, err := base64.StdEncoding.Strict().DecodeString(text)
	if err != nil || len(raw) != keyBytes {
		return "", fmt.Errorf("%s is not %d bytes in base64", name, keyBytes)
	}
	for _, b := range raw {
		if b != 0 {
			return text, nil
		}
	}
	return "", fmt.Errorf("%s has no bit set", name)
}

// readNetwork reads a CIDR.
func readNetwork(text string) (netip.Prefix, error) {
	prefix, err := netip.ParsePrefix(text)
	if err != nil {
		return netip.Prefix{}, fmt.Errorf("%s is no network such as 10.96.0.0/16", shown(text))
	}
	return prefix.Masked(), nil
}

// Bounds of the MTU: what every IPv4 network carries, and the longest packet.
const (
	leastMTU = 576
	mostMTU  = 65535
)

// readMTU reads the longest packet of an interface in bytes.
func readMTU(text string) (int, error) {
	n, err := strconv.ParseUint(text, 10, 32)
	if err != nil || n < leastMTU || n > mostMTU {
		return 0, fmt.Errorf("the MTU %s is not between %d and %d", shown(text), leastMTU, mostMTU)
	}
	return int(n), nil
}

// readSeconds reads the pause between keepalives.
func readSeconds(text string) (int, error) {
	n, err := strconv.ParseUint(text, 10, 16)
	if err != nil {
		return 0, fmt.Errorf("PersistentKeepalive %s is no number of seconds up to 65535", shown(text))
	}
	return int(n), nil
}

// interfaceName has the form of those that the Virtual Kubelet gives: no name of an interface that a
// sandbox has begins with wg.
var interfaceName = regexp.MustCompile(`^wg[A-Za-z0-9_-]{1,13}$`)

// readInterface reads the name of the interface.
func readInterface(text string) (string, error) {
	if !interfaceName.MatchString(text) {
		return "", fmt.Errorf("the interface %s is not wg and 1 to 13 letters, digits, hyphens and underscores", shown(text))
	}
	return text, nil
}

// maxShown is how many bytes of a value an error tells.
const maxShown = 80

// shown is a value of the user as an error holds it.
func shown(value string) string {
	switch {
	case value == "":
		return "(empty)"
	case len(value) > maxShown:
		return strings.ToValidUTF8(value[:maxShown], "") + "..."
	}
	return strings.ToValidUTF8(value, "?")
}
