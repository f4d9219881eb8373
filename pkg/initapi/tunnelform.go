package initapi

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
)

// Limits of a tunnel's values. A shorter prefix of a route would cover most of all
// addresses, the default route's among them.
const (
	keyBytes              = 32
	leastMTU, mostMTU     = 576, 65535
	shortestRoute4        = 8
	shortestRoute6        = 16
	mostReverse           = 128
	mostPrefixes          = 64
	mostInterface         = 15
	mostKeepalive         = 65535
	mostServer, mostProxy = 512, 1024
)

// Check says what is wrong with the form of a wish. No error holds a secret.
func (t Tunnel) Check() error {
	switch {
	case !strings.HasPrefix(t.Server, "ws://") && !strings.HasPrefix(t.Server, "wss://"):
		return errors.New("server: it begins with neither ws:// nor wss://")
	case len(t.Server) > mostServer || len(t.Proxy) > mostProxy:
		return errors.New("server or proxy: the URL is too long")
	case t.PathPrefix == "":
		return errors.New("pathPrefix: it is empty")
	case len(t.Reverse) > mostReverse:
		return fmt.Errorf("reverse: there are more than %d ports", mostReverse)
	case len(t.Reverse) == 0 && t.WireGuard == nil:
		return errors.New("there is neither a port nor a mesh")
	}
	for _, r := range t.Reverse {
		for _, address := range []string{r.Listen, r.Target} {
			if err := checkAddress(address); err != nil {
				return fmt.Errorf("reverse: %w", err)
			}
		}
	}
	if err := checkPrefixes("own", t.Own); err != nil {
		return err
	}
	if t.WireGuard == nil {
		return nil
	}
	if err := t.WireGuard.check(); err != nil {
		return fmt.Errorf("wireGuard: %w", err)
	}
	return nil
}

func (w WireGuard) check() error {
	for name, key := range map[string]string{"privateKey": w.PrivateKey, "peerKey": w.PeerKey} {
		if raw, err := base64.StdEncoding.Strict().DecodeString(key); err != nil || len(raw) != keyBytes || len(key) != base64.StdEncoding.EncodedLen(keyBytes) {
			return fmt.Errorf("%s: it is not %d bytes in base64", name, keyBytes)
		}
	}
	switch {
	case !validInterface(w.Interface):
		return fmt.Errorf("interface: %q is no name of a network interface", w.Interface)
	case w.MTU < leastMTU || w.MTU > mostMTU:
		return fmt.Errorf("mtu: %d is not from %d to %d", w.MTU, leastMTU, mostMTU)
	case w.KeepaliveSeconds < 0 || w.KeepaliveSeconds > mostKeepalive:
		return fmt.Errorf("keepaliveSeconds: %d is not from 0 to %d", w.KeepaliveSeconds, mostKeepalive)
	case len(w.Addresses) == 0:
		return errors.New("addresses: there is none")
	}
	if err := checkAddress(w.Remote); err != nil {
		return fmt.Errorf("remote: %w", err)
	}
	if err := errors.Join(checkPrefixes("addresses", w.Addresses), checkPrefixes("allowedIPs", w.AllowedIPs), checkPrefixes("routes", w.Routes)); err != nil {
		return err
	}
	for _, text := range w.Routes {
		shortest, prefix := shortestRoute6, netip.MustParsePrefix(text)
		if prefix.Addr().Is4() {
			shortest = shortestRoute4
		}
		if prefix.Bits() < shortest {
			return fmt.Errorf("routes: %s covers too much", text)
		}
	}
	return nil
}

func checkPrefixes(name string, texts []string) error {
	if len(texts) > mostPrefixes {
		return fmt.Errorf("%s: there are more than %d", name, mostPrefixes)
	}
	for _, text := range texts {
		if prefix, err := netip.ParsePrefix(text); err != nil || prefix.Addr().Is4In6() {
			return fmt.Errorf("%s: %q is no prefix", name, text)
		}
	}
	return nil
}

// validInterface knows the names that the kernel takes and that no pattern is read from.
func validInterface(name string) bool {
	const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_."
	return name != "" && len(name) <= mostInterface && strings.Trim(name, letters) == "" && name[0] != '-' && name != "." && name != ".." && name != "lo"
}

func checkAddress(address string) error {
	host, port, err := net.SplitHostPort(address)
	if err != nil || host == "" {
		return fmt.Errorf("%q is not HOST:PORT", address)
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return fmt.Errorf("%q has no port from 1 to 65535", address)
	}
	if strings.ContainsFunc(host, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return fmt.Errorf("%q has a host with odd characters", address)
	}
	return nil
}
