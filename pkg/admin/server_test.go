package admin_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	"github.com/google/go-cmp/cmp"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/access"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/admin"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/gpu"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/podstatus"
)

// fixed is a Source that does not change.
type fixed struct{ troubles []string }

var since = time.Date(2025, 3, 1, 12, 0, 0, 0, time.UTC)

func (f fixed) Info() admin.Info {
	return admin.Info{Version: "v1", Instance: "docker-sd", Started: since, MaxPods: 110, Troubles: append([]string{}, f.troubles...)}
}

func (f fixed) Pods() admin.Pods {
	code := int32(3)
	return admin.Pods{Pods: []podstatus.View{{UID: "u1", Namespace: "physics", Name: "fit", Phase: podstatus.PhaseRunning, Created: since,
		Sandbox: "s1", Containers: []podstatus.ContainerView{
			{Name: "main", Image: "busybox", State: "running", Ready: true, Restarts: 1, Started: since},
			{Name: "done", Image: "busybox", State: "terminated", Reason: "Error", ExitCode: &code}}}}}
}

func (f fixed) Pool() admin.Pool {
	return admin.Pool{Wanted: 2, Warm: 1, Booting: 1, Claimed: 1, Sandboxes: []admin.Sandbox{
		{Name: "s1", State: admin.SandboxClaimed, PodUID: "u1", Namespace: "physics", PodName: "fit", Booted: since},
		{Name: "s2", State: admin.SandboxWarm, Booted: since}}}
}

func (f fixed) GPUs() gpu.Snapshot {
	return gpu.Snapshot{Devices: []gpu.DeviceState{{Device: gpu.Device{UUID: "GPU-1", Name: "H100"}, State: gpu.StateHeld,
		Offered: gpu.ResourceGPU, Holders: []string{"u1"}}}, Totals: map[string]int64{gpu.ResourceGPU: 1}, Free: map[string]int64{gpu.ResourceGPU: 0}}
}

func (f fixed) Events() admin.Events {
	return admin.Events{Events: []admin.Event{{Time: since, What: "started", PodUID: "u1", Namespace: "physics", PodName: "fit", Container: "main"}}}
}

func (f fixed) Troubles() []string { return f.troubles }

// start serves on a TCP port of its own and returns its address.
func start(t *testing.T, source admin.Source, network, address string) string {
	t.Helper()
	server := admin.New(admin.Config{Source: source, Hosts: access.NewHosts("node.example.org"),
		Metrics: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "up 1") })})
	listener, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	t.Cleanup(func() {
		if err := errors.Join(server.Shutdown(context.Background()), <-served); err != nil {
			t.Error(err)
		}
	})
	return listener.Addr().String()
}

// ask sends one request under a host name.
func ask(t *testing.T, method, address, host, path string) (*http.Response, string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, "http://"+address+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Host = host
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response, string(body)
}

// A page from elsewhere whose name was pointed here gets nothing.
func TestHostNames(t *testing.T) {
	address := start(t, fixed{}, "tcp", "127.0.0.1:0")
	for host, code := range map[string]int{
		"":                      200, // the client's own, an address
		"127.0.0.1:4001":        200,
		"[::1]:4001":            200,
		"10.1.2.3":              200,
		"localhost:4001":        200,
		"LOCALHOST.:4001":       200,
		"node.example.org:4001": 200,
		"evil.example.org":      421,
		"evil.example.org:4001": 421,
		"localhost.example.org": 421,
		"127.0.0.1.example.org": 421,
		"[evil.example.org]":    421,
	} {
		for _, path := range []string{admin.PathPods, "/metrics", "/", "/page.js", "/healthz"} {
			if response, body := ask(t, http.MethodGet, address, host, path); response.StatusCode != code {
				t.Errorf("%s asked under the name %q answers %d, want %d: %s", path, host, response.StatusCode, code, body)
			}
		}
	}
}

// A page of another site reads nothing, even by an address; a link to the page is
// followed, and the page itself asks.
func TestOtherSites(t *testing.T) {
	address := start(t, fixed{}, "tcp", "127.0.0.1:0")
	for _, c := range []struct {
		site, mode string
		code       int
	}{{"cross-site", "cors", 403}, {"cross-site", "no-cors", 403}, {"same-site", "cors", 403}, {"cross-site", "navigate", 200}, {"same-origin", "cors", 200}, {"none", "navigate", 200}} {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+address+admin.PathPods, nil)
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Sec-Fetch-Site", c.site)
		request.Header.Set("Sec-Fetch-Mode", c.mode)
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		if response.StatusCode != c.code {
			t.Errorf("%s in mode %s is answered with %d, want %d", c.site, c.mode, response.StatusCode, c.code)
		}
	}
}

func TestReadOnly(t *testing.T) {
	address := start(t, fixed{}, "tcp", "127.0.0.1:0")
	for _, path := range []string{"/", "/page.css", "/page.js", "/metrics", "/healthz", "/readyz", admin.PathInfo, admin.PathPods, admin.PathPool, admin.PathGPUs, admin.PathEvents} {
		for method, code := range map[string]int{http.MethodGet: 200, http.MethodHead: 200, http.MethodPost: 405, http.MethodPut: 405, http.MethodDelete: 405} {
			response, body := ask(t, method, address, "", path)
			if response.StatusCode != code {
				t.Errorf("%s %s answers %d, want %d: %s", method, path, response.StatusCode, code, body)
			}
			policy := response.Header.Get("Content-Security-Policy")
			if !strings.HasPrefix(policy, "default-src 'none'; ") || strings.Contains(policy, "unsafe") ||
				response.Header.Get("X-Content-Type-Options") != "nosniff" {
				t.Errorf("%s %s is answered without protection: %v", method, path, response.Header)
			}
		}
	}
	if response, _ := ask(t, http.MethodGet, address, "", "/nothing"); response.StatusCode != 404 {
		t.Errorf("an unknown path answers %d, want 404", response.StatusCode)
	}
}

func TestReadiness(t *testing.T) {
	if _, body := ask(t, http.MethodGet, start(t, fixed{}, "tcp", "127.0.0.1:0"), "", "/readyz"); body != "ok\n" {
		t.Errorf("/readyz answers %q, want ok", body)
	}
	address := start(t, fixed{troubles: []string{"no engine", "no disk"}}, "tcp", "127.0.0.1:0")
	if response, body := ask(t, http.MethodGet, address, "", "/readyz"); response.StatusCode != 503 || body != "no engine\nno disk\n" {
		t.Errorf("/readyz answers %d %q, want 503 and both reasons", response.StatusCode, body)
	}
	if response, _ := ask(t, http.MethodGet, address, "", "/healthz"); response.StatusCode != 200 {
		t.Errorf("/healthz answers %d, want 200", response.StatusCode)
	}
}

// shortDir is one whose sockets have names that fit.
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "sd")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// The client reads back all that the source said.
func TestClient(t *testing.T) {
	dir, source := shortDir(t), fixed{}
	start(t, source, "unix", filepath.Join(dir, admin.SocketName))
	client := admin.NewClient(dir)
	defer client.Close()
	check := func(got, want any, err error) {
		t.Helper()
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("error %v, (-said +read)\n%s", err, diff)
		}
	}
	info, err := client.Info(t.Context())
	check(info, source.Info(), err)
	list, err := client.Pods(t.Context())
	check(list, source.Pods(), err)
	sandboxes, err := client.Pool(t.Context())
	check(sandboxes, source.Pool(), err)
	gpus, err := client.GPUs(t.Context())
	check(gpus, source.GPUs(), err)
	events, err := client.Events(t.Context())
	check(events, source.Events(), err)
}

// early is a docker-sd that has not looked yet.
type early struct{ fixed }

func (early) Pods() admin.Pods { return admin.Pods{Pods: []podstatus.View{}, Starting: true} }
func (early) Pool() admin.Pool { return admin.Pool{Sandboxes: []admin.Sandbox{}, Starting: true} }

// What is not known yet is not told as nothing.
func TestClientWhileStarting(t *testing.T) {
	dir := shortDir(t)
	start(t, early{}, "unix", filepath.Join(dir, admin.SocketName))
	client := admin.NewClient(dir)
	defer client.Close()
	if _, err := client.Pods(t.Context()); !errdefs.IsUnavailable(err) || !strings.Contains(err.Error(), "is starting") {
		t.Errorf("Pods() = %v, want ErrUnavailable in words", err)
	}
	if _, err := client.Pool(t.Context()); !errdefs.IsUnavailable(err) {
		t.Errorf("Pool() = %v, want ErrUnavailable", err)
	}
}

func TestClientErrors(t *testing.T) {
	dir := shortDir(t)
	client := admin.NewClient(dir)
	defer client.Close()
	if _, err := client.Info(t.Context()); !errdefs.IsUnavailable(err) || !strings.Contains(err.Error(), "no docker-sd runs") {
		t.Errorf("Info() without a daemon = %v, want ErrUnavailable in words", err)
	}
	listener, err := net.Listen("unix", filepath.Join(dir, admin.SocketName))
	if err != nil {
		t.Fatal(err)
	}
	other := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == admin.PathPods {
			http.Error(w, "not here", http.StatusNotFound)
			return
		}
		fmt.Fprintln(w, "<html>")
	}))
	other.Listener = listener
	other.Start()
	defer other.Close()
	if _, err := client.Pods(t.Context()); err == nil || !strings.Contains(err.Error(), "404: not here") {
		t.Errorf("Pods() of an older docker-sd = %v, want its answer", err)
	}
	if _, err := client.Info(t.Context()); err == nil || !strings.Contains(err.Error(), "something else than JSON") {
		t.Errorf("Info() of something else = %v", err)
	}
}

func TestRing(t *testing.T) {
	var ring admin.Ring
	if got, err := json.Marshal(admin.Events{Events: ring.List()}); err != nil || string(got) != `{"events":[]}` {
		t.Errorf("no events are %s (%v), want an empty list", got, err)
	}
	for i := range 1000 {
		ring.Add(admin.Event{What: fmt.Sprint(i)})
	}
	kept := ring.List()
	if len(kept) < 100 || kept[0].What != "999" || kept[len(kept)-1].What != fmt.Sprint(1000-len(kept)) {
		t.Errorf("%d events are kept, from %v to %v; want the newest first and none missing", len(kept), kept[0], kept[len(kept)-1])
	}
}
