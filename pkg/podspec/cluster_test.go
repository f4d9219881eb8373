package podspec

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	v1 "k8s.io/api/core/v1"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/engine"
)

// TestJoin: name servers as kubelet gives them, by dnsPolicy.
func TestJoin(t *testing.T) {
	mesh := Cluster{Nameservers: []string{"10.96.0.10"}, Search: []string{"team.svc.cluster.local", "svc.cluster.local", "cluster.local"}}
	own := &v1.PodDNSConfig{Nameservers: []string{"1.2.3.4", "10.96.0.10", "1.2.3.5", "1.2.3.6"}, Searches: []string{"example.org", "cluster.local"},
		Options: []v1.PodDNSConfigOption{{Name: "ndots", Value: new("2")}, {Name: "edns0"}}}
	const first = v1.DNSClusterFirst
	for name, c := range map[string]struct {
		cluster                  Cluster
		policy                   v1.DNSPolicy
		config                   *v1.PodDNSConfig
		hostNetwork              bool
		servers, search, options []string
	}{
		"by default":              {mesh, "", nil, false, mesh.Nameservers, mesh.Search, []string{"ndots:5"}},
		"ClusterFirst":            {mesh, first, nil, false, mesh.Nameservers, mesh.Search, []string{"ndots:5"}},
		"ClusterFirst and config": {mesh, first, own, false, []string{"10.96.0.10", "1.2.3.4", "1.2.3.5"}, append(append([]string{}, mesh.Search...), "example.org"), []string{"ndots:2", "edns0"}},
		"on the host's network":   {mesh, first, nil, true, nil, nil, nil},
		"with the host's network": {mesh, v1.DNSClusterFirstWithHostNet, nil, true, mesh.Nameservers, mesh.Search, []string{"ndots:5"}},
		"Default":                 {mesh, v1.DNSDefault, nil, false, nil, nil, nil},
		"None": {mesh, v1.DNSNone, &v1.PodDNSConfig{Nameservers: []string{"1.2.3.4"}, Searches: []string{"a"}}, false,
			[]string{"1.2.3.4"}, []string{"a"}, nil},
		"a tunnel":   {Cluster{Address: "10.244.0.7"}, first, nil, false, nil, nil, nil},
		"no cluster": {Cluster{}, first, nil, false, nil, nil, nil},
	} {
		t.Run(name, func(t *testing.T) {
			pod, spec := plainPod(), engine.Spec{}
			pod.Spec.DNSPolicy, pod.Spec.DNSConfig, pod.Spec.HostNetwork = c.policy, c.config, c.hostNetwork
			resolver(&spec, pod)
			c.cluster.Join(&spec, pod)
			if diff := cmp.Diff([][]string{c.servers, c.search, c.options}, [][]string{spec.DNS, spec.DNSSearch, spec.DNSOptions}); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
	if mesh.Nameservers[0] != "10.96.0.10" || len(mesh.Search) != 3 {
		t.Errorf("the cluster was changed: %+v", mesh)
	}
}

// TestContactHost: a workload is told its name, unless it has that variable itself.
func TestContactHost(t *testing.T) {
	for _, c := range []struct{ host, env, want string }{
		{"a.b", "X=1", "X=1 INTERLINK_MESH_CONTACT_HOST=a.b"},
		{"a.b", "INTERLINK_MESH_CONTACT_HOST=own", "INTERLINK_MESH_CONTACT_HOST=own"},
		{"", "X=1", "X=1"},
	} {
		spec, want := engine.Spec{Env: []string{c.env}}, []string{c.env}
		if c.want != c.env {
			want = append(want, "INTERLINK_MESH_CONTACT_HOST=a.b")
		}
		Cluster{ContactHost: c.host}.Join(&spec, plainPod())
		if diff := cmp.Diff(want, spec.Env); diff != "" {
			t.Errorf("%+v: -want +got:\n%s", c, diff)
		}
	}
}
