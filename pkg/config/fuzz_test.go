package config_test

import (
	"os"
	"strings"
	"testing"

	"github.com/containerd/errdefs"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/config"
)

// FuzzLoad: what is loaded is valid and has somewhere to listen; what is not is
// refused in one line.
func FuzzLoad(f *testing.F) {
	example, err := os.ReadFile(documented)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(example, byte(0), "")
	f.Add([]byte(exampleFile), byte(1), "1")
	f.Add([]byte("Capacity: {cpu: 1e99, memory: -1}\nPingTaints: [{key: a}, 1, null]"), byte(2), "1")
	f.Add([]byte("DockerNetworkSubnet: [10.0.0.0/8, '::/0']\nPersistentVolumeClaims: {a: /}"), byte(0), "unix:///run/x")
	f.Add([]byte("? [a]\n: &b c\n*b : {<<: *b}"), byte(0), "http://[::1]")
	f.Add([]byte("a: b: c\n\x00"), byte(3), "\xff")
	variables := append(config.Variables(), "")
	f.Fuzz(func(t *testing.T, data []byte, pick byte, value string) {
		cfg, warnings, err := config.Parse("config.yaml", data, env(map[string]string{variables[int(pick)%len(variables)]: value}))
		if err != nil {
			if !errdefs.IsInvalidArgument(err) || strings.ContainsAny(err.Error(), "\n\r\x00") {
				t.Fatalf("unclear error %q", err)
			}
			return
		}
		if err := cfg.Validate(); err != nil {
			t.Fatalf("loaded and then invalid: %v", err)
		}
		if network, address := cfg.Listen(); network == "" || address == "" {
			t.Fatalf("nowhere to listen: %q %q", network, address)
		}
		if strings.ContainsAny(strings.Join(warnings, ""), "\n\r\x00") {
			t.Fatalf("warning of several lines: %q", warnings)
		}
	})
}
