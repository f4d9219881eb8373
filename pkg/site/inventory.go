// Package site turns an inventory of hosts into the configuration of all that
// runs on and for them: one docker-sd, one interLink API server and one virtual
// kubelet per host, so that Kubernetes schedules over the hosts.
package site

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"github.com/containerd/errdefs"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/util/validation"
	"sigs.k8s.io/yaml"
)

// Inventory is the hosts of a site and what they have in common.
type Inventory struct {
	// Namespace of the virtual kubelets in the cluster; empty is "interlink".
	Namespace string `json:"namespace,omitempty"`
	// InterLinkVersion is the tag of interLink's images; empty is DefaultInterLink.
	InterLinkVersion string `json:"interLinkVersion,omitempty"`
	// TLS between virtual kubelets and API servers; nil is none.
	TLS *TLS `json:"tls,omitempty"`
	// WithoutAPIServer has docker-sd answer virtual kubelets itself (InterlinkAPI), in place
	// of interLink's API server. It needs TLS.
	WithoutAPIServer bool `json:"withoutAPIServer,omitempty"`
	// DockerSD holds keys of docker-sd's configuration for all hosts.
	DockerSD map[string]any `json:"dockerSD,omitempty"`
	// Hosts in the order of the files.
	Hosts []Host `json:"hosts"`
}

// DefaultInterLink is the interLink whose protocol this docker-sd was tested with.
const DefaultInterLink = "0.6.2"

// TLS is mutual between a virtual kubelet and its API server, or the docker-sd in place of it.
type TLS struct {
	// Secret in the cluster with tls.crt, tls.key and ca.crt for the virtual kubelets.
	Secret string `json:"secret"`
	// CertFile, KeyFile and CAFile are the API server's, on its host.
	CertFile string `json:"certFile"`
	KeyFile  string `json:"keyFile"`
	CAFile   string `json:"caFile"`
}

// Host is one machine with a Docker engine.
type Host struct {
	// Name of the virtual node, a DNS label.
	Name string `json:"name"`
	// Address where the cluster reaches the host: a name or an IP.
	Address string `json:"address"`
	// Port of the API server on the host; 0 is 3000.
	Port int `json:"port,omitempty"`
	// CPU and Memory are Kubernetes quantities; Pods is a number, 0 is 110.
	CPU    string `json:"cpu"`
	Memory string `json:"memory"`
	Pods   int    `json:"pods,omitempty"`
	// Accelerators by resource name, such as nvidia.com/gpu.
	Accelerators map[string]int `json:"accelerators,omitempty"`
	// Labels and Taints of the virtual node.
	Labels map[string]string `json:"labels,omitempty"`
	Taints []Taint           `json:"taints,omitempty"`
	// DockerSD holds keys of docker-sd's configuration; they win over the site's.
	DockerSD map[string]any `json:"dockerSD,omitempty"`
}

// Taint of a virtual node.
type Taint struct {
	Key    string `json:"key"`
	Value  string `json:"value"`
	Effect string `json:"effect"`
}

// Parse reads an inventory and fills in the defaults. Errors are
// errdefs.ErrInvalidArgument and name what is wrong; unknown keys are refused.
func Parse(data []byte) (Inventory, error) {
	var inv Inventory
	if err := yaml.UnmarshalStrict(data, &inv); err != nil {
		return Inventory{}, fmt.Errorf("inventory: %w: %w", err, errdefs.ErrInvalidArgument)
	}
	if inv.Namespace == "" {
		inv.Namespace = "interlink"
	}
	if inv.InterLinkVersion == "" {
		inv.InterLinkVersion = DefaultInterLink
	}
	for i := range inv.Hosts {
		h := &inv.Hosts[i]
		if h.Port == 0 {
			h.Port = 3000
		}
		if h.Pods == 0 {
			h.Pods = 110
		}
		for j := range h.Taints {
			if h.Taints[j].Effect == "" {
				h.Taints[j].Effect = "NoSchedule"
			}
		}
	}
	return inv, inv.validate()
}

func (inv Inventory) validate() error {
	refuse := func(format string, args ...any) error {
		return fmt.Errorf("inventory: "+format+": %w", append(args, errdefs.ErrInvalidArgument)...)
	}
	if wrong := validation.IsDNS1123Label(inv.Namespace); len(wrong) > 0 {
		return refuse("namespace %q: %s", inv.Namespace, wrong[0])
	}
	if len(inv.Hosts) == 0 {
		return refuse("hosts is empty")
	}
	if t := inv.TLS; t != nil && (t.Secret == "" || t.CertFile == "" || t.KeyFile == "" || t.CAFile == "") {
		return refuse("tls needs secret, certFile, keyFile and caFile")
	}
	if inv.WithoutAPIServer && inv.TLS == nil {
		return refuse("withoutAPIServer needs tls: docker-sd opens no port of a host to callers without certificates")
	}
	names, addresses := map[string]bool{}, map[string]bool{}
	for i, h := range inv.Hosts {
		at := fmt.Sprintf("hosts[%d]", i)
		if wrong := validation.IsDNS1123Label(h.Name); len(wrong) > 0 {
			return refuse("%s.name %q: %s", at, h.Name, wrong[0])
		}
		if names[h.Name] {
			return refuse("%s.name %q is another host's too", at, h.Name)
		}
		names[h.Name] = true
		if _, err := netip.ParseAddr(h.Address); err != nil && len(validation.IsDNS1123Subdomain(h.Address)) > 0 {
			return refuse("%s.address %q is neither an IP nor a host name", at, h.Address)
		}
		if h.Port < 1 || h.Port > 65535 || h.Pods < 0 {
			return refuse("%s: port %d and pods %d: a port from 1 to 65535 and no negative number of pods are needed", at, h.Port, h.Pods)
		}
		server := h.Address + " " + strconv.Itoa(h.Port)
		if addresses[server] {
			return refuse("%s: address and port are another host's too", at)
		}
		addresses[server] = true
		for key, text := range map[string]string{"cpu": h.CPU, "memory": h.Memory} {
			if q, err := resource.ParseQuantity(text); err != nil || q.Sign() <= 0 {
				return refuse("%s.%s %q is not a quantity such as 16 or 64Gi", at, key, text)
			}
		}
		for name, count := range h.Accelerators {
			if len(validation.IsQualifiedName(name)) > 0 || !strings.Contains(name, "/") || count < 0 {
				return refuse("%s.accelerators %q: %d: a resource name such as nvidia.com/gpu and its count are needed", at, name, count)
			}
		}
		for key, value := range h.Labels {
			if len(validation.IsQualifiedName(key)) > 0 || len(validation.IsValidLabelValue(value)) > 0 {
				return refuse("%s.labels %q: %q is not a label", at, key, value)
			}
		}
		for _, taint := range h.Taints {
			if len(validation.IsQualifiedName(taint.Key)) > 0 || len(validation.IsValidLabelValue(taint.Value)) > 0 ||
				taint.Effect != "NoSchedule" && taint.Effect != "PreferNoSchedule" && taint.Effect != "NoExecute" {
				return refuse("%s.taints %q is not a taint: {key, value, effect} with NoSchedule, PreferNoSchedule or NoExecute", at, taint.Key)
			}
		}
	}
	return nil
}
