// Package clusternettest makes the annotations that a Virtual Kubelet sets for pods of a
// cluster with tunnels or a full mesh, for tests. The texts have every statement of its
// templates that has a value, and a few of those that have none.
package clusternettest

import (
	"embed"
	"fmt"
	"strings"
	"text/template"
)

// Values that the templates are filled with, by the names that they have there.
type Values struct {
	WGInterfaceName, DNSServiceIP, RandomPassword, IngressEndpoint string
	WGMTU                                                          int
	PodCIDRCluster, ServiceCIDR                                    string
	// IngressProtocol, IngressPort and MeshContactHost are in proposed changes only.
	IngressProtocol, IngressPort, MeshContactHost string
	// PrivateKey of the pod, PublicKey of the cluster's side and KeepaliveSecs are in
	// WGConfig.
	PrivateKey, PublicKey string
	KeepaliveSecs         int
}

// Typical are those of a cluster with the defaults of its Virtual Kubelet. The keys are
// well formed and belong to nobody.
func Typical() Values {
	return Values{WGInterfaceName: "wg6ba7b810-9dad", DNSServiceIP: "10.244.0.99", RandomPassword: "s3cr3tPrefix", IngressEndpoint: "web-team.tunnels.example.org",
		WGMTU: 1280, PodCIDRCluster: "10.244.0.0/16", ServiceCIDR: "10.105.0.0/16", IngressProtocol: "ws", IngressPort: "80",
		PrivateKey: "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=", PublicKey: "AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI=", KeepaliveSecs: 25}
}

// WGConfig is the configuration of WireGuard that the templates get.
func (v Values) WGConfig() string {
	return fmt.Sprintf("[Interface]\nPrivateKey = %s\n\n[Peer]\nPublicKey = %s\nAllowedIPs = 10.7.0.1/32,10.0.0.0/8,%s,%s\nEndpoint = 127.0.0.1:51821\nPersistentKeepalive = %d\n",
		v.PrivateKey, v.PublicKey, v.PodCIDRCluster, v.ServiceCIDR, v.KeepaliveSecs)
}

// Snippet is the annotation with the same for wg-quick.
func (v Values) Snippet() string {
	return fmt.Sprintf("\n[Interface]\nAddress = 10.7.0.2/32\nPrivateKey = %s\nDNS = 1.1.1.1\nMTU = %d\n\n[Peer]\nPublicKey = %s\nAllowedIPs = 10.7.0.1/32, 10.0.0.0/8\n"+
		"Endpoint = 127.0.0.1:51821\nPersistentKeepalive = %d\n\t\t", v.PrivateKey, v.WGMTU, v.PublicKey, v.KeepaliveSecs)
}

// Commands is the annotation of tunnel mode for TCP ports.
func (v Values) Commands(ports ...int) string {
	var reverse []string
	for _, port := range ports {
		reverse = append(reverse, fmt.Sprintf("-R tcp://0.0.0.0:%d:localhost:%d", port, port))
	}
	return fmt.Sprintf("curl -L https://downloads.example.org/wstunnel.tar.gz -o wstunnel.tar.gz && tar -xzvf wstunnel.tar.gz && chmod +x wstunnel\\n\\n"+
		"./wstunnel client --http-upgrade-path-prefix %s %s ws://%s:80", v.RandomPassword, strings.Join(reverse, " "), v.IngressEndpoint)
}

//go:embed released.sh.tmpl proposed.sh.tmpl
var templates embed.FS

// Released is the script of the full mesh in interLink 0.6, without a newline at its end.
func (v Values) Released() string { return v.fill("released.sh.tmpl") }

// Proposed is the script with the changes that are proposed to interLink.
func (v Values) Proposed() string { return v.fill("proposed.sh.tmpl") + "\n" }

// fill fills one of the templates.
func (v Values) fill(name string) string {
	text, err := templates.ReadFile(name)
	if err != nil {
		panic(err) // it is embedded
	}
	return v.Fill(strings.TrimSuffix(string(text), "\n"))
}

// Fill fills a template as a Virtual Kubelet does.
func (v Values) Fill(text string) string {
	var out strings.Builder
	if err := template.Must(template.New("mesh").Parse(text)).Execute(&out, v); err != nil {
		panic(err) // the template names a value that there is none of
	}
	return out.String()
}
