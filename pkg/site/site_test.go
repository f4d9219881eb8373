package site_test

import (
	"flag"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	v1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/config"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/site"
)

var update = flag.Bool("update", false, "write the golden files")

func example(t *testing.T) map[string][]byte {
	t.Helper()
	data, err := os.ReadFile("testdata/inventory.yaml")
	if err != nil {
		t.Fatal(err)
	}
	return files(t, string(data))
}

func files(t *testing.T, inventory string) map[string][]byte {
	t.Helper()
	inv, err := site.Parse([]byte(inventory))
	if err != nil {
		t.Fatal(err)
	}
	out, err := inv.Files()
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestFilesAreAsBefore(t *testing.T) {
	got := example(t)
	if *update {
		for name, data := range got {
			path := filepath.Join("testdata/golden", name)
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, data, 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	want := map[string]string{}
	err := filepath.WalkDir("testdata/golden", func(path string, entry os.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		want[strings.TrimPrefix(path, "testdata/golden/")] = string(data)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	texts := map[string]string{}
	for name, data := range got {
		texts[name] = string(data)
	}
	if diff := cmp.Diff(want, texts); diff != "" {
		t.Errorf("the files (-want +got), write them anew with -update if that is wanted:\n%s", diff)
	}
}

// objects parses the documents of manifests, strictly.
func objects(t *testing.T, data []byte) map[string]any {
	t.Helper()
	out := map[string]any{}
	for document := range strings.SplitSeq(string(data), "---\n") {
		var kind metav1.TypeMeta
		if err := yaml.Unmarshal([]byte(document), &kind); err != nil {
			t.Fatal(err)
		}
		into := map[string]any{"v1/Namespace": &v1.Namespace{}, "v1/ServiceAccount": &v1.ServiceAccount{}, "v1/ConfigMap": &v1.ConfigMap{},
			"apps/v1/Deployment": &appsv1.Deployment{}, "rbac.authorization.k8s.io/v1/ClusterRole": &rbacv1.ClusterRole{},
			"rbac.authorization.k8s.io/v1/ClusterRoleBinding": &rbacv1.ClusterRoleBinding{}}[kind.APIVersion+"/"+kind.Kind]
		if into == nil {
			t.Fatalf("unknown kind %+v", kind)
		}
		if err := yaml.UnmarshalStrict([]byte(document), into); err != nil {
			t.Errorf("%s: %v", kind.Kind, err)
		}
		out[kind.Kind] = into
	}
	return out
}

func TestManifests(t *testing.T) {
	got := example(t)
	if kinds := slices.Sorted(maps.Keys(objects(t, got["kubernetes/00-namespace.yaml"]))); !slices.Equal(kinds, []string{"Namespace"}) {
		t.Errorf("kinds %v", kinds)
	}
	for _, name := range []string{"gpu-01", "cpu-01"} {
		all := objects(t, got["kubernetes/"+name+".yaml"])
		kinds := []string{"ClusterRole", "ClusterRoleBinding", "ConfigMap", "Deployment", "ServiceAccount"}
		if diff := cmp.Diff(kinds, slices.Sorted(maps.Keys(all))); diff != "" {
			t.Fatalf("kinds (-want +got):\n%s", diff)
		}
		deployment, configMap := all["Deployment"].(*appsv1.Deployment), all["ConfigMap"].(*v1.ConfigMap)
		pod := deployment.Spec.Template.Spec
		if *deployment.Spec.Replicas != 1 || deployment.Spec.Strategy.Type != appsv1.RecreateDeploymentStrategyType {
			t.Error("there may be two virtual kubelets of one node")
		}
		if pod.ServiceAccountName != all["ServiceAccount"].(*v1.ServiceAccount).Name || pod.Volumes[0].ConfigMap.Name != configMap.Name {
			t.Errorf("the pod of %s refers to other objects: %+v", name, pod)
		}
		if configMap.Data[pod.Containers[0].VolumeMounts[0].SubPath] == "" {
			t.Errorf("the ConfigMap of %s lacks the file that is mounted", name)
		}
		if binding := all["ClusterRoleBinding"].(*rbacv1.ClusterRoleBinding); binding.RoleRef.Name != all["ClusterRole"].(*rbacv1.ClusterRole).Name {
			t.Errorf("the binding of %s is to %s", name, binding.RoleRef.Name)
		}
	}
}

func TestDockerSDLoads(t *testing.T) {
	got := example(t)
	load := func(host string) config.Config {
		t.Helper()
		path := filepath.Join(t.TempDir(), "docker-sd.yaml")
		if err := os.WriteFile(path, got["hosts/"+host+"/docker-sd.yaml"], 0o600); err != nil {
			t.Fatal(err)
		}
		cfg, warnings, err := config.Load(path, func(string) string { return "" })
		if err != nil || len(warnings) > 0 {
			t.Fatalf("Load() = %v, %v", err, warnings)
		}
		return cfg
	}
	gpu, cpu := load("gpu-01"), load("cpu-01")
	if !gpu.GPUEnabled || gpu.AvailableDinds != 8 || gpu.MaxPods != 110 || gpu.Capacity.CPU != "64" ||
		len(gpu.PingTaints) != 1 || gpu.PingTaints[0].Key != "example.org/gpu" {
		t.Errorf("gpu-01 has %+v", gpu)
	}
	if cpu.GPUEnabled || cpu.AvailableDinds != 4 || cpu.MaxPods != 60 || cpu.PingTaints != nil {
		t.Errorf("cpu-01 has %+v", cpu)
	}
	network, address := gpu.Listen()
	var api struct{ SidecarURL, InterlinkAddress string }
	if err := yaml.Unmarshal(got["hosts/gpu-01/InterLinkConfig.yaml"], &api); err != nil {
		t.Fatal(err)
	}
	if network+"://"+address != api.SidecarURL || api.InterlinkAddress != "https://0.0.0.0" {
		t.Errorf("the API server calls %s, docker-sd listens on %s", api.SidecarURL, address)
	}
}

// TestWithoutAPIServer: docker-sd listens where the virtual kubelet calls, with the files of
// the inventory, and there is nothing for an API server.
func TestWithoutAPIServer(t *testing.T) {
	got := files(t, "withoutAPIServer: true\ntls: {secret: s, certFile: /c, keyFile: /k, caFile: /ca}\nhosts: [{name: a, address: h, cpu: 1, memory: 1Gi, port: 3001}]")
	if _, there := got["hosts/a/InterLinkConfig.yaml"]; there {
		t.Error("there is a configuration of an API server")
	}
	path := filepath.Join(t.TempDir(), "docker-sd.yaml")
	if err := os.WriteFile(path, got["hosts/a/docker-sd.yaml"], 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, warnings, err := config.Load(path, func(string) string { return "" })
	if err != nil || len(warnings) > 0 {
		t.Fatalf("Load() = %v, %v", err, warnings)
	}
	want := config.InterlinkAPI{Address: "0.0.0.0:3001", Callers: config.Callers{CertFile: "/c", KeyFile: "/k", ClientCAFile: "/ca"}}
	if diff := cmp.Diff(want, cfg.InterlinkAPI); diff != "" {
		t.Errorf("InterlinkAPI (-want +got):\n%s", diff)
	}
	vk := objects(t, got["kubernetes/a.yaml"])["ConfigMap"].(*v1.ConfigMap).Data["InterLinkConfig.yaml"]
	for _, want := range []string{"InterlinkURL: https://h", `InterlinkPort: "3001"`, "Enabled: true"} {
		if !strings.Contains(vk, want) {
			t.Errorf("the virtual kubelet's configuration lacks %s:\n%s", want, vk)
		}
	}
}

func TestDefaults(t *testing.T) {
	got := files(t, "hosts: [{name: a, address: '2001:db8::1', cpu: 1, memory: 1Gi, taints: [{key: k}]}]")
	vk := objects(t, got["kubernetes/a.yaml"])["ConfigMap"].(*v1.ConfigMap).Data["InterLinkConfig.yaml"]
	for _, want := range []string{"InterlinkURL: http://[2001:db8::1]", `InterlinkPort: "3000"`, `Pods: "110"`, "Effect: NoSchedule", "Insecure: true"} {
		if !strings.Contains(vk, want) {
			t.Errorf("the virtual kubelet's configuration lacks %s:\n%s", want, vk)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	const host = "name: a, address: h, cpu: 1, memory: 1Gi"
	for inventory, want := range map[string]string{
		"hosts: []":                                                           "hosts is empty",
		"hosts: [{" + host + ", color: red}]":                                 "color",
		"namespace: A_b\nhosts: [{" + host + "}]":                             "namespace",
		"withoutAPIServer: true\nhosts: [{" + host + "}]":                     "withoutAPIServer needs tls",
		"tls: {secret: s}\nhosts: [{" + host + "}]":                           "certFile",
		"hosts: [{" + host + "}, {" + host + "}]":                             "another host's too",
		"hosts: [{name: ../a, address: h}]":                                   "hosts[0].name",
		"hosts: [{name: a, address: 'http://h'}]":                             "hosts[0].address",
		"hosts: [{name: a, address: h, cpu: 1}]":                              "hosts[0].memory",
		"hosts: [{name: a, address: h, memory: 1Gi}]":                         "hosts[0].cpu",
		"hosts: [{" + host + ", port: 70000}]":                                "port 70000",
		"hosts: [{" + host + ", accelerators: {g: 1}}]":                       "accelerators",
		"hosts: [{" + host + ", labels: {'a b': c}}]":                         "labels",
		"hosts: [{" + host + ", taints: [{key: k, effect: Never}]}]":          "taints",
		"hosts: [{" + host + "}, {name: b, address: h, cpu: 1, memory: 1Gi}]": "address and port",
	} {
		if _, err := site.Parse([]byte(inventory)); !errdefs.IsInvalidArgument(err) || !strings.Contains(err.Error(), want) {
			t.Errorf("Parse(%s) = %v, want %q", inventory, err, want)
		}
	}
}
