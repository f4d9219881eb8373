package main

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"

	"github.com/containerd/containerd/log"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/clusternet"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/config"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/firewall"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/hostnet"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/initbinary"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/machine"
)

// clusterNetwork is what pods may join of their clusters' networks, on a host whose
// sandboxes have networks in these ranges, and the program that sandboxes need for that:
// "" if no pod can join one.
func clusterNetwork(ctx context.Context, s config.Config, sandboxes []netip.Prefix) (clusternet.Policy, string, error) {
	n := s.ClusterNetwork
	policy := clusternet.Policy{Off: !n.On(), Servers: n.Servers, Insecure: n.Insecure, Proxy: n.Proxies(), Sandboxes: sandboxes}
	if policy.Off {
		return policy, "", nil
	}
	var err error
	if policy.CAs, err = readCAs(n.CAFile); err != nil {
		return policy, "", err
	}
	if policy.Host, err = hostNetworks(); err != nil {
		log.G(ctx).WithError(err).Warn("which networks are this host's is not known, so a pod's routes are not compared with them")
	}
	if err := machine.Tun(); err != nil {
		policy.Unable = err.Error()
		log.G(ctx).WithError(err).Info("pods that are to join the network of a cluster are refused")
		return policy, "", nil
	}
	program, err := initbinary.InstallTunnel(filepath.Join(s.DataRootFolder, "init"))
	return policy, program, err
}

// readCAs reads a file of certificate authorities, none for an empty path.
func readCAs(path string) (string, error) {
	if path == "" {
		return "", nil
	}
	text, err := os.ReadFile(path)
	if err == nil && !x509.NewCertPool().AppendCertsFromPEM(text) {
		err = errors.New("it has no certificate in PEM")
	}
	if err != nil {
		return "", fmt.Errorf("ClusterNetworkCA %s: %w", path, err)
	}
	return string(text), nil
}

// hostNetworks are what this host reaches by routes of its own, and its name servers: the
// engine asks them from the networks of sandboxes.
func hostNetworks() ([]netip.Prefix, error) {
	out, err := hostnet.Routes("/proc")
	for _, server := range firewall.Resolvers() {
		out = append(out, netip.PrefixFrom(server, server.BitLen()))
	}
	return out, err
}
