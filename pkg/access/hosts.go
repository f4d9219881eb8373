package access

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strings"

	"github.com/containerd/errdefs"
)

// ErrForeignHost says that a request asks for a host under a name that is not one
// of the server's.
var ErrForeignHost = errors.New("not a name of this server")

// Hosts are the names under which a server may be asked. A browser that shows a
// page of evil.example sends its requests to whatever address that name has at
// this moment, and counts this server among the page's own if that is its address
// (DNS rebinding). Only the name in the Host header tells.
type Hosts map[string]bool

// NewHosts makes Hosts of names; localhost and IP addresses, which no other site
// can have, are always among them. Empty names are passed over.
func NewHosts(names ...string) Hosts {
	h := Hosts{"localhost": true}
	for _, name := range names {
		if name = canonical(name); name != "" {
			h[name] = true
		}
	}
	return h
}

// Check fails with ErrForeignHost for a request under another name. No browser
// gets at a unix socket, and callers write there what they like.
func (h Hosts) Check(r *http.Request) error {
	if local, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr); ok && local.Network() == "unix" {
		return nil
	}
	return h.Named(r)
}

// Named is Check for what is worth more: a socket may have been forwarded to a port, as ssh
// does, and a browser gets at that.
func (h Hosts) Named(r *http.Request) error {
	host := r.Host
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	name := canonical(host)
	if _, err := netip.ParseAddr(name); err == nil || h[name] || host == "" && !r.ProtoAtLeast(1, 1) {
		return nil // HTTP/1.0 has no such header, and no browser speaks that
	}
	return fmt.Errorf("this docker-sd is not known by the name %.100q: use an IP address or localhost, or put the name into AllowedHosts: %w",
		host, ErrForeignHost)
}

func canonical(host string) string {
	return strings.ToLower(strings.TrimSuffix(strings.Trim(host, "[]"), "."))
}

// FromPage fails with ErrPermissionDenied for a request that a web page made a
// browser send. interLink and other programs set none of these headers, and a page
// can keep a browser from none of them: Origin goes with every POST, and
// Sec-Fetch-Site with every request to localhost or over TLS.
//
// http.CrossOriginProtection is for servers that have pages of their own: it lets
// a site's own pages through, as which one with a rebound name passes.
func FromPage(r *http.Request) error {
	for _, name := range []string{"Origin", "Sec-Fetch-Site"} {
		if len(r.Header.Values(name)) > 0 {
			return fmt.Errorf("this request has the header %s, so a browser sent it, and web pages may not call docker-sd: %w", name, errdefs.ErrPermissionDenied)
		}
	}
	return nil
}

// FromOtherSite fails with ErrPermissionDenied for a request that a page of
// another site made a browser send. A link that is followed to here is none.
func FromOtherSite(r *http.Request) error {
	site := r.Header.Get("Sec-Fetch-Site")
	if site == "" || site == "same-origin" || site == "none" || r.Header.Get("Sec-Fetch-Mode") == "navigate" {
		return nil
	}
	return fmt.Errorf("a page of another site may not read what docker-sd shows: %w", errdefs.ErrPermissionDenied)
}
