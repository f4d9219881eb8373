package config

import (
	"net/netip"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/net/http/httpproxy"
	"k8s.io/apimachinery/pkg/util/validation"
)

// ClusterNetwork says how pods join the networks of their clusters.
type ClusterNetwork struct {
	// Mode (ClusterNetwork) is auto, or off for a node whose pods join none; use On.
	Mode string
	// Servers (ClusterNetworkServers) that tunnels may lead to, as patterns of host names,
	// addresses and CIDRs; empty allows any.
	Servers []string
	// Timeout (ClusterNetworkTimeout) is how long a pod waits to be joined; 1s or more.
	Timeout time.Duration
	// CAFile (ClusterNetworkCA) has certificate authorities of servers in PEM, beside those
	// of the system; absolute or empty.
	CAFile string
	// Insecure (ClusterNetworkInsecure) leaves certificates of servers unchecked.
	Insecure bool
	// HTTPProxy (http_proxy), HTTPSProxy (https_proxy) and NoProxy (no_proxy) are what other
	// programs take them for; use Proxies.
	HTTPProxy, HTTPSProxy, NoProxy string
}

// clusterNetworkAuto joins the pods that ask for it.
const clusterNetworkAuto = "auto"

// On says that pods may join networks of clusters.
func (c ClusterNetwork) On() bool { return c.Mode != off }

// Proxies returns the proxy on the way to an http or https URL, nil for none.
func (c ClusterNetwork) Proxies() func(*url.URL) (*url.URL, error) {
	proxies := httpproxy.Config{HTTPProxy: c.HTTPProxy, HTTPSProxy: c.HTTPSProxy, NoProxy: c.NoProxy}
	return proxies.ProxyFunc()
}

func (c *ClusterNetwork) settings() []setting {
	return []setting{
		{"ClusterNetwork", "", (*textOrOff)(&c.Mode)},
		{"ClusterNetworkServers", "", &c.Servers},
		{"ClusterNetworkTimeout", "", &c.Timeout},
		{"ClusterNetworkCA", "", &c.CAFile},
		{"ClusterNetworkInsecure", "", &c.Insecure},
		{"http_proxy", "http_proxy", &c.HTTPProxy},
		{"https_proxy", "https_proxy", &c.HTTPSProxy},
		{"no_proxy", "no_proxy", &c.NoProxy},
	}
}

const serverRule = "a host name, a pattern such as *.tunnels.example.org, an address, or a CIDR"

func (c Config) validateClusterNetwork() error {
	n := c.ClusterNetwork
	if !slices.Contains([]string{clusterNetworkAuto, off}, n.Mode) {
		return invalid("ClusterNetwork", n.Mode, "auto or off")
	}
	for _, entry := range n.Servers {
		if !validServer(entry) {
			return invalid("ClusterNetworkServers", entry, serverRule)
		}
	}
	if n.CAFile != "" && !filepath.IsAbs(n.CAFile) {
		return invalid("ClusterNetworkCA", n.CAFile, "the path of a file")
	}
	return nil
}

// validServer accepts what serverRule says.
func validServer(entry string) bool {
	if address, err := netip.ParseAddr(entry); err == nil {
		return address.Zone() == ""
	}
	if _, err := netip.ParsePrefix(entry); err == nil {
		return true
	}
	return len(validation.IsDNS1123Subdomain(strings.ReplaceAll(strings.ToLower(entry), "*", "x"))) == 0
}
