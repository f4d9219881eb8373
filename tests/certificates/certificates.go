// Package certificates makes what tests of TLS need.
package certificates

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"testing"
	"time"
)

// Issued is a certificate and its key, good for an hour, for servers at its name, at
// 127.0.0.1 and at the further addresses, and for clients.
type Issued struct {
	X509 *x509.Certificate
	key  *ecdsa.PrivateKey
}

// New makes one for a test.
func New(t testing.TB, name string, by *Issued, addresses ...net.IP) *Issued {
	t.Helper()
	made, err := Issue(name, by, addresses...)
	if err != nil {
		t.Fatal(err)
	}
	return made
}

// Issue makes one, signed by another, or by itself as an authority.
func Issue(name string, by *Issued, addresses ...net.IP) (*Issued, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make a key: %w", err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name},
		DNSNames: []string{name}, IPAddresses: append(addresses, net.IPv4(127, 0, 0, 1)),
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: by == nil, BasicConstraintsValid: true,
		KeyUsage:    x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}}
	made := &Issued{X509: template, key: key}
	if by == nil {
		by = made
	}
	der, err := x509.CreateCertificate(rand.Reader, template, by.X509, &key.PublicKey, by.key)
	if err != nil {
		return nil, fmt.Errorf("make a certificate: %w", err)
	}
	if made.X509, err = x509.ParseCertificate(der); err != nil {
		return nil, fmt.Errorf("read a certificate: %w", err)
	}
	return made, nil
}

// PEM is the certificate as it stands in a file.
func (i *Issued) PEM() string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: i.X509.Raw}))
}

// KeyPEM is the key as it stands in a file.
func (i *Issued) KeyPEM(t testing.TB) string {
	t.Helper()
	text, err := i.Key()
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// Key is KeyPEM outside of tests.
func (i *Issued) Key() (string, error) {
	der, err := x509.MarshalPKCS8PrivateKey(i.key)
	if err != nil {
		return "", fmt.Errorf("encode a key: %w", err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})), nil
}

// Pair is what a TLS configuration takes.
func (i *Issued) Pair() tls.Certificate {
	return tls.Certificate{Certificate: [][]byte{i.X509.Raw}, PrivateKey: i.key}
}

// Write puts the certificate and its key into files, in the place of those that
// are there: under another name first, so that nobody reads half of one.
func (i *Issued) Write(t testing.TB, cert, key string) {
	t.Helper()
	Replace(t, key, i.KeyPEM(t), 0o600)
	Replace(t, cert, i.PEM(), 0o644)
}

// Replace writes a file as people do who replace one in use.
func Replace(t testing.TB, path, text string, mode os.FileMode) {
	t.Helper()
	if err := os.WriteFile(path+".new", []byte(text), mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path+".new", mode); err != nil { // whatever the umask
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}
