package preflight

import (
	"crypto/x509"
	"strings"
	"time"
)

// nameInterlink is that of the line on the address for Virtual Kubelets.
const nameInterlink = "interlink api"

// WideInterlink judges calls of Virtual Kubelets from other hosts. docker-sd does not start
// where they show neither a token nor a certificate.
func WideInterlink(certificates bool) Line {
	if certificates {
		return Line{}
	}
	return warn("", "set InterlinkAPI.TLSClientCAFile, unless a proxy before it asks for certificates",
		"it is wider than loopback, and callers show a token and no certificate: whoever learns the token can run containers on this host")
}

// InterlinkOff is for a docker-sd that Virtual Kubelets reach by an API server of its own.
func InterlinkOff() Line {
	return ok(nameInterlink, "off: Virtual Kubelets call an interLink API server, which calls docker-sd (InterlinkAPI)")
}

// soon is when a certificate is to be replaced.
const soon = 21 * 24 * time.Hour

// Certificate judges the one that Virtual Kubelets are shown: they compare the name by which
// they call with those in it.
func Certificate(leaf *x509.Certificate, path string, now time.Time) Line {
	const name, do = "interlink certificate", "make a new one with openssl, see docs/install.md; docker-sd takes it up without a restart"
	names := leaf.DNSNames
	for _, ip := range leaf.IPAddresses {
		names = append(names, ip.String())
	}
	until := leaf.NotAfter.UTC().Format(time.DateOnly)
	switch {
	case len(names) == 0:
		return fail(name, do, "%s has no subjectAltName, and Virtual Kubelets take no other names", path)
	case now.After(leaf.NotAfter):
		return fail(name, do, "%s has expired on %s: no Virtual Kubelet takes it", path, until)
	case now.Before(leaf.NotBefore):
		return fail(name, "see that the clock of this host is right", "%s is not valid before %s", path, leaf.NotBefore.UTC().Format(time.DateTime))
	case leaf.NotAfter.Sub(now) < soon:
		return warn(name, do, "%s expires on %s", path, until)
	}
	return ok(name, "%s is valid until %s for %s: a Virtual Kubelet calls by one of these names", path, until, strings.Join(names, ", "))
}
