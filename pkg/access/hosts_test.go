package access_test

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/containerd/errdefs"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/access"
)

func TestHosts(t *testing.T) {
	hosts := access.NewHosts("Node.Example.org.", "", "docker_sd", "0.0.0.0")
	for host, allowed := range map[string]bool{
		"":                       false,
		"127.0.0.1:4000":         true,
		"[::1]:4000":             true,
		"[::1]":                  true,
		"10.1.2.3":               true,
		"localhost":              true,
		"LOCALHOST.:4000":        true,
		"node.example.org:4000":  true,
		"docker_sd:4000":         true,
		"unix":                   false,
		"evil.example":           false,
		"evil.example:4000":      false,
		"localhost.evil.example": false,
		"127.0.0.1.evil.example": false,
		"evil.localhost":         false,
		"127.0.0.1@evil.example": false,
		"0x7f.1":                 false,
		"2130706433":             false,
		":4000":                  false,
	} {
		request := httptest.NewRequest(http.MethodGet, "/", nil)
		request.Host = host
		if err := hosts.Check(request); (err == nil) != allowed || err != nil && !errors.Is(err, access.ErrForeignHost) {
			t.Errorf("Check() of the name %q = %v, want it allowed: %v", host, err, allowed)
		}
		socket := request.WithContext(context.WithValue(t.Context(), http.LocalAddrContextKey, &net.UnixAddr{Name: "/run/s", Net: "unix"}))
		if err := hosts.Check(socket); err != nil {
			t.Errorf("Check() of the name %q on a socket = %v", host, err)
		}
		if err := hosts.Named(socket); (err == nil) != allowed {
			t.Errorf("Named() of the name %q on a socket = %v, want it allowed: %v", host, err, allowed)
		}
	}
}

// A probe of HTTP/1.0 has no such header, and no browser speaks that.
func TestHostsOfOld(t *testing.T) {
	request := httptest.NewRequest(http.MethodGet, "/", nil)
	request.Host, request.ProtoMajor, request.ProtoMinor = "", 1, 0
	if err := access.NewHosts().Check(request); err != nil {
		t.Error(err)
	}
}

func TestPages(t *testing.T) {
	for name, c := range map[string]struct {
		headers      map[string]string
		page, others bool // refused by FromPage, by FromOtherSite
	}{
		"interLink":                {map[string]string{"Content-Type": "application/json", "InterLink-Http-Session": "x"}, false, false},
		"a post":                   {map[string]string{"Origin": "http://evil.example"}, true, false},
		"a post of a private page": {map[string]string{"Origin": "null"}, true, false},
		"an empty origin":          {map[string]string{"Origin": ""}, true, false},
		"a foreign page":           {map[string]string{"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "cors"}, true, true},
		"a neighbour's page":       {map[string]string{"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "no-cors"}, true, true},
		"a page of the server":     {map[string]string{"Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "cors"}, true, false},
		"an address typed in":      {map[string]string{"Sec-Fetch-Site": "none", "Sec-Fetch-Mode": "navigate"}, true, false},
		"a link":                   {map[string]string{"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}, true, false},
	} {
		request := httptest.NewRequest(http.MethodPost, "/", nil)
		for header, value := range c.headers {
			request.Header.Set(header, value)
		}
		if err := access.FromPage(request); (err != nil) != c.page || err != nil && !errdefs.IsPermissionDenied(err) {
			t.Errorf("%s: FromPage() = %v", name, err)
		}
		if err := access.FromOtherSite(request); (err != nil) != c.others || err != nil && !errdefs.IsPermissionDenied(err) {
			t.Errorf("%s: FromOtherSite() = %v", name, err)
		}
	}
}
