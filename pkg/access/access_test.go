package access_test

import (
	"crypto/tls"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/containerd/containerd/log"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/access"
	"github.com/intertwin-eu/interlink-docker-plugin/tests/certificates"
)

func TestMain(m *testing.M) {
	if err := log.SetLevel("panic"); err != nil {
		os.Exit(1)
	}
	os.Exit(m.Run())
}

const token = "0123456789abcdef-the-token"

func TestOpenToken_Refuses(t *testing.T) {
	for name, c := range map[string]struct {
		text string
		mode os.FileMode
		want string
	}{
		"readable by all":    {token, 0o604, "everybody on this host has access"},
		"writable by all":    {token, 0o602, "chmod 600"},
		"empty":              {"", 0o600, "at least 16"},
		"white":              {" \n", 0o600, "at least 16"},
		"short":              {"0123456789abcde\n", 0o600, "at least 16"},
		"two lines":          {token + "\n" + token, 0o600, "one token"},
		"not ASCII":          {token + "\u00e4", 0o600, "printable"},
		"larger than a file": {strings.Repeat("x", 2<<20), 0o600, "larger than"},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "token")
			certificates.Replace(t, path, c.text, c.mode)
			_, err := access.OpenToken(path)
			if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "BearerTokenFile") {
				t.Errorf("got %v, want %q", err, c.want)
			}
			if err != nil && strings.Contains(err.Error(), "abcd") {
				t.Errorf("the error shows the token: %v", err)
			}
		})
	}
	if _, err := access.OpenToken(t.TempDir()); err == nil || !strings.Contains(err.Error(), "is not a file") {
		t.Errorf("a folder: %v", err)
	}
	if _, err := access.OpenToken(filepath.Join(t.TempDir(), "none")); err == nil {
		t.Error("a file that is not there is taken")
	}
}

func TestToken(t *testing.T) {
	path := filepath.Join(t.TempDir(), "token")
	certificates.Replace(t, path, token+"\n", 0o640)
	opened, err := access.OpenToken(path)
	if err != nil {
		t.Fatal(err)
	}
	want := func(header string, allowed bool) {
		t.Helper()
		if opened.Allows(header) != allowed {
			t.Errorf("Allows(%q) = %v", header, !allowed)
		}
	}
	for header, allowed := range map[string]bool{
		"Bearer " + token: true, "bearer  " + token: true, "Basic " + token: false, token: false, "": false, "Bearer": false,
		"Bearer " + token[1:]: false, "Bearer " + token + "x": false, "Bearer " + token + " x": false,
	} {
		want(header, allowed)
	}
	second := strings.ToUpper(token)
	certificates.Replace(t, path, second, 0o600)
	want("Bearer "+token, false)
	want("Bearer "+second, true)
	// What cannot be used leaves the last good one.
	certificates.Replace(t, path, "short", 0o600)
	want("Bearer "+second, true)
	want("Bearer short", false)
	certificates.Replace(t, path, token, 0o644)
	want("Bearer "+token, false)
	if err := os.Chmod(path, 0o600); err != nil {
		t.Fatal(err)
	}
	want("Bearer "+token, true)
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	want("Bearer "+token, true)
}

// shake does one handshake and returns the name that the server shows.
func shake(t *testing.T, server, client *tls.Config) (string, error) {
	t.Helper()
	a, b := net.Pipe()
	defer a.Close()
	defer b.Close()
	served := make(chan error, 1)
	go func() {
		err := tls.Server(b, server).HandshakeContext(t.Context())
		b.Close()
		served <- err
	}()
	conn := tls.Client(a, client)
	err := conn.HandshakeContext(t.Context())
	a.Close()
	if serverErr := <-served; err == nil {
		err = serverErr
	}
	if err != nil {
		return "", err
	}
	return conn.ConnectionState().PeerCertificates[0].Subject.CommonName, nil
}

func TestServerTLS(t *testing.T) {
	dir := t.TempDir()
	files := access.Files{Cert: filepath.Join(dir, "cert"), Key: filepath.Join(dir, "key"), ClientCA: filepath.Join(dir, "ca")}
	first, second := certificates.New(t, "first", nil), certificates.New(t, "second", nil)
	clients, others := certificates.New(t, "clients", nil), certificates.New(t, "others", nil)
	certificates.Replace(t, files.Cert, first.PEM(), 0o644)
	certificates.Replace(t, files.Key, first.KeyPEM(t), 0o600)
	certificates.Replace(t, files.ClientCA, clients.PEM(), 0o644)
	server, err := access.ServerTLS(files)
	if err != nil {
		t.Fatal(err)
	}
	client := func(by *certificates.Issued, version uint16) *tls.Config {
		return &tls.Config{InsecureSkipVerify: true, MaxVersion: version, Certificates: []tls.Certificate{certificates.New(t, "caller", by).Pair()}}
	}
	check := func(what string, config *tls.Config, want string) {
		t.Helper()
		if got, err := shake(t, server, config); got != want {
			t.Errorf("%s: the server shows %q, %v, want %q", what, got, err, want)
		}
	}
	check("TLS 1.3", client(clients, 0), "first")
	check("TLS 1.2", client(clients, tls.VersionTLS12), "first")
	check("TLS 1.1", client(clients, tls.VersionTLS11), "")
	check("a stranger's certificate", client(others, 0), "")
	check("no certificate", &tls.Config{InsecureSkipVerify: true, MaxVersion: tls.VersionTLS12}, "")
	// Between the two writes the files do not fit: the earlier ones stay.
	certificates.Replace(t, files.Cert, second.PEM(), 0o644)
	check("half of a change", client(clients, 0), "first")
	certificates.Replace(t, files.Key, second.KeyPEM(t), 0o600)
	check("a change", client(clients, 0), "second")
	certificates.Replace(t, files.ClientCA, others.PEM(), 0o644)
	check("another CA", client(others, 0), "second")
	check("the earlier CA's", client(clients, 0), "")
}

func TestServerTLS_Refuses(t *testing.T) {
	good := certificates.New(t, "good", nil)
	for name, c := range map[string]struct {
		cert, key, ca string
		mode          os.FileMode
		want          string
	}{
		"key for all":       {good.PEM(), good.KeyPEM(t), good.PEM(), 0o644, "TLSKeyFile: everybody"},
		"no certificate":    {"x", good.KeyPEM(t), good.PEM(), 0o600, "TLSCertFile"},
		"another's key":     {good.PEM(), certificates.New(t, "x", nil).KeyPEM(t), good.PEM(), 0o600, "TLSKeyFile"},
		"no CA certificate": {good.PEM(), good.KeyPEM(t), "x", 0o600, "TLSClientCAFile"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			files := access.Files{Cert: filepath.Join(dir, "cert"), Key: filepath.Join(dir, "key"), ClientCA: filepath.Join(dir, "ca")}
			certificates.Replace(t, files.Cert, c.cert, 0o644)
			certificates.Replace(t, files.Key, c.key, c.mode)
			certificates.Replace(t, files.ClientCA, c.ca, 0o644)
			if _, err := access.ServerTLS(files); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}
