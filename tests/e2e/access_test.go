//go:build e2e

package e2e_test

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/intertwin-eu/interlink-docker-plugin/tests/certificates"
	"github.com/intertwin-eu/interlink-docker-plugin/tests/kit"
)

// TestAccess: TLS with certificates of callers and a token, changed while
// docker-sd runs.
func TestAccess(t *testing.T) {
	t.Parallel()
	d := prepareDaemon(t, map[string]any{"AVAILABLEDINDS": 0, "Socket": "", "SidecarPort": 0, "SidecarURL": "https://127.0.0.1"})
	path := func(name string) string { return filepath.Join(d.dir, name) }
	certificates.New(t, "first", nil).Write(t, path("cert"), path("key"))
	authority := certificates.New(t, "caller", nil)
	authority.Write(t, path("ca"), path("ca-key"))
	caller := authority.Pair()
	certificates.Replace(t, path("token"), "the-first-token-of-all\n", 0o600)
	for key, name := range map[string]string{"TLSCertFile": "cert", "TLSKeyFile": "key", "TLSClientCAFile": "ca", "BearerTokenFile": "token"} {
		d.settings[key] = path(name)
	}
	if err := d.writeConfig(); err != nil {
		t.Fatal(err)
	}
	if err := d.Start(); err != nil {
		t.Fatal(err)
	}
	eventually(t, runLimit, "the log names a loopback address", func() bool {
		return listening.MatchString(d.log.String())
	}, d.log.String)
	address := listening.FindStringSubmatch(d.log.String())[1]
	d.client = &client{&kit.Caller{Base: "https://" + address, HTTP: &http.Client{Transport: &http.Transport{
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true, Certificates: []tls.Certificate{caller}}}}}}
	ping := func(token string) int {
		code, _, err := d.Call(context.Background(), http.MethodGet, "/status", []byte("[]"), map[string]string{"Authorization": "Bearer " + token})
		if err != nil {
			t.Fatal(err)
		}
		return code
	}
	if shown, err := shownTo(t, address, caller); shown != "first" || err != nil {
		t.Errorf("the server shows %q, %v", shown, err)
	}
	if _, err := shownTo(t, address); err == nil {
		t.Error("a caller without a certificate is let in")
	}
	if plain, err := net.Dial("tcp", address); err != nil {
		t.Error(err)
	} else {
		plain.Close()
	}
	if first, second := ping("the-first-token-of-all"), ping("the-second-token-of-all"); first != 200 || second != 401 {
		t.Errorf("answers %d with the token and %d with another", first, second)
	}
	certificates.New(t, "second", nil).Write(t, path("cert"), path("key"))
	certificates.Replace(t, path("token"), "the-second-token-of-all\n", 0o600)
	if shown, err := shownTo(t, address, caller); shown != "second" || err != nil {
		t.Errorf("after the change the server shows %q, %v", shown, err)
	}
	if first, second := ping("the-first-token-of-all"), ping("the-second-token-of-all"); first != 401 || second != 200 {
		t.Errorf("answers %d with the earlier token and %d with the new one", first, second)
	}
	if code, text := d.must(t, http.MethodGet, "/healthz", nil); code != 200 {
		t.Errorf("/healthz without the token: %d %s", code, text)
	}
	if text := d.log.String(); strings.Contains(text, "token-of-all") || strings.Contains(text, "WHOEVER REACHES") {
		t.Errorf("the log shows a token, or warns although all is set:\n%s", text)
	}
}

// shownTo is the name in the certificate of a server, as a caller with certificates of its
// own sees it.
func shownTo(t *testing.T, address string, caller ...tls.Certificate) (name string, err error) {
	t.Helper()
	dialer := &tls.Dialer{Config: &tls.Config{InsecureSkipVerify: true, Certificates: caller, MaxVersion: tls.VersionTLS12}}
	conn, err := dialer.DialContext(t.Context(), "tcp", address)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	return conn.(*tls.Conn).ConnectionState().PeerCertificates[0].Subject.CommonName, nil
}

// TestWideWarning: whoever listens wide without asking who calls is told so.
func TestWideWarning(t *testing.T) {
	t.Parallel()
	d := prepareDaemon(t, map[string]any{"AVAILABLEDINDS": 0, "Socket": "", "SidecarPort": 0, "SidecarURL": "http://0.0.0.0"})
	if err := d.Start(); err != nil {
		t.Fatal(err)
	}
	eventually(t, runLimit, "a warning", func() bool {
		return strings.Contains(d.log.String(), "WHOEVER REACHES THIS ADDRESS CAN RUN CONTAINERS ON THIS HOST")
	}, d.log.String)
}

// TestTokenForAll: a token that everybody on the host can read is none.
func TestTokenForAll(t *testing.T) {
	t.Parallel()
	d := prepareDaemon(t, map[string]any{"AVAILABLEDINDS": 0})
	path := filepath.Join(d.dir, "token")
	certificates.Replace(t, path, "a-token-that-all-can-read", 0o600)
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	d.settings["BearerTokenFile"] = path
	if err := d.writeConfig(); err != nil {
		t.Fatal(err)
	}
	d.failsToStart(t, "BearerTokenFile", path, "chmod 600")
}
