package access

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"

	"github.com/containerd/errdefs"
)

// Files of TLS, in PEM.
type Files struct {
	// Cert is the server's certificate with its chain, Key its private key, which
	// must not be accessible to everybody on the host.
	Cert, Key string
	// ClientCA signs the certificates that callers must show; "" asks for none.
	ClientCA string
}

// ServerTLS reads the files and makes a configuration that takes them up anew,
// for the next connection, when they change. TLS 1.2 is the least.
func ServerTLS(files Files) (*tls.Config, error) {
	paths := []string{files.Cert, files.Key}
	if files.ClientCA != "" {
		paths = append(paths, files.ClientCA)
	}
	file, err := watch(files.load, paths...)
	if err != nil {
		return nil, err
	}
	return &tls.Config{MinVersion: tls.VersionTLS12,
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return file.current(), nil }}, nil
}

func (f Files) load() (*tls.Config, error) {
	cert, err := read("TLSCertFile", f.Cert, false)
	if err != nil {
		return nil, err
	}
	key, err := read("TLSKeyFile", f.Key, true)
	if err != nil {
		return nil, err
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return nil, fmt.Errorf("TLSCertFile %s and TLSKeyFile %s: %w", f.Cert, f.Key, err)
	}
	// HTTP/1.1 is all that interLink speaks.
	config := &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{pair}, NextProtos: []string{"http/1.1"}}
	if f.ClientCA == "" {
		return config, nil
	}
	authority, err := read("TLSClientCAFile", f.ClientCA, false)
	if err != nil {
		return nil, err
	}
	config.ClientCAs, config.ClientAuth = x509.NewCertPool(), tls.RequireAndVerifyClientCert
	if !config.ClientCAs.AppendCertsFromPEM(authority) {
		return nil, fmt.Errorf("TLSClientCAFile: %s holds no certificate: %w", f.ClientCA, errdefs.ErrInvalidArgument)
	}
	return config, nil
}
