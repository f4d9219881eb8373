package cli

import (
	"context"
	"crypto/tls"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/config"
)

func noVariables(string) string { return "" }

func settingsFile(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "config.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// run is a docker-sd that cannot serve.
func run(ctx context.Context, args []string, getenv func(string) string, out io.Writer) error {
	root := Root(getenv, "v0", func(context.Context, config.Config, []string) error { panic("serve") },
		func(*Options) []*cobra.Command { return nil })
	root.SetArgs(DoubleDashes(args))
	root.SetOut(out)
	return root.ExecuteContext(ctx)
}

func TestDoubleDashes(t *testing.T) {
	for given, want := range map[string]string{
		"":                                   "",
		"-verbose -errorsonly":               "--verbose --errorsonly",
		"--verbose":                          "--verbose",
		"-verbose=false -version":            "--verbose=false --version",
		"-interlinkconfigpath f -verbose":    "--interlinkconfigpath f --verbose",
		"-interlinkconfigpath -verbose":      "--interlinkconfigpath -verbose",
		"-interlinkconfigpath=f pods -w":     "--interlinkconfigpath=f pods -w",
		"-other -verbose -- -verbose":        "-other --verbose -- -verbose",
		"verbose interlinkconfigpath -o=yes": "verbose interlinkconfigpath -o=yes",
	} {
		if got := strings.Join(DoubleDashes(strings.Fields(given)), " "); got != want {
			t.Errorf("DoubleDashes(%q) = %q, want %q", given, got, want)
		}
	}
}

func TestHealthOfNobody(t *testing.T) {
	path := settingsFile(t, "Socket: unix:///tmp/docker-sd-nobody.sock\n")
	err := run(t.Context(), []string{"health", "-interlinkconfigpath", path}, noVariables, nil)
	if err == nil || !strings.Contains(err.Error(), "docker-sd does not answer at /tmp/docker-sd-nobody.sock") {
		t.Errorf("health of a docker-sd that is not there = %v", err)
	}
}

// The question is answered by a server with TLS too, and by one that wants a
// certificate of its callers.
func TestHealthOverTLS(t *testing.T) {
	for name, wants := range map[string]tls.ClientAuthType{"TLS": tls.NoClientCert, "mutual TLS": tls.RequireAnyClientCert} {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
			server.Config.ErrorLog = log.New(io.Discard, "", 0)
			server.TLS = &tls.Config{ClientAuth: wants}
			server.StartTLS()
			defer server.Close()
			address := server.Listener.Addr()
			if err := askHealth(t.Context(), address.Network(), address.String(), true); err != nil {
				t.Error(err)
			}
			if err := askHealth(t.Context(), address.Network(), address.String(), false); err == nil {
				t.Error("a plain question was answered")
			}
		})
	}
}
