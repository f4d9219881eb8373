package access

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"fmt"

	"github.com/containerd/errdefs"
)

// ReadToken returns the token of a file, for a caller on this host.
func ReadToken(path string) (string, error) {
	if _, err := OpenToken(path); err != nil {
		return "", err
	}
	text, err := read("BearerTokenFile", path, true)
	return string(bytes.TrimSpace(text)), err
}

// CallerTLS is for a caller on the server's own host, who has its files: it
// trusts the very certificate in Cert, whatever names that has. Where callers
// have to show one, it is the pair of the files cert and key; without those it is
// the server's own, which works where its authority is ClientCA.
func CallerTLS(files Files, cert, key string) (*tls.Config, error) {
	server, err := files.load()
	if err != nil {
		return nil, err
	}
	shown := server.Certificates
	if cert != "" {
		pair, err := tls.LoadX509KeyPair(cert, key)
		if err != nil {
			return nil, fmt.Errorf("the caller's certificate %s and key %s: %w", cert, key, err)
		}
		shown = []tls.Certificate{pair}
	}
	want := server.Certificates[0].Certificate[0]
	return &tls.Config{MinVersion: tls.VersionTLS12, Certificates: shown, NextProtos: []string{"http/1.1"},
		InsecureSkipVerify: true, //nolint:gosec // VerifyConnection is stricter
		VerifyConnection: func(state tls.ConnectionState) error {
			if !bytes.Equal(leaf(state.PeerCertificates), want) {
				return fmt.Errorf("who answers does not show the certificate in %s: %w", files.Cert, errdefs.ErrPermissionDenied)
			}
			return nil
		}}, nil
}

func leaf(chain []*x509.Certificate) []byte {
	if len(chain) == 0 {
		return nil
	}
	return chain[0].Raw
}
