package access_test

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/access"
	"github.com/intertwin-eu/interlink-docker-plugin/tests/certificates"
)

// A caller with the server's files trusts its certificate and no other.
func TestCallerTLS(t *testing.T) {
	dir := t.TempDir()
	of := func(name string) access.Files {
		return access.Files{Cert: filepath.Join(dir, name+".cert"), Key: filepath.Join(dir, name+".key"), ClientCA: filepath.Join(dir, "ca")}
	}
	authority := certificates.New(t, "authority", nil)
	certificates.Replace(t, filepath.Join(dir, "ca"), authority.PEM(), 0o644)
	for name, by := range map[string]*certificates.Issued{"ours": authority, "other": nil, "caller": authority} {
		certificates.New(t, name, by).Write(t, of(name).Cert, of(name).Key)
	}
	for name, c := range map[string]struct {
		server, trusts string
		shows          string
		want           string
	}{
		"the server's own pair":  {"ours", "ours", "", "ours"},
		"a pair of its own":      {"ours", "ours", "caller", "ours"},
		"another server":         {"other", "ours", "", ""},
		"a pair of somebody":     {"ours", "ours", "other", ""},
		"not signed for callers": {"other", "other", "", ""},
	} {
		server, err := access.ServerTLS(of(c.server))
		if err != nil {
			t.Fatal(err)
		}
		cert, key := "", ""
		if c.shows != "" {
			cert, key = of(c.shows).Cert, of(c.shows).Key
		}
		client, err := access.CallerTLS(of(c.trusts), cert, key)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := shake(t, server, client); got != c.want {
			t.Errorf("%s: %q, %v, want %q", name, got, err, c.want)
		}
	}
	if _, err := access.CallerTLS(of("ours"), filepath.Join(dir, "none"), ""); err == nil || !strings.Contains(err.Error(), "the caller's certificate") {
		t.Errorf("CallerTLS() with a missing pair = %v", err)
	}
}

func TestReadToken(t *testing.T) {
	path := filepath.Join(t.TempDir(), "token")
	certificates.Replace(t, path, "0123456789abcdef\n", 0o600)
	if token, err := access.ReadToken(path); err != nil || token != "0123456789abcdef" {
		t.Errorf("ReadToken() = %q, %v", token, err)
	}
	certificates.Replace(t, path, "short", 0o600)
	if token, err := access.ReadToken(path); err == nil || token != "" {
		t.Errorf("ReadToken() of a bad file = %q, %v", token, err)
	}
}
