package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"

	"github.com/intertwin-eu/interlink-docker-plugin/tests/certificates"
	"github.com/intertwin-eu/interlink-docker-plugin/tests/kit"
)

// side of a docker-sd where it is called.
type side string

// The sides: the routes of a plugin by a socket, and those of interLink's API without and
// with TLS.
const (
	sidePlugin       side = "plugin"
	sideInterlink    side = "interlink"
	sideInterlinkTLS side = "interlink-tls"
)

var sides = []side{sidePlugin, sideInterlink, sideInterlinkTLS}

// caller is one interLink API server in front of a docker-sd, or a virtual kubelet.
type caller struct {
	plugin  *kit.Caller         // nil for a virtual kubelet
	kubelet *kit.VirtualKubelet // nil for an API server
}

// newCaller calls a docker-sd with its files in dir, whose settings it completes.
func newCaller(s side, dir string, settings map[string]any) (*caller, error) {
	if s == sidePlugin {
		return &caller{plugin: kit.Unix(filepath.Join(dir, "api.sock"))}, nil
	}
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("find a port: %w", err)
	}
	address := free.Addr().String()
	if err := free.Close(); err != nil {
		return nil, fmt.Errorf("find a port: %w", err)
	}
	keys := map[string]string{"Address": address}
	settings["InterlinkAPI"] = keys
	if s == sideInterlink {
		return &caller{kubelet: &kit.VirtualKubelet{Base: "http://" + address}}, nil
	}
	config, err := identify(dir, keys)
	return &caller{kubelet: &kit.VirtualKubelet{Base: "https://" + address, TLS: config}}, err
}

// identify writes the files of a docker-sd, names them in its keys, and returns what a
// virtual kubelet needs.
func identify(dir string, keys map[string]string) (*tls.Config, error) {
	authority, err := certificates.Issue("authority", nil)
	if err != nil {
		return nil, err
	}
	server, serverErr := certificates.Issue("docker-sd", authority)
	kubelet, kubeletErr := certificates.Issue("virtual-kubelet", authority)
	if err := errors.Join(serverErr, kubeletErr); err != nil {
		return nil, err
	}
	key, err := server.Key()
	if err != nil {
		return nil, err
	}
	for name, text := range map[string]string{"TLSCertFile": server.PEM(), "TLSKeyFile": key, "TLSClientCAFile": authority.PEM()} {
		keys[name] = filepath.Join(dir, name)
		if err := os.WriteFile(keys[name], []byte(text), 0o600); err != nil {
			return nil, fmt.Errorf("write a certificate: %w", err)
		}
	}
	trusted := x509.NewCertPool()
	trusted.AddCert(authority.X509)
	return &tls.Config{RootCAs: trusted, Certificates: []tls.Certificate{kubelet.Pair()}}, nil
}

// close ends its connections.
func (c *caller) close() {
	if c.plugin != nil {
		c.plugin.Close()
	}
}

// call sends a body and returns that of an answer of 200; every other code is an
// error to interLink (protocol 1.4, 1.5).
func (c *caller) call(ctx context.Context, method, path, session string, body []byte) ([]byte, error) {
	var code int
	var text string
	var err error
	if c.kubelet != nil {
		code, text, err = c.kubelet.Call(ctx, method, path, body)
	} else {
		code, text, err = c.plugin.Call(ctx, method, path, body, kit.Headers(session))
	}
	if err != nil {
		return nil, fmt.Errorf("call %s: %w", path, err)
	}
	if code != http.StatusOK {
		return nil, fmt.Errorf("call %s: %d: %s", path, code, text)
	}
	return []byte(text), nil
}

// ping asks for the node's health.
func (c *caller) ping(ctx context.Context) ([]byte, error) {
	if c.kubelet != nil {
		return c.call(ctx, http.MethodPost, "/pinglink", "PingInterLink#1", nil)
	}
	return c.call(ctx, http.MethodGet, "/status", "Request-1", []byte("[]"))
}

// create sends a pod.
func (c *caller) create(ctx context.Context, p *pod) ([]byte, error) {
	body := p.create
	if c.kubelet != nil {
		body = p.asKubelet
	}
	return c.call(ctx, http.MethodPost, "/create", "CreatePod#1", body)
}

// remove deletes a pod.
func (c *caller) remove(ctx context.Context, p *pod) error {
	method := http.MethodPost
	if c.kubelet != nil {
		method = http.MethodDelete
	}
	_, err := c.call(ctx, method, "/delete", "DeletePod#1", p.remove)
	return err
}
