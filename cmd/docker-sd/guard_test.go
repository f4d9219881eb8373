package main

import (
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/config"
)

// interLink calls under the name in its SidecarURL, which may be the same key of
// the same file, this machine's name, or one that the operator has chosen.
func TestHostsOfAConfiguration(t *testing.T) {
	machine, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	settings := config.Default()
	settings.SidecarURL, settings.AdminAddress = "http://Node.example.org", "admin.example.org:4001"
	settings.Access.AllowedHosts = []string{"docker-sd"}
	for host, allowed := range map[string]bool{
		"node.example.org:4000": true, "admin.example.org:4001": true, "docker-sd:4000": true, strings.ToUpper(machine) + ":4000": true,
		"127.0.0.1:4000": true, "localhost:4000": true, "192.0.2.7:4000": true, "evil.example:4000": false,
	} {
		request := httptest.NewRequest("POST", "/create", nil)
		request.Host = host
		if err := (guard{}).hosts(settings).Check(request); (err == nil) != allowed {
			t.Errorf("the name %s: %v", host, err)
		}
	}
	for _, proven := range []guard{{authorized: func(string) bool { return false }}, {clients: true}} {
		if proven.hosts(settings) != nil {
			t.Error("the name counts although callers have to prove who they are")
		}
	}
}
