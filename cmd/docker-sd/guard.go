package main

import (
	"context"
	"crypto/tls"
	"net"
	"os"
	"slices"
	"strings"

	"github.com/containerd/containerd/log"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/access"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/api"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/config"
)

// guard is what callers must bring along.
type guard struct {
	authorized func(header string) bool // nil without a token
	tls        *tls.Config              // nil without TLS
	clients    bool                     // callers show certificates
}

// newGuard reads the files of tokens and certificates, which are read again when they change.
func newGuard(settings config.Callers) (guard, error) {
	g := guard{clients: settings.ClientCAFile != ""}
	if settings.TokenFile != "" {
		token, err := access.OpenToken(settings.TokenFile)
		if err != nil {
			return g, err
		}
		g.authorized = token.Allows
	}
	if !settings.TLS() {
		return g, nil
	}
	var err error
	g.tls, err = access.ServerTLS(access.Files{Cert: settings.CertFile, Key: settings.KeyFile, ClientCA: settings.ClientCAFile})
	return g, err
}

// callers is the guard as the server has it.
func (g guard) callers(settings config.Config) api.Callers {
	return api.Callers{Authorized: g.authorized, TLS: g.tls, Hosts: g.hosts(settings)}
}

// hosts are the names under which calls may come; nil is any, where a token or a
// certificate proves the caller: a page that has its name point here has neither.
func (g guard) hosts(settings config.Config) access.Hosts {
	if g.authorized != nil || g.clients {
		return nil
	}
	return hostsOf(settings)
}

// hostsOf are the names of this docker-sd: those in the configuration, and the
// machine's own.
func hostsOf(settings config.Config) access.Hosts {
	names := slices.Clone(settings.Access.AllowedHosts)
	if network, address := settings.Listen(); network == "tcp" {
		names = append(names, hostOf(address))
	}
	if address, on := settings.Admin(); on {
		names = append(names, hostOf(address))
	}
	if network, address := settings.InterlinkAPI.Listen(); network == "tcp" {
		names = append(names, hostOf(address))
	}
	if name, err := os.Hostname(); err == nil {
		short, _, _ := strings.Cut(name, ".")
		names = append(names, name, short)
	}
	return access.NewHosts(names...)
}

func hostOf(address string) string {
	host, _, _ := net.SplitHostPort(address)
	return host
}

// warn says what is missing where a network can reach this host's containers.
func (g guard) warn(ctx context.Context, address net.Addr) {
	if !wide(address) {
		return
	}
	logger := log.G(ctx).WithField("address", address.String())
	switch {
	case g.authorized == nil && !g.clients:
		logger.Warn("WHOEVER REACHES THIS ADDRESS CAN RUN CONTAINERS ON THIS HOST: docker-sd listens wider than loopback and asks nobody who they are. " +
			"Listen on 127.0.0.1 or a socket (SidecarURL, Socket), or set BearerTokenFile with TLSCertFile and TLSKeyFile, or TLSClientCAFile as well; see docs/security.md")
	case g.tls == nil:
		logger.Warn("docker-sd listens wider than loopback without TLS: whoever sees the traffic learns the token and the secrets of pods. Set TLSCertFile and TLSKeyFile")
	}
}

// wide says whether more than this host reaches an address.
func wide(address net.Addr) bool {
	tcp, network := address.(*net.TCPAddr)
	return network && !tcp.IP.IsLoopback()
}
