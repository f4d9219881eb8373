package preflight_test

import (
	"crypto/x509"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/preflight"
)

func TestCertificate(t *testing.T) {
	now := time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)
	judge := func(change func(*x509.Certificate)) preflight.Line {
		leaf := &x509.Certificate{DNSNames: []string{"node.example.org"}, IPAddresses: []net.IP{net.IPv4(192, 0, 2, 1)},
			NotBefore: now.Add(-time.Hour), NotAfter: now.AddDate(1, 0, 0)}
		change(leaf)
		return preflight.Certificate(leaf, "/etc/tls.crt", now)
	}
	holds(t, map[string]judged{
		"good":     {judge(func(*x509.Certificate) {}), preflight.OK, "/etc/tls.crt is valid until 2027-11-30 for node.example.org, 192.0.2.1"},
		"no names": {judge(func(c *x509.Certificate) { c.DNSNames, c.IPAddresses = nil, nil }), preflight.Fail, "no subjectAltName"},
		"expired":  {judge(func(c *x509.Certificate) { c.NotAfter = now.Add(-time.Second) }), preflight.Fail, "has expired on 2026-11-30"},
		"to come":  {judge(func(c *x509.Certificate) { c.NotBefore = now.Add(time.Hour) }), preflight.Fail, "not valid before 2026-11-30 13:00:00"},
		"soon":     {judge(func(c *x509.Certificate) { c.NotAfter = now.AddDate(0, 0, 20) }), preflight.Warn, "expires on 2026-12-20"},
	})
}

func TestWideInterlink(t *testing.T) {
	holds(t, map[string]judged{
		"off": {preflight.InterlinkOff(), preflight.OK, "off"},
	})
	if l := preflight.WideInterlink(false); l.Verdict != preflight.Warn || !strings.Contains(l.Found, "a token and no certificate") || l.Do == "" {
		t.Errorf("a token alone: %+v", l)
	}
	if l := preflight.WideInterlink(true); l.Verdict != "" {
		t.Errorf("a client CA is not enough: %+v", l)
	}
}
