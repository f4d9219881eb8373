package cli

import (
	"bufio"
	"context"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/access"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/admin"
)

// TestPage: a browser is let in by the secret in the address, under a name of this host, to the
// pages and views and to nothing else; and until the command ends.
func TestPage(t *testing.T) {
	dir, config := folderWith(t)
	if _, err := printed(t, config, "page"); err == nil || !strings.Contains(err.Error(), "no docker-sd runs") {
		t.Errorf("page without a docker-sd = %v", err)
	}
	operators := admin.New(admin.Config{Source: operated{shownPods()}, Metrics: http.NotFoundHandler(), Hosts: access.NewHosts(),
		Inside: func() admin.Inside { return nil }, Status: func(error) int { return http.StatusTeapot }})
	listenIn(t, dir, admin.SocketName, operators.Serve, func() error { return operators.Shutdown(context.Background()) })
	for _, address := range []string{"0.0.0.0:0", "10.1.2.3:80", ":0", "localhost:0", "8080", ""} {
		if _, err := printed(t, config, "page", "--address", address); err == nil || !strings.Contains(err.Error(), "loopback address and a port") {
			t.Errorf("page at %q = %v", address, err)
		}
	}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	out, in := io.Pipe()
	ended := make(chan error, 1)
	go func() { ended <- run(ctx, []string{"-interlinkconfigpath", config, "page"}, noVariables, in) }()
	text, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	at, err := url.Parse(strings.TrimSpace(text))
	if err != nil || at.Hostname() != "127.0.0.1" || len(at.Path) < 26 {
		t.Fatalf("page prints %q, %v", text, err)
	}
	folder := strings.TrimSuffix(at.Path, "/")
	for _, c := range []struct {
		method, path, host string
		want               int
	}{
		{"GET", folder + "/", "", 200}, {"GET", folder + "/page.js", "", 200}, {"GET", folder + "/v1/info", "localhost", 200}, {"GET", folder + "/pods/none", "", 404},
		{"GET", "/", "", 404}, {"GET", "/v1/info", "", 404}, {"GET", "/" + strings.Repeat("A", 26) + "/", "", 404},
		{"GET", folder + "/", "evil.example", 421},
		{"POST", folder + "/", "", 405},
		// These would be answered with what Status says.
		{"GET", folder + "/v1/pods/u1/describe", "", 404}, {"GET", folder + "/v1/pods/u1/exec?command=id", "", 404}, {"PUT", folder + "/v1/pods/u1/archive?path=/", "", 404},
		{"GET", folder + "/pods/../v1/pods/u1/describe", "", 404}, {"GET", folder + "/pods/%2e%2e/v1/pods/u1/describe", "", 404},
	} {
		request, err := http.NewRequestWithContext(ctx, c.method, "http://"+at.Host, nil)
		if err != nil {
			t.Fatal(err)
		}
		request.URL.Opaque, request.Host = c.path, c.host
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(response.Body)
		response.Body.Close()
		if err != nil || response.StatusCode != c.want {
			t.Errorf("%s %s as %q is answered %d, want %d (%v): %s", c.method, c.path, c.host, response.StatusCode, c.want, err, body)
		}
	}
	stop()
	if err := <-ended; err != nil {
		t.Errorf("page ends with %v", err)
	}
}
