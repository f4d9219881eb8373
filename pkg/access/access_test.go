package access_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/containerd/containerd/log"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/access"
)

func TestMain(m *testing.M) {
	if err := log.SetLevel("panic"); err != nil {
		os.Exit(1)
	}
	os.Exit(m.Run())
}

const token = "0123456789abcdef-the-token"

// put writes a file as people do who replace one in use: under another name
// first, so that nobody reads half of it.
func put(t *testing.T, path, text string, mode os.FileMode) {
	t.Helper()
	if err := os.WriteFile(path+".new", []byte(text), mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path+".new", mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}

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
			put(t, path, c.text, c.mode)
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
	put(t, path, token+"\n", 0o640)
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
	put(t, path, second, 0o600)
	want("Bearer "+token, false)
	want("Bearer "+second, true)
	// What cannot be used leaves the last good one.
	put(t, path, "short", 0o600)
	want("Bearer "+second, true)
	want("Bearer short", false)
	put(t, path, token, 0o644)
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

// issuer signs certificates for one name.
type issuer struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newIssuer(t *testing.T, name string) issuer {
	t.Helper()
	return sign(t, name, nil)
}

func sign(t *testing.T, name string, by *issuer) issuer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: by == nil, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}}
	self := issuer{template, key}
	if by == nil {
		by = &self
	}
	der, err := x509.CreateCertificate(rand.Reader, template, by.cert, &key.PublicKey, by.key)
	if err != nil {
		t.Fatal(err)
	}
	if self.cert, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	return self
}

func (i issuer) certPEM() string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: i.cert.Raw}))
}

func (i issuer) keyPEM(t *testing.T) string {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(i.key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
}

func (i issuer) pair() tls.Certificate {
	return tls.Certificate{Certificate: [][]byte{i.cert.Raw}, PrivateKey: i.key}
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
	first, second := newIssuer(t, "first"), newIssuer(t, "second")
	clients, others := newIssuer(t, "clients"), newIssuer(t, "others")
	put(t, files.Cert, first.certPEM(), 0o644)
	put(t, files.Key, first.keyPEM(t), 0o600)
	put(t, files.ClientCA, clients.certPEM(), 0o644)
	server, err := access.ServerTLS(files)
	if err != nil {
		t.Fatal(err)
	}
	client := func(by issuer, version uint16) *tls.Config {
		return &tls.Config{InsecureSkipVerify: true, MaxVersion: version, Certificates: []tls.Certificate{sign(t, "caller", &by).pair()}}
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
	put(t, files.Cert, second.certPEM(), 0o644)
	check("half of a change", client(clients, 0), "first")
	put(t, files.Key, second.keyPEM(t), 0o600)
	check("a change", client(clients, 0), "second")
	put(t, files.ClientCA, others.certPEM(), 0o644)
	check("another CA", client(others, 0), "second")
	check("the earlier CA's", client(clients, 0), "")
}

func TestServerTLS_Refuses(t *testing.T) {
	good := newIssuer(t, "good")
	for name, c := range map[string]struct {
		cert, key, ca string
		mode          os.FileMode
		want          string
	}{
		"key for all":       {good.certPEM(), good.keyPEM(t), good.certPEM(), 0o644, "TLSKeyFile: everybody"},
		"no certificate":    {"x", good.keyPEM(t), good.certPEM(), 0o600, "TLSCertFile"},
		"another's key":     {good.certPEM(), newIssuer(t, "x").keyPEM(t), good.certPEM(), 0o600, "TLSKeyFile"},
		"no CA certificate": {good.certPEM(), good.keyPEM(t), "x", 0o600, "TLSClientCAFile"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			files := access.Files{Cert: filepath.Join(dir, "cert"), Key: filepath.Join(dir, "key"), ClientCA: filepath.Join(dir, "ca")}
			put(t, files.Cert, c.cert, 0o644)
			put(t, files.Key, c.key, c.mode)
			put(t, files.ClientCA, c.ca, 0o644)
			if _, err := access.ServerTLS(files); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}
