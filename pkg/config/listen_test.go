package config_test

import (
	"strings"
	"testing"

	"github.com/containerd/errdefs"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/config"
)

func TestConfig_Listen(t *testing.T) {
	longest := "/" + strings.Repeat("s", 106)
	for _, tt := range []struct {
		name        string
		url, socket string
		network     string
		address     string
	}{
		{"default is loopback", "", "", "tcp", "127.0.0.1:4000"},
		{"host of the URL", "http://10.1.2.3", "", "tcp", "10.1.2.3:4000"},
		{"final slash", "http://10.1.2.3/", "", "tcp", "10.1.2.3:4000"},
		{"host name", "http://localhost", "", "tcp", "localhost:4000"},
		{"all interfaces", "http://0.0.0.0", "", "tcp", "0.0.0.0:4000"},
		{"IPv6", "http://[::1]", "", "tcp", "[::1]:4000"},
		{"socket", "", "unix:///run/docker-sd.sock", "unix", "/run/docker-sd.sock"},
		{"socket wins", "http://0.0.0.0", "unix:///run//docker-sd.sock", "unix", "/run/docker-sd.sock"},
		{"socket wins over a bad URL", "https://a", "unix:///run/docker-sd.sock", "unix", "/run/docker-sd.sock"},
		{"socket in the URL", "unix:///run/docker-sd.sock", "", "unix", "/run/docker-sd.sock"},
		{"relative socket", "", "unix://docker-sd.sock", "unix", "docker-sd.sock"},
		{"longest socket path", "", "unix://" + longest, "unix", longest},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cfg := config.Default()
			cfg.SidecarURL, cfg.Socket = tt.url, tt.socket
			if err := cfg.Validate(); err != nil {
				t.Fatal(err)
			}
			if network, address := cfg.Listen(); network != tt.network || address != tt.address {
				t.Errorf("got %s %s, want %s %s", network, address, tt.network, tt.address)
			}
		})
	}
}

func TestConfig_ListenRefused(t *testing.T) {
	for _, tt := range []struct {
		name        string
		url, socket string
		key         string
	}{
		{"TLS", "https://127.0.0.1", "", "SidecarURL"},
		{"no scheme", "127.0.0.1", "", "SidecarURL"},
		{"no host", "http://", "", "SidecarURL"},
		{"port in the URL", "http://127.0.0.1:4000", "", "SidecarURL"},
		{"empty port in the URL", "http://127.0.0.1:", "", "SidecarURL"},
		{"path", "http://127.0.0.1/api", "", "SidecarURL"},
		{"query", "http://127.0.0.1?a=b", "", "SidecarURL"},
		{"bare socket path", "", "/run/docker-sd.sock", "Socket"},
		{"empty socket path", "", "unix://", "Socket"},
		{"abstract socket", "", "unix://@docker-sd", "Socket"},
		{"folder", "", "unix:///run/", "Socket"},
		{"socket path of 108 bytes", "", "unix:///" + strings.Repeat("s", 107), "Socket"},
		{"long socket path in the URL", "unix:///" + strings.Repeat("s", 107), "", "SidecarURL"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cfg := config.Default()
			cfg.SidecarURL, cfg.Socket = tt.url, tt.socket
			err := cfg.Validate()
			if !errdefs.IsInvalidArgument(err) || !strings.HasPrefix(err.Error(), tt.key+": ") {
				t.Errorf("got %v", err)
			}
			if network, address := cfg.Listen(); network != "" || address != "" {
				t.Errorf("listens on %s %s", network, address)
			}
		})
	}
}
