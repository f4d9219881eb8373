package clusternet_test

import (
	"net/netip"
	"regexp"
	"strings"
	"testing"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/clusternet"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/clusternet/clusternettest"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/initapi"
)

// FuzzScript: a script is read or refused, and what is read keeps within the bounds.
func FuzzScript(f *testing.F) {
	v := clusternettest.Typical()
	tls := v
	tls.IngressProtocol, tls.IngressPort, tls.MeshContactHost = "wss", "8443", "a.b"
	for _, h := range hostileAnnotations(f) {
		if h.annotation == clusternet.PreExec && len(h.text) < 1<<16 {
			f.Add(h.text)
		}
	}
	f.Add(v.Released() + v.Released())
	f.Add(tls.Proposed())
	f.Fuzz(func(t *testing.T, text string) { readAll(t, map[string]string{clusternet.PreExec: text}) })
}

// FuzzTemplate is FuzzScript for what stands in the template of docker-sd.
func FuzzTemplate(f *testing.F) {
	for _, h := range hostileAnnotations(f) {
		if _, inner, found := strings.Cut(h.text, "DOCKER_SD_MESH=1\n"); found {
			f.Add(inner)
		}
	}
	_, inner, _ := strings.Cut(ours(f, clusternettest.Typical()), "DOCKER_SD_MESH=1\n")
	f.Add(strings.TrimSuffix(inner, "EOFMESH\n"))
	f.Fuzz(func(t *testing.T, text string) {
		readAll(t, map[string]string{clusternet.PreExec: "cat <<'EOFMESH' > x\nDOCKER_SD_MESH=1\n" + text + "\nEOFMESH"})
	})
}

// FuzzSnippet is FuzzScript for the second source of a configuration.
func FuzzSnippet(f *testing.F) {
	v := clusternettest.Typical()
	script := strings.Replace(v.Released(), "<<'EOFWG'", "<<'EOFOTHER'", 1)
	f.Add(v.Snippet())
	f.Add("[Interface]\nPostUp = reboot\n[Peer]\nAllowedIPs = 0.0.0.0/0")
	f.Fuzz(func(t *testing.T, text string) {
		readAll(t, map[string]string{clusternet.PreExec: script, clusternet.Snippet: text})
	})
}

// FuzzCommands is FuzzScript for the command of tunnel mode.
func FuzzCommands(f *testing.F) {
	for _, h := range hostileAnnotations(f) {
		if h.annotation == clusternet.Commands && len(h.text) < 1<<16 {
			f.Add(h.text)
		}
	}
	f.Add(clusternettest.Typical().Commands(80, 443))
	f.Fuzz(func(t *testing.T, text string) { readAll(t, map[string]string{clusternet.Commands: text}) })
}

// The forms of what is read.
var (
	serverForm = regexp.MustCompile(`^wss?://(\[[0-9a-f:.]+\]|[a-z0-9.-]+):[0-9]{1,5}$`)
	prefixForm = regexp.MustCompile(`^[A-Za-z0-9._~-]{1,256}$`)
	ifaceForm  = regexp.MustCompile(`^wg[A-Za-z0-9_-]{1,13}$`)
)

// readAll reads annotations and fails for a wish that no annotation may have.
func readAll(t *testing.T, annotations map[string]string) {
	p := lenient()
	wish, _, faults := clusternet.Read(pod(annotations), p)
	if wish == nil {
		return
	}
	w := wish.Tunnel
	if len(faults) > 0 || !serverForm.MatchString(w.Server) || !prefixForm.MatchString(w.PathPrefix) || len(w.Reverse) > 128 || w.Check() != nil {
		t.Fatalf("%+v, %v", wish, faults)
	}
	taken := map[string]bool{}
	for _, r := range w.Reverse {
		_, port, _ := strings.Cut(r.Listen, "]")
		if port == "" {
			port = r.Listen
		}
		port = port[strings.LastIndex(port, ":"):]
		if taken[port] || !strings.HasPrefix(r.Target, "localhost:") && !strings.HasPrefix(r.Target, "127.0.0.1:") && !strings.HasPrefix(r.Target, "[::1]:") {
			t.Fatalf("%+v", w.Reverse)
		}
		taken[port] = true
	}
	if w.WireGuard != nil {
		checkInterface(t, *w.WireGuard, p)
	}
}

// checkInterface fails for an interface that no pod may have.
func checkInterface(t *testing.T, w initapi.WireGuard, p clusternet.Policy) {
	if !ifaceForm.MatchString(w.Interface) || w.MTU < 576 || w.MTU > 65535 || len(w.Addresses) == 0 || len(w.Routes) == 0 {
		t.Fatalf("%+v", w)
	}
	for _, text := range append(append([]string{}, w.Routes...), w.Addresses...) {
		prefix := netip.MustParsePrefix(text).Masked()
		for _, other := range append(append([]netip.Prefix{}, p.Host...), p.Sandboxes...) {
			if prefix.Bits() <= other.Bits() && prefix.Overlaps(other) {
				t.Fatalf("%s covers %s", prefix, other)
			}
		}
		if prefix.Bits() < 8 || prefix.Addr().IsLoopback() || prefix.Addr().IsLinkLocalUnicast() || prefix.Addr().IsMulticast() {
			t.Fatalf("%s is a route", prefix)
		}
	}
	for _, text := range w.AllowedIPs {
		if netip.MustParsePrefix(text).Bits() < 8 {
			t.Fatalf("%s is allowed", text)
		}
	}
}
