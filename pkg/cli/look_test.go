package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	"github.com/google/go-cmp/cmp"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/admin"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/gpu"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/interlink"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/podstatus"
)

var noon = time.Date(2025, 3, 1, 12, 0, 0, 0, time.UTC)

// shownPods are one of each kind that the tables tell apart.
func shownPods() admin.Pods {
	code := int32(3)
	return admin.Pods{Pods: []podstatus.View{
		{UID: "u1", Namespace: "physics", Name: "fit", Phase: podstatus.PhaseRunning, Created: noon.Add(-90 * time.Second), IP: "10.213.0.2",
			Containers: []podstatus.ContainerView{{Name: "setup", Init: true, State: "terminated", Reason: "Completed"},
				{Name: "main", State: "running", Ready: true, Restarts: 2}, {Name: "side", State: "waiting", Reason: "CrashLoopBackOff"}}},
		{UID: "u2", Namespace: "physics", Name: "sim", Phase: podstatus.PhaseFailed, Created: noon.Add(-3 * time.Hour),
			Containers: []podstatus.ContainerView{{Name: "main", State: "terminated", Reason: "Error", ExitCode: &code}}},
		{UID: "u3", Namespace: "biology", Name: "sim", Phase: podstatus.PhasePending, Created: noon,
			Containers: []podstatus.ContainerView{{Name: "main", State: "waiting", Reason: "ContainerCreating"}}},
	}}
}

func written(t *testing.T, tables table) []string {
	t.Helper()
	var out bytes.Buffer
	if err := tables.write(&out, true); err != nil {
		t.Fatal(err)
	}
	return strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")
}

func TestTables(t *testing.T) {
	for name, c := range map[string]struct {
		table table
		want  []string
	}{
		"pods": {podsTable(shownPods(), noon), []string{
			"NAMESPACE   NAME   READY   PHASE                              RESTARTS   AGE   IP           UID",
			"physics     fit    1/2     running (side: CrashLoopBackOff)   2          90s   10.213.0.2   u1",
			"physics     sim    0/1     failed (main: Error 3)             0          3h    -            u2",
			"biology     sim    0/1     pending                            0          0s    -            u3"}},
		"networks": {podsTable(admin.Pods{Pods: []podstatus.View{
			{UID: "u1", Namespace: "a", Name: "m", Phase: podstatus.PhaseRunning, Created: noon, Network: &podstatus.NetworkView{Mode: "mesh", Up: true, Address: "10.244.0.7"}},
			{UID: "u2", Namespace: "a", Name: "t", Phase: podstatus.PhaseRunning, Created: noon, Network: &podstatus.NetworkView{Mode: "tunnel", Up: true}},
			{UID: "u3", Namespace: "a", Name: "d", Phase: podstatus.PhaseRunning, Created: noon, Network: &podstatus.NetworkView{Mode: "tunnel", Error: "refused"}},
			{UID: "u4", Namespace: "a", Name: "n", Phase: podstatus.PhaseRunning, Created: noon, Network: &podstatus.NetworkView{Mode: "mesh"}},
			{UID: "u5", Namespace: "a", Name: "p", Phase: podstatus.PhaseRunning, Created: noon}}}, noon), []string{
			"NAMESPACE   NAME   READY   PHASE     RESTARTS   AGE   IP   UID   NETWORK",
			"a           m      0/0     running   0          0s    -    u1    mesh 10.244.0.7",
			"a           t      0/0     running   0          0s    -    u2    tunnel",
			"a           d      0/0     running   0          0s    -    u3    tunnel down: refused",
			"a           n      0/0     running   0          0s    -    u4    mesh down",
			"a           p      0/0     running   0          0s    -    u5    -"}},
		"no pods": {podsTable(admin.Pods{}, noon), []string{"NAMESPACE   NAME   READY   PHASE   RESTARTS   AGE   IP   UID", "no pods"}},
		"pool": {poolTable(admin.Pool{Wanted: 2, Warm: 1, Booting: 1, Claimed: 1, Error: "no disk", Sandboxes: []admin.Sandbox{
			{Name: "s1", State: admin.SandboxClaimed, Namespace: "physics", PodName: "fit", Booted: noon.Add(-time.Minute), IP: "10.213.0.2", ContainerID: "0123456789abcdef"},
			{Name: "s2", State: admin.SandboxWarm}}}, noon), []string{
			"SANDBOX   STATE     POD           AGE   IP           CONTAINER",
			"s1        claimed   physics/fit   60s   10.213.0.2   0123456789ab",
			"s2        warm      -             -     -            -",
			"1 warm of 2 wanted, 0 stand by, 0 networks made ahead, 1 booting, 1 claimed; 0 pods wait for one",
			"the last boot failed: no disk"}},
		"gpus": {gpusTable(gpu.Snapshot{Drivers: []gpu.Driver{{Vendor: "nvidia.com", Version: "550.1", CUDA: "12.4"}},
			Totals: map[string]int64{gpu.ResourceGPU: 2}, Free: map[string]int64{gpu.ResourceGPU: 1},
			Devices: []gpu.DeviceState{{Device: gpu.Device{UUID: "GPU-1", Name: "H100", MemoryBytes: 80 << 30}, State: gpu.StateHeld, Offered: gpu.ResourceGPU, Holders: []string{"u1"}},
				{Device: gpu.Device{UUID: "GPU-2", Name: "H100"}, State: gpu.StateUnhealthy, Offered: gpu.ResourceGPU, Reasons: []string{"XID 79", "lost"}}}}, noon), []string{
			"UUID    NAME   MEMORY   STATE       RESOURCE         PODS   REASON",
			"GPU-1   H100   80GiB    held        nvidia.com/gpu   u1     -",
			"GPU-2   H100   -        unhealthy   nvidia.com/gpu   -      XID 79; lost",
			"nvidia.com/gpu: 1 free of 2",
			"nvidia.com driver 550.1, CUDA 12.4"}},
		"what steers a terminal": {table{head: []string{"A"}, rows: []row{{cells: []string{"x\x1b[2J\ny"}}}, footer: []string{"\x07z"}}, []string{"A", "x [2J y", " z"}},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(c.want, written(t, c.table)); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

// watched runs show over a series of answers and returns what it printed.
func watched(t *testing.T, s Screen, answers ...any) string {
	t.Helper()
	var out bytes.Buffer
	s.Out = &out
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ask := func(context.Context) (admin.Pods, error) {
		if len(answers) == 0 {
			cancel()
			return admin.Pods{}, context.Canceled
		}
		next := answers[0]
		answers = answers[1:]
		if err, failed := next.(error); failed {
			return admin.Pods{}, err
		}
		return next.(admin.Pods), nil
	}
	err := show(ctx, s, ask, view[admin.Pods]{table: func(p admin.Pods, _ time.Time) table { return podsTable(p, noon) }, state: 3},
		watching{on: true, interval: time.Millisecond})
	if err != nil {
		t.Errorf("show() = %v", err)
	}
	return out.String()
}

// Where nobody looks, a watch appends what has changed and nothing else.
func TestWatch(t *testing.T) {
	before, after := shownPods(), shownPods()
	after.Pods = after.Pods[:2]
	after.Pods[1].Phase = podstatus.PhaseDeleting
	away := errors.New("docker-sd is away")
	lines := strings.Split(watched(t, Screen{}, before, before, away, away, after, after), "\n")
	for i, want := range []string{"NAMESPACE ", "physics     fit ", "physics     sim ", "biology     sim ", "docker-sd is away", "physics   sim   0/1   deleting", "biology   sim   0/1   gone", ""} {
		if i >= len(lines) || !strings.HasPrefix(lines[i], want) || len(lines) != 8 {
			t.Fatalf("line %d is not %q in\n%s", i, want, strings.Join(lines, "\n"))
		}
	}
	if text := watched(t, Screen{terminal: true}, before, before, after); strings.Count(text, wipe) != 3 || strings.Count(text, "NAMESPACE") != 3 {
		t.Errorf("a terminal is not drawn anew each time: %q", text)
	}
	objects := json.NewDecoder(strings.NewReader(watched(t, Screen{JSON: true}, before, before, after)))
	for _, want := range []int{3, 2} {
		var list admin.Pods
		if err := objects.Decode(&list); err != nil || len(list.Pods) != want {
			t.Errorf("an object with %d pods (%v), want %d", len(list.Pods), err, want)
		}
	}
	if _, err := objects.Token(); err != io.EOF {
		t.Errorf("more than the changes is printed: %v", err)
	}
}

func TestFindPod(t *testing.T) {
	list := shownPods().Pods
	for name, want := range map[string]string{"u2": "u2", "physics/sim": "u2", "biology/sim": "u3", "fit": "u1"} {
		if p, err := findPod(list, name); err != nil || string(p.UID) != want {
			t.Errorf("findPod(%q) = %s, %v, want %s", name, p.UID, err, want)
		}
	}
	if _, err := findPod(list, "sim"); !errdefs.IsInvalidArgument(err) || !strings.Contains(err.Error(), "give the UID") {
		t.Errorf("findPod of two = %v", err)
	}
	if _, err := findPod(list, "physics/none"); !errdefs.IsNotFound(err) || !strings.Contains(err.Error(), "docker-sd pods") {
		t.Errorf("findPod of none = %v", err)
	}
}

func TestLogRequest(t *testing.T) {
	p := shownPods().Pods[0]
	for name, c := range map[string]struct {
		flags logFlags
		want  interlink.LogRequest
		err   string
	}{
		"all":        {logFlags{tail: -1}, interlink.LogRequest{ContainerName: "main"}, ""},
		"init":       {logFlags{tail: -1, container: "setup"}, interlink.LogRequest{ContainerName: "setup"}, ""},
		"tail":       {logFlags{tail: 5, follow: true}, interlink.LogRequest{ContainerName: "main", Opts: interlink.LogOptions{Tail: 5, Follow: true}}, ""},
		"from now":   {logFlags{follow: true}, interlink.LogRequest{ContainerName: "main", Opts: interlink.LogOptions{Follow: true, SinceTime: noon}}, ""},
		"since":      {logFlags{tail: -1, since: time.Hour, previous: true}, interlink.LogRequest{ContainerName: "main", Opts: interlink.LogOptions{Previous: true, SinceTime: noon.Add(-time.Hour)}}, ""},
		"unknown":    {logFlags{tail: -1, container: "none"}, interlink.LogRequest{}, `no container "none": it has main, side, setup`},
		"wrong tail": {logFlags{tail: -2}, interlink.LogRequest{}, "--tail is -2"},
		"future":     {logFlags{tail: -1, since: -1}, interlink.LogRequest{}, "--since is -1ns"},
	} {
		got, err := logRequest(p, c.flags, noon)
		if c.err != "" {
			if err == nil || !strings.Contains(err.Error(), c.err) {
				t.Errorf("%s: error %v, want %q", name, err, c.err)
			}
			continue
		}
		c.want.Namespace, c.want.PodUID, c.want.PodName = p.Namespace, string(p.UID), p.Name
		if diff := cmp.Diff(c.want, got); err != nil || diff != "" {
			t.Errorf("%s: %v (-want +got)\n%s", name, err, diff)
		}
	}
}

// operated is a docker-sd that runs, as far as operators can see.
type operated struct{ list admin.Pods }

func (o operated) Info() admin.Info {
	return admin.Info{Version: "v7", Instance: "one", Started: time.Now(), Address: "somewhere", Engine: "28.1"}
}
func (o operated) Pods() admin.Pods     { return o.list }
func (o operated) Pool() admin.Pool     { return admin.Pool{Wanted: 3} }
func (o operated) GPUs() gpu.Snapshot   { return gpu.Snapshot{} }
func (o operated) Events() admin.Events { return admin.Events{} }
func (o operated) Troubles() []string   { return nil }

// listenIn serves on a socket in dir until the test ends.
func listenIn(t *testing.T, dir, name string, serve func(net.Listener) error, stop func() error) {
	t.Helper()
	listener, err := net.Listen("unix", filepath.Join(dir, name))
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- serve(listener) }()
	t.Cleanup(func() {
		if err := stop(); err != nil {
			t.Error(err)
		}
		<-served
	})
}

// folderWith is a data folder and the configuration that names it.
func folderWith(t *testing.T) (dir, config string) {
	t.Helper()
	dir, err := os.MkdirTemp("", "sd")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir, settingsFile(t, "DataRootFolder: "+dir+"\nSocket: unix://"+filepath.Join(dir, "api.sock")+"\n")
}

// printed runs docker-sd with a configuration.
func printed(t *testing.T, config string, args ...string) (string, error) {
	t.Helper()
	var out bytes.Buffer
	err := run(t.Context(), append([]string{"-interlinkconfigpath", config}, args...), noVariables, &out)
	return out.String(), err
}

func TestLook(t *testing.T) {
	dir, config := folderWith(t)
	for _, command := range []string{"pods", "pool", "gpus", "logs x"} {
		_, err := printed(t, config, strings.Fields(command)...)
		if err == nil || !strings.Contains(err.Error(), "no docker-sd runs with the admin socket "+dir) {
			t.Errorf("%s without a docker-sd = %v", command, err)
		}
	}
	if text, err := printed(t, config, "version"); err != nil || !strings.Contains(text, "no docker-sd runs") || !strings.Contains(text, "go1.") {
		t.Errorf("version without a docker-sd = %q, %v", text, err)
	}
	server := admin.New(admin.Config{Source: operated{shownPods()}, Metrics: http.NotFoundHandler()})
	listenIn(t, dir, admin.SocketName, server.Serve, func() error { return server.Shutdown(context.Background()) })
	for command, want := range map[string]string{
		"pods":                             "\nphysics     fit ",
		"pods -o json":                     `"uid": "u1"`,
		"pool":                             "0 warm of 3 wanted",
		"gpus":                             "no accelerators: ",
		"version":                          "running   v7 as instance one at somewhere",
		"version -o json":                  `"engine": "28.1"`,
		"__complete logs ":                 "physics/fit\trunning\n",
		"__complete logs u1 -c ":           "main\nside\nsetup\n",
		"__complete pods -o ":              "table\njson\n",
		"completion bash":                  "__start_docker-sd",
		"completion zsh":                   "#compdef docker-sd",
		"completion fish":                  "complete -c docker-sd",
		"help logs":                        "docker-sd logs NAMESPACE/POD|UID",
		"-verbose=false pods -o=table":     "NAMESPACE",
		"pods --output=json --watch=false": `"phase": "failed"`,
	} {
		args := strings.Fields(command)
		if strings.HasSuffix(command, " ") {
			args = append(args, "")
		}
		if text, err := printed(t, config, args...); err != nil || !strings.Contains(text, want) {
			t.Errorf("%s = %v and\n%s\nwant %q", command, err, text, want)
		}
	}
	for command, want := range map[string]string{"pods -o xml": "table or json", "pool -w --interval 1ms": "100ms or longer", "logs sim": "2 pods", "pods x": "unknown command"} {
		if _, err := printed(t, config, strings.Fields(command)...); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s = %v, want %q", command, err, want)
		}
	}
}

func TestLogs(t *testing.T) {
	dir, config := folderWith(t)
	operators := admin.New(admin.Config{Source: operated{shownPods()}, Metrics: http.NotFoundHandler()})
	listenIn(t, dir, admin.SocketName, operators.Serve, func() error { return operators.Shutdown(context.Background()) })
	if _, err := printed(t, config, "logs", "u1"); err == nil || !strings.Contains(err.Error(), "ask docker-sd at "+dir) {
		t.Errorf("logs without a listener = %v", err)
	}
	asked := make(chan interlink.LogRequest, 1)
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		request, err := interlink.DecodeLogs(body)
		if err != nil || request.ContainerName == "side" {
			http.Error(w, "no such log", http.StatusNotFound)
			return
		}
		asked <- request
		io.WriteString(w, "a line\n")
	})}
	listenIn(t, dir, "api.sock", server.Serve, server.Close)
	text, err := printed(t, config, "logs", "physics/fit", "--tail", "7", "-p", "--timestamps")
	if err != nil || text != "a line\n" {
		t.Fatalf("logs = %q, %v", text, err)
	}
	want := interlink.LogRequest{Namespace: "physics", PodUID: "u1", PodName: "fit", ContainerName: "main",
		Opts: interlink.LogOptions{Tail: 7, Previous: true, Timestamps: true}}
	if diff := cmp.Diff(want, <-asked); diff != "" {
		t.Errorf("(-want +asked)\n%s", diff)
	}
	if text, err := printed(t, config, "logs", "u1", "--tail", "0"); err != nil || text != "" {
		t.Errorf("logs of no lines = %q, %v", text, err)
	}
	if _, err := printed(t, config, "logs", "u1", "-c", "side"); err == nil || !strings.Contains(err.Error(), "404 Not Found: no such log") {
		t.Errorf("logs that docker-sd does not have = %v", err)
	}
}

// Colours are for people who look at a terminal and have not said no.
func TestColours(t *testing.T) {
	if got := (Screen{}).Paint(Red, "x"); got != "x" {
		t.Errorf("without a terminal: %q", got)
	}
	if got := (Screen{Coloured: true}).Paint(Red, "x"); got != "\x1b[31mx\x1b[0m" {
		t.Errorf("on a terminal: %q", got)
	}
}
