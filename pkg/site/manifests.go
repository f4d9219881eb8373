package site

import (
	"fmt"
	"maps"
	"net"
	"slices"
	"strconv"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	v1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/yaml"
)

const (
	configFile = "InterLinkConfig.yaml"
	configPath = "/etc/interlink/" + configFile
)

func (inv Inventory) namespace() any {
	return &v1.Namespace{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Namespace"}, ObjectMeta: metav1.ObjectMeta{Name: inv.Namespace}}
}

// manifests are the objects of a host's virtual kubelet. Empty status fields are
// left out: the cluster writes them.
func (inv Inventory) manifests(h Host) ([]any, error) {
	settings, err := yaml.Marshal(inv.virtualKubelet(h))
	if err != nil {
		return nil, fmt.Errorf("write the configuration of the virtual kubelet %s: %w", h.Name, err)
	}
	meta := metav1.ObjectMeta{Name: h.Name, Namespace: inv.Namespace, Labels: map[string]string{"app.kubernetes.io/name": "virtual-kubelet",
		"app.kubernetes.io/instance": h.Name}}
	global := metav1.ObjectMeta{Name: "interlink-" + h.Name, Labels: meta.Labels}
	objects := []any{
		&v1.ServiceAccount{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "ServiceAccount"}, ObjectMeta: meta},
		&rbacv1.ClusterRole{TypeMeta: metav1.TypeMeta{APIVersion: "rbac.authorization.k8s.io/v1", Kind: "ClusterRole"}, ObjectMeta: global, Rules: rules()},
		&rbacv1.ClusterRoleBinding{TypeMeta: metav1.TypeMeta{APIVersion: "rbac.authorization.k8s.io/v1", Kind: "ClusterRoleBinding"}, ObjectMeta: global,
			Subjects: []rbacv1.Subject{{Kind: "ServiceAccount", Name: h.Name, Namespace: inv.Namespace}},
			RoleRef:  rbacv1.RoleRef{APIGroup: "rbac.authorization.k8s.io", Kind: "ClusterRole", Name: global.Name}},
		&v1.ConfigMap{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "ConfigMap"}, ObjectMeta: meta, Data: map[string]string{configFile: string(settings)}},
		inv.deployment(h, meta),
	}
	for i, object := range objects {
		fields, err := runtime.DefaultUnstructuredConverter.ToUnstructured(object)
		if err != nil {
			return nil, fmt.Errorf("write the manifests of %s: %w", h.Name, err)
		}
		delete(fields, "status")
		objects[i] = fields
	}
	return objects, nil
}

func (inv Inventory) deployment(h Host, meta metav1.ObjectMeta) *appsv1.Deployment {
	one := int32(1)
	pod := v1.PodSpec{
		ServiceAccountName: h.Name,
		Containers: []v1.Container{{
			Name: "virtual-kubelet", Image: "ghcr.io/interlink-hq/interlink/virtual-kubelet-inttw:" + inv.InterLinkVersion,
			Env: []v1.EnvVar{{Name: "NODENAME", Value: h.Name}, {Name: "KUBELET_PORT", Value: "10250"},
				{Name: "POD_IP", ValueFrom: &v1.EnvVarSource{FieldRef: &v1.ObjectFieldSelector{FieldPath: "status.podIP"}}},
				{Name: "CONFIGPATH", Value: configPath}},
			VolumeMounts: []v1.VolumeMount{{Name: "config", MountPath: configPath, SubPath: configFile, ReadOnly: true}},
		}},
		Volumes: []v1.Volume{{Name: "config", VolumeSource: v1.VolumeSource{ConfigMap: &v1.ConfigMapVolumeSource{
			LocalObjectReference: v1.LocalObjectReference{Name: h.Name}}}}},
	}
	if inv.TLS != nil {
		pod.Volumes = append(pod.Volumes, v1.Volume{Name: "tls", VolumeSource: v1.VolumeSource{Secret: &v1.SecretVolumeSource{SecretName: inv.TLS.Secret}}})
		pod.Containers[0].VolumeMounts = append(pod.Containers[0].VolumeMounts, v1.VolumeMount{Name: "tls", MountPath: secretPath, ReadOnly: true})
	}
	return &appsv1.Deployment{TypeMeta: metav1.TypeMeta{APIVersion: "apps/v1", Kind: "Deployment"}, ObjectMeta: meta, Spec: appsv1.DeploymentSpec{
		// Two virtual kubelets of one node would both create its pods.
		Replicas: &one, Strategy: appsv1.DeploymentStrategy{Type: appsv1.RecreateDeploymentStrategyType},
		Selector: &metav1.LabelSelector{MatchLabels: meta.Labels},
		Template: v1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: meta.Labels}, Spec: pod}}}
}

// rules are what interLink's virtual kubelet does in a cluster.
func rules() []rbacv1.PolicyRule {
	core := func(resources []string, verbs ...string) rbacv1.PolicyRule {
		return rbacv1.PolicyRule{APIGroups: []string{""}, Resources: resources, Verbs: verbs}
	}
	return []rbacv1.PolicyRule{
		{APIGroups: []string{"coordination.k8s.io"}, Resources: []string{"leases"}, Verbs: []string{"create", "get", "list", "patch", "update", "watch"}},
		core([]string{"configmaps", "secrets", "services", "serviceaccounts", "namespaces"}, "get", "list", "watch"),
		core([]string{"serviceaccounts/token"}, "create"),
		core([]string{"pods"}, "delete", "get", "list", "patch", "watch"),
		core([]string{"pods/status", "nodes/status"}, "patch", "update"),
		core([]string{"nodes"}, "create", "get"),
		core([]string{"events"}, "create", "patch"),
	}
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
