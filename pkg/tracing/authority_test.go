package tracing_test

import (
	"crypto/tls"
	"crypto/x509"
	"path/filepath"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"github.com/intertwin-eu/interlink-docker-plugin/tests/certificates"
)

// authority signs certificates and writes them to files.
type authority struct {
	dir, file string
	own       *certificates.Issued
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{dir: t.TempDir(), own: certificates.New(t, "ca", nil)}
	a.file = filepath.Join(a.dir, "ca.crt")
	a.own.Write(t, a.file, filepath.Join(a.dir, "ca.key"))
	return a
}

func (a *authority) sign(t *testing.T, name string) (certFile, keyFile string) {
	t.Helper()
	certFile, keyFile = filepath.Join(a.dir, name+".crt"), filepath.Join(a.dir, name+".key")
	certificates.New(t, name, a.own).Write(t, certFile, keyFile)
	return certFile, keyFile
}

// server is the option of a collector that wants clients of this authority, if
// mutual, or any.
func (a *authority) server(t *testing.T, mutual bool) grpc.ServerOption {
	t.Helper()
	config := &tls.Config{Certificates: []tls.Certificate{certificates.New(t, "server", a.own).Pair()}, MinVersion: tls.VersionTLS12}
	if mutual {
		config.ClientAuth, config.ClientCAs = tls.RequireAndVerifyClientCert, x509.NewCertPool()
		config.ClientCAs.AddCert(a.own.X509)
	}
	return grpc.Creds(credentials.NewTLS(config))
}
