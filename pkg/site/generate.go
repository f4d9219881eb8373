package site

import (
	"fmt"
	"maps"
	"net"
	"path"
	"strconv"

	"sigs.k8s.io/yaml"
)

// socket between docker-sd and the API server on one host.
const socket = "unix:///run/docker-sd/plugin.sock"

// Files gives every file of the site by its path, below one folder:
//
//	hosts/NAME/docker-sd.yaml        docker-sd's configuration
//	hosts/NAME/InterLinkConfig.yaml  the API server's, where there is one
//	kubernetes/00-namespace.yaml     the namespace
//	kubernetes/NAME.yaml             the virtual kubelet of one host
func (inv Inventory) Files() (map[string][]byte, error) {
	files := map[string][]byte{}
	add := func(name string, documents ...any) error {
		var text []byte
		for i, document := range documents {
			data, err := yaml.Marshal(document)
			if err != nil {
				return fmt.Errorf("write %s: %w", name, err)
			}
			if i > 0 {
				text = append(text, "---\n"...)
			}
			text = append(text, data...)
		}
		files[name] = text
		return nil
	}
	if err := add("kubernetes/00-namespace.yaml", inv.namespace()); err != nil {
		return nil, err
	}
	for _, h := range inv.Hosts {
		manifests, err := inv.manifests(h)
		if err != nil {
			return nil, err
		}
		if err := add(path.Join("kubernetes", h.Name+".yaml"), manifests...); err != nil {
			return nil, err
		}
		if err := add(path.Join("hosts", h.Name, "docker-sd.yaml"), inv.dockerSD(h)); err != nil {
			return nil, err
		}
		if inv.WithoutAPIServer {
			continue
		}
		if err := add(path.Join("hosts", h.Name, "InterLinkConfig.yaml"), inv.api(h)); err != nil {
			return nil, err
		}
	}
	return files, nil
}

// dockerSD is the configuration of a host's docker-sd. Taints that a ping reports
// replace all others (protocol 2.4). A node's own are therefore in it, so that a
// drain and its end keep them; a node without any reports none, so that those
// that people and Kubernetes set stay.
func (inv Inventory) dockerSD(h Host) map[string]any {
	out := map[string]any{
		"Socket": socket, "DataRootFolder": "/var/lib/docker-sd", "MaxPods": h.Pods,
		"Capacity": map[string]any{"cpu": h.CPU, "memory": h.Memory},
	}
	if inv.WithoutAPIServer {
		out["InterlinkAPI"] = map[string]string{"Address": net.JoinHostPort("0.0.0.0", strconv.Itoa(h.Port)),
			"TLSCertFile": inv.TLS.CertFile, "TLSKeyFile": inv.TLS.KeyFile, "TLSClientCAFile": inv.TLS.CAFile}
	}
	if len(h.Taints) > 0 {
		out["PingTaints"] = h.Taints
	}
	if h.Accelerators["nvidia.com/gpu"] > 0 {
		out["GPUENABLED"] = 1
	}
	if h.Accelerators["xilinx.com/fpga"] > 0 {
		out["FPGAEnabled"] = true
	}
	maps.Copy(out, inv.DockerSD)
	maps.Copy(out, h.DockerSD)
	return out
}

// api is the configuration of a host's interLink API server.
func (inv Inventory) api(h Host) map[string]any {
	out := map[string]any{
		"InterlinkAddress": "http://0.0.0.0", "InterlinkPort": strconv.Itoa(h.Port),
		"SidecarURL": socket, "SidecarPort": "0",
		"VerboseLogging": false, "ErrorsOnlyLogging": false, "DataRootFolder": "/tmp/interlink",
	}
	if inv.TLS != nil {
		out["InterlinkAddress"] = "https://0.0.0.0"
		out["TLS"] = map[string]any{"Enabled": true, "CertFile": inv.TLS.CertFile, "KeyFile": inv.TLS.KeyFile, "CACertFile": inv.TLS.CAFile}
	}
	return out
}
