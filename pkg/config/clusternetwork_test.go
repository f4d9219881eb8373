package config_test

import (
	"net/url"
	"testing"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/config"
)

// TestClusterNetwork: the word off without quotes is YAML's boolean, and the proxies come
// from variables in either case, of which the lower one wins, and which win over the file.
func TestClusterNetwork(t *testing.T) {
	environment := map[string]string{"HTTPS_PROXY": "http://upper:1", "https_proxy": "http://lower:2", "HTTP_PROXY": "http://user:pw@plain:3"}
	cfg, _, err := config.Parse("f", []byte("ClusterNetwork: off\nhttp_proxy: http://file:4\nno_proxy: .example.org"), func(name string) string { return environment[name] })
	if err != nil || cfg.ClusterNetwork.On() {
		t.Fatalf("%+v, %v", cfg.ClusterNetwork, err)
	}
	if !config.Default().ClusterNetwork.On() {
		t.Error("it is off by default")
	}
	proxies := cfg.ClusterNetwork.Proxies()
	for to, want := range map[string]string{"https://h:443": "http://lower:2", "http://h:80": "http://user:pw@plain:3", "https://a.example.org:443": ""} {
		at, err := url.Parse(to)
		if err != nil {
			t.Fatal(err)
		}
		got, err := proxies(at)
		if err != nil || want == "" && got != nil || want != "" && (got == nil || got.String() != want) {
			t.Errorf("%s by %v, %v; want %q", to, got, err, want)
		}
	}
}
