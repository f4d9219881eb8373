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

// TestInterlinkAPI_Listen: what is wider than this host is there for those alone who
// prove who they are.
func TestInterlinkAPI_Listen(t *testing.T) {
	certificate := config.Callers{CertFile: "/c", KeyFile: "/k"}
	withCA, withToken := certificate, certificate
	withCA.ClientCAFile, withToken.TokenFile = "/ca", "/t"
	for _, tt := range []struct {
		name             string
		address          string
		callers          config.Callers
		network, listens string
	}{
		{"off", "", config.Callers{}, "", ""},
		{"loopback", "127.0.0.1:3000", config.Callers{}, "tcp", "127.0.0.1:3000"},
		{"another loopback address", "127.8.9.1:3000", config.Callers{}, "tcp", "127.8.9.1:3000"},
		{"loopback of IPv6", "[::1]:3000", config.Callers{}, "tcp", "[::1]:3000"},
		{"localhost", "localhost:0", config.Callers{}, "tcp", "localhost:0"},
		{"token on loopback", "127.0.0.1:3000", config.Callers{TokenFile: "/t"}, "tcp", "127.0.0.1:3000"},
		{"socket", "unix:///run/interlink.sock", config.Callers{}, "unix", "/run/interlink.sock"},
		{"all with a client CA", "0.0.0.0:3000", withCA, "tcp", "0.0.0.0:3000"},
		{"all with a token", "[::]:3000", withToken, "tcp", "[::]:3000"},
		{"a name with a client CA", "node.example.org:3000", withCA, "tcp", "node.example.org:3000"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cfg := config.Default()
			cfg.InterlinkAPI = config.InterlinkAPI{Address: tt.address, Callers: tt.callers}
			if err := cfg.Validate(); err != nil {
				t.Fatal(err)
			}
			if network, address := cfg.InterlinkAPI.Listen(); network != tt.network || address != tt.listens {
				t.Errorf("got %s %s, want %s %s", network, address, tt.network, tt.listens)
			}
		})
	}
	cfg := config.Default()
	cfg.InterlinkAPI.Address = "0.0.0.0"
	if network, address := cfg.InterlinkAPI.Listen(); network != "" || address != "" {
		t.Errorf("got %s %s of an address that is not valid", network, address)
	}
}
