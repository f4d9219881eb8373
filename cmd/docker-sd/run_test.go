package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/config"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/engine"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/gpu"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/interlink"
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

// heldPort is one that somebody listens on.
func heldPort(t *testing.T) string {
	t.Helper()
	held, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { held.Close() })
	_, port, err := net.SplitHostPort(held.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return port
}

func TestRunRefuses(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "none.yaml")
	port := heldPort(t)
	for name, c := range map[string]struct {
		args []string
		want string
	}{
		"unknown flag":      {[]string{"-nonsense"}, "-nonsense"},
		"unknown argument":  {[]string{"serve"}, `unknown argument "serve": see -help`},
		"argument after --": {[]string{"-verbose", "--", "x"}, `unknown argument "x"`},
		"missing file":      {[]string{"-interlinkconfigpath", missing}, missing},
		"broken YAML":       {[]string{"-interlinkconfigpath", settingsFile(t, "a: [")}, "broken YAML"},
		"wrong value":       {[]string{"-interlinkconfigpath", settingsFile(t, "SidecarPort: 70000")}, "SidecarPort"},
		"port in use": {[]string{"-interlinkconfigpath", settingsFile(t, "SidecarPort: "+port+"\nDataRootFolder: "+t.TempDir())},
			"listen on 127.0.0.1:" + port},
		"engine address": {[]string{"-interlinkconfigpath", settingsFile(t, "SidecarPort: 0\nDataRootFolder: "+t.TempDir()+"\nDOCKER_HOST: nowhere")},
			"nowhere"},
	} {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			err := run(t.Context(), c.args, noVariables, &out)
			if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("run() = %v, want one line with %q", err, c.want)
			}
			if out.Len() > 0 {
				t.Errorf("output %q, want none", out.String())
			}
		})
	}
	if err := run(t.Context(), []string{"-interlinkconfigpath", missing}, noVariables, nil); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("run() of a missing file = %v, want ErrNotExist", err)
	}
}

func TestVersionAndHelp(t *testing.T) {
	for flag, want := range map[string]string{"-version": version + "\n", "--version": version + "\n",
		"-help": "-interlinkconfigpath", "--help": "-interlinkconfigpath", "-h": "-interlinkconfigpath"} {
		var out bytes.Buffer
		if err := run(t.Context(), []string{flag}, noVariables, &out); err != nil || !strings.Contains(out.String(), want) {
			t.Errorf("run(%s) = %v with %q, want %q", flag, err, out.String(), want)
		}
	}
}

// asking returns a function that posts to a path of a socket, and returns the code, 0 for
// none, and the text of the answer.
func asking(socket string) func(path, body string) (int, string) {
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", socket)
		}}}
	return func(path, body string) (int, string) {
		response, err := client.Post("http://unix"+path, "application/json", strings.NewReader(body))
		if err != nil {
			return 0, err.Error()
		}
		defer response.Body.Close()
		var text bytes.Buffer
		text.ReadFrom(response.Body)
		return response.StatusCode, text.String()
	}
}

// A docker-sd whose engine is away listens, answers pings, and ends when told to.
func TestRunWithoutAnEngine(t *testing.T) {
	messages := fakeSystemd(t)
	dir, err := os.MkdirTemp("", "sd")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	socket := filepath.Join(dir, "s")
	path := settingsFile(t, "Socket: unix://"+socket+"\nDataRootFolder: "+filepath.Join(dir, "data")+"\nShutdownTimeout: 1s\n")
	variables := func(name string) string {
		return map[string]string{"INTERLINKCONFIGPATH": path, "DOCKER_HOST": "unix://" + filepath.Join(dir, "none")}[name]
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- run(ctx, []string{"-errorsonly"}, variables, nil) }()
	ask := asking(socket)
	for code, text := ask("/status", "[]"); code != 200; code, text = ask("/status", "[]") {
		select {
		case err := <-ended:
			t.Fatalf("run() = %v (%s)", err, text)
		default:
		}
	}
	if code, text := ask("/readyz", ""); code != 503 || !strings.Contains(text, "the Docker engine has not answered yet") {
		t.Errorf("/readyz is answered %d %q", code, text)
	}
	if code, _ := ask("/status", `[{"metadata":{"uid":"u"}}]`); code != 503 {
		t.Errorf("a status before earlier pods are taken over is answered %d, want 503", code)
	}
	var out bytes.Buffer
	if err := run(t.Context(), []string{"health"}, variables, &out); err != nil || out.String() != "ok\n" {
		t.Errorf("health of a docker-sd that waits for its engine = %v with %q", err, out.String())
	}
	if err := run(t.Context(), nil, variables, nil); err == nil || !strings.Contains(err.Error(), "another docker-sd uses DataRootFolder") {
		t.Errorf("a second docker-sd in the same folder: %v", err)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Errorf("run() = %v once told to end", err)
	}
	for _, want := range []string{"STATUS=waiting for the Docker engine", "STOPPING=1\nSTATUS=draining; pods go on running"} {
		if got := next(t, messages); got != want {
			t.Errorf("systemd was told %q, want %q", got, want)
		}
	}
	if _, err := os.Stat(socket); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the socket is left behind: %v", err)
	}
}

func TestLockFolder(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "b")
	lock, err := lockFolder(dir)
	if err != nil {
		t.Fatal(err)
	}
	for path, mode := range map[string]os.FileMode{dir: os.ModeDir | 0o700, lock.Name(): 0o600} {
		if info, err := os.Stat(path); err != nil || info.Mode() != mode {
			t.Errorf("%s: %v, %v, want mode %v", path, info, err, mode)
		}
	}
	if second, err := lockFolder(dir); err == nil || !strings.Contains(err.Error(), dir) || strings.Contains(err.Error(), "\n") {
		t.Errorf("a second lockFolder() = %v, %v, want a line that names the folder", second, err)
	}
	if err := lock.Close(); err != nil {
		t.Fatal(err)
	}
	again, err := lockFolder(dir)
	if err != nil {
		t.Fatalf("lockFolder() after the first has ended: %v", err)
	}
	again.Close()
	if _, err := lockFolder(lock.Name()); err == nil {
		t.Error("lockFolder() of a file succeeded")
	}
}

func pinged(t *testing.T, n *node) string {
	t.Helper()
	body, err := json.Marshal(n.ping())
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

func TestPing(t *testing.T) {
	n := newNode(config.Config{MaxPods: 110}, gpu.NewLedger(gpu.Sharing{}))
	if got, want := pinged(t, n), `{"status":"ok","resources":{"pods":"110"}}`; got != want {
		t.Errorf("ping without an engine = %s, want %s: what is not known is left out", got, want)
	}
	n.setEngine(engine.Info{CPUs: 16, MemoryBytes: 64 << 30})
	if got, want := pinged(t, n), `{"status":"ok","resources":{"cpu":"16","memory":"64Gi","pods":"110"}}`; got != want {
		t.Errorf("ping = %s, want %s", got, want)
	}
	n.settings.Capacity = config.Capacity{CPU: "1500m", Memory: "1Gi"}
	n.settings.PingTaints = []config.Taint{}
	if got, want := pinged(t, n), `{"status":"ok","resources":{"cpu":"1500m","memory":"1Gi","pods":"110"},"taints":[]}`; got != want {
		t.Errorf("ping = %s, want %s", got, want)
	}
}

// The answer is copied into a condition and an annotation of the node (protocol
// 2.4), so it is small, the same every time, and all strings.
func TestPingOfAFullNode(t *testing.T) {
	ledger := gpu.NewLedger(gpu.Sharing{})
	resources := []string{gpu.ResourceGPU, gpu.ResourceFPGA, "amd.com/gpu", "nvidia.com/mig-1g.10gb", "nvidia.com/mig-2g.20gb",
		"nvidia.com/mig-3g.40gb", "nvidia.com/mig-4g.40gb"}
	var inventory gpu.Inventory
	for i, name := range resources {
		for range i + 1 {
			uuid := name + strings.Repeat("x", len(inventory.Devices))
			inventory.Devices = append(inventory.Devices, gpu.Device{UUID: uuid, Resource: name})
		}
	}
	ledger.Update(inventory)
	n := newNode(config.Config{MaxPods: 110, PingTaints: []config.Taint{
		{Key: "virtual-node.interlink/reserved", Value: "group", Effect: "NoSchedule"},
		{Key: "example.org/maintenance", Value: "", Effect: "NoExecute"}}}, ledger)
	n.setEngine(engine.Info{CPUs: 256, MemoryBytes: 2<<40 + 4097})
	body := pinged(t, n)
	if len(body) >= 1024 {
		t.Errorf("the answer has %d bytes, want less than 1 KiB", len(body))
	}
	for range 20 {
		if again := pinged(t, n); again != body {
			t.Fatalf("the answer changes from %s to %s", body, again)
		}
	}
	var tree any
	if err := json.Unmarshal([]byte(body), &tree); err != nil {
		t.Fatal(err)
	}
	onlyStrings(t, "", tree)
	var answer interlink.Ping
	if err := json.Unmarshal([]byte(body), &answer); err != nil || len(answer.Resources.Accelerators) != len(resources) || len(*answer.Taints) != 2 {
		t.Errorf("answer %s, %v, want %d accelerators and 2 taints", body, err, len(resources))
	}
}

func onlyStrings(t *testing.T, path string, value any) {
	t.Helper()
	switch value := value.(type) {
	case map[string]any:
		for key, below := range value {
			onlyStrings(t, path+"."+key, below)
		}
	case []any:
		for _, below := range value {
			onlyStrings(t, path+"[]", below)
		}
	case string:
		if value == "" && !strings.HasSuffix(path, ".value") {
			t.Errorf("%s is empty", path)
		}
	default:
		t.Errorf("%s is a %T, and the caller drops the whole answer", path, value)
	}
}

// A start that fails late closes all that it has opened: the tracer sends, the lock and the
// listener can be had again.
func TestFailedStartLeavesNothingOpen(t *testing.T) {
	before := goleak.IgnoreCurrent()
	dir := t.TempDir()
	settings := config.Default()
	settings.DataRootFolder, settings.SidecarPort, settings.AdminAddress = dir, 0, "127.0.0.1:"+heldPort(t)
	settings.Telemetry.Enabled, settings.Telemetry.Endpoint, settings.Telemetry.InsecureSkipVerify = true, "127.0.0.1:1", true
	for range 2 { // the second one gets as far as the first
		if _, err := newDaemon(t.Context(), settings); err == nil || !strings.Contains(err.Error(), "AdminAddress: listen on") {
			t.Fatalf("error %v, want one of AdminAddress", err)
		}
	}
	goleak.VerifyNone(t, before)
}

func TestTroublesBeforeTheEngineAnswers(t *testing.T) {
	d := &daemon{settings: config.Default()}
	d.node = newNode(d.settings, gpu.NewLedger(gpu.Sharing{}))
	want := []string{"the Docker engine has not answered yet"}
	if diff := cmp.Diff(want, d.troubles()); diff != "" {
		t.Errorf("troubles() (-want +got):\n%s", diff)
	}
}
