package site

import (
	"fmt"
	"maps"
	"net"
	"path"
	"slices"
	"strconv"
	"strings"

	"sigs.k8s.io/yaml"
)

// socket between docker-sd and the API server on one host.
const socket = "unix:///run/docker-sd/plugin.sock"

// Files gives every file of the site by its path, below one folder:
//
//	hosts/NAME/docker-sd.yaml        docker-sd's configuration
//	hosts/NAME/InterLinkConfig.yaml  the API server's
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

// secretPath is where a virtual kubelet finds its TLS secret.
const secretPath = "/etc/interlink/tls"

// virtualKubelet is the configuration of a host's virtual kubelet.
func (inv Inventory) virtualKubelet(h Host) map[string]any {
	accelerators := []map[string]any{}
	for _, name := range slices.Sorted(maps.Keys(h.Accelerators)) {
		accelerators = append(accelerators, map[string]any{"ResourceType": name, "Available": h.Accelerators[name]})
	}
	labels := []string{}
	for _, key := range slices.Sorted(maps.Keys(h.Labels)) {
		labels = append(labels, key+"="+h.Labels[key])
	}
	taints := []map[string]any{}
	for _, t := range h.Taints {
		taints = append(taints, map[string]any{"Key": t.Key, "Value": t.Value, "Effect": t.Effect})
	}
	out := map[string]any{
		"InterlinkURL": "http://" + bracketed(h.Address), "InterlinkPort": strconv.Itoa(h.Port),
		"VerboseLogging": false, "ErrorsOnlyLogging": false,
		"ServiceAccount": h.Name, "Namespace": inv.Namespace, "VKTokenFile": "/dev/null",
		"Resources": map[string]any{"CPU": h.CPU, "Memory": h.Memory, "Pods": strconv.Itoa(h.Pods), "Accelerators": accelerators},
		"HTTP":      map[string]any{"Insecure": inv.TLS == nil}, "KubeletHTTP": map[string]any{"Insecure": true},
		"NodeLabels": labels, "NodeTaints": taints,
	}
	if inv.TLS != nil {
		out["InterlinkURL"] = "https://" + bracketed(h.Address)
		out["TLS"] = map[string]any{"Enabled": true, "CertFile": secretPath + "/tls.crt", "KeyFile": secretPath + "/tls.key",
			"CACertFile": secretPath + "/ca.crt"}
	}
	return out
}

// bracketed writes an IPv6 address as URLs have it.
func bracketed(address string) string {
	if ip := net.ParseIP(address); ip != nil && strings.Contains(address, ":") {
		return "[" + address + "]"
	}
	return address
}
