//go:build e2e

package e2e_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/uuid"
	"golang.org/x/sys/unix"
	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
)

// fakeGPUs is a host with GPUs that do not exist: a stand-in for NVIDIA's library
// that reads the host from a file, a device node for each GPU that is another
// name of /dev/null, one file in place of the driver, and the CDI specification
// that describes them.
type fakeGPUs struct {
	t     *testing.T
	dir   string
	names string
	mu    sync.Mutex
	n     int
	// more are lines about XIDs and processes.
	more []string
	// loads are what GPUs do, by UUID.
	loads map[string]string
}

// driverFolder is where containers find the driver's files.
const driverFolder = "/usr/lib/docker-sd-test"

func newFakeGPUs(t *testing.T, n int) *fakeGPUs {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "dsgpu")
	if err != nil {
		t.Fatal(err)
	}
	g := &fakeGPUs{t: t, dir: dir, names: "docker-sd-test-" + uuid.NewString()[:8], loads: map[string]string{}}
	t.Cleanup(g.remove)
	// The daemon gets no variable of the tests, so the library brings its own.
	setter := fmt.Sprintf("#include <stdlib.h>\n__attribute__((constructor)) static void name_file(void) { setenv(\"NVML_STUB_FILE\", %q, 1); }\n", g.file())
	g.write("file.c", setter)
	out, err := exec.CommandContext(t.Context(), "gcc", "-shared", "-fPIC", "-O1", "-o", g.library(),
		"../../pkg/gpu/nvml/testdata/nvmlstub/stub.c", filepath.Join(dir, "file.c")).CombinedOutput()
	if err != nil {
		t.Fatalf("compile the stand-in for NVML: %v\n%s", err, out)
	}
	g.write("libcuda.so.1", "the driver\n")
	g.set(n)
	return g
}

func (g *fakeGPUs) file() string    { return filepath.Join(g.dir, "host") }
func (g *fakeGPUs) library() string { return filepath.Join(g.dir, "libnvidia-ml.so.1") }
func (g *fakeGPUs) cdi() string     { return filepath.Join(g.dir, "cdi") }

// settings for a daemon on this host.
func (g *fakeGPUs) settings(more map[string]any) map[string]any {
	all := map[string]any{"GPUENABLED": 1, "GPULibraryPath": g.library(), "CDISpecDirs": []string{g.cdi()}, "GPUHoldDown": "3s"}
	for key, value := range more {
		all[key] = value
	}
	return all
}

func (g *fakeGPUs) uuid(i int) string { return fmt.Sprintf("GPU-%d", i) }

// node is the name of a GPU's device node in /dev.
func (g *fakeGPUs) node(uuid string) string {
	return g.names + "-" + strings.ToLower(uuid)
}

// write replaces a file as a whole.
func (g *fakeGPUs) write(name, text string) {
	g.t.Helper()
	path := filepath.Join(g.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		g.t.Fatal(err)
	}
	if err := os.WriteFile(path+".next", []byte(text), 0o644); err != nil {
		g.t.Fatal(err)
	}
	if err := os.Rename(path+".next", path); err != nil {
		g.t.Fatal(err)
	}
}

// set gives the host this many GPUs: first what they need, then themselves.
func (g *fakeGPUs) set(n int) {
	g.t.Helper()
	g.mu.Lock()
	defer g.mu.Unlock()
	var devices []map[string]any
	for i := range n {
		path := "/dev/" + g.node(g.uuid(i))
		if err := unix.Mknod(path, unix.S_IFCHR|0o666, int(unix.Mkdev(1, 3))); err != nil && !errors.Is(err, unix.EEXIST) {
			g.t.Fatalf("make a device node: %v", err)
		}
		devices = append(devices, map[string]any{"name": g.uuid(i),
			"containerEdits": map[string]any{"deviceNodes": []any{map[string]any{"path": path}}}})
	}
	spec, err := json.Marshal(map[string]any{"cdiVersion": "0.6.0", "kind": "nvidia.com/gpu", "devices": devices,
		"containerEdits": map[string]any{
			"mounts": []any{map[string]any{"hostPath": filepath.Join(g.dir, "libcuda.so.1"), "containerPath": driverFolder + "/libcuda.so.1"}},
			"hooks":  []any{map[string]any{"args": []string{"nvidia-cdi-hook", "update-ldcache", "--folder", driverFolder}}},
		}})
	if err != nil {
		g.t.Fatal(err)
	}
	g.write("cdi/nvidia.json", string(spec))
	g.n = n
	g.writeHost()
}

// xid has a GPU report an error.
func (g *fakeGPUs) xid(gpu, code int) {
	g.t.Helper()
	g.mu.Lock()
	defer g.mu.Unlock()
	g.more = append(g.more, fmt.Sprintf("xid gpu=%d code=%d\n", gpu, code))
	g.writeHost()
}

// load says how much a GPU works, in percent, and how much of its memory is in use.
func (g *fakeGPUs) load(uuid string, busy, used int) {
	g.t.Helper()
	g.mu.Lock()
	defer g.mu.Unlock()
	g.loads[uuid] = fmt.Sprintf(" busy=%d used=%d", busy, used)
	g.writeHost()
}

// process has a process of the host use a GPU, until the returned function is called.
func (g *fakeGPUs) process(gpu, pid int) (end func()) {
	g.t.Helper()
	g.mu.Lock()
	defer g.mu.Unlock()
	line := fmt.Sprintf("process gpu=%d pid=%d\n", gpu, pid)
	g.more = append(g.more, line)
	g.writeHost()
	return func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		g.more = slices.DeleteFunc(g.more, func(l string) bool { return l == line })
		g.writeHost()
	}
}

// index is the number of a GPU by its UUID.
func (g *fakeGPUs) index(uuid string) int { return int(uuid[len(uuid)-1] - '0') }

func (g *fakeGPUs) writeHost() {
	text := "driver version=550.54.14 cuda=12040\n"
	for i := range g.n {
		text += fmt.Sprintf("gpu uuid=%s minor=%d name=Test_GPU memory=42949672960 bus=00000000:%02x:00.0%s\n", g.uuid(i), i, i+1, g.loads[g.uuid(i)])
	}
	g.write("host", text+strings.Join(g.more, ""))
}

func (g *fakeGPUs) remove() {
	nodes, err := filepath.Glob("/dev/" + g.names + "-*")
	problems := []error{err, os.RemoveAll(g.dir)}
	for _, node := range nodes {
		problems = append(problems, os.Remove(node))
	}
	if err := errors.Join(problems...); err != nil {
		g.t.Errorf("remove the fake GPUs: %v", err)
	}
}

// withGPUs has a container ask for GPUs as the API server passes it on.
func withGPUs(c v1.Container, n int) v1.Container {
	list := v1.ResourceList{"nvidia.com/gpu": *resource.NewQuantity(int64(n), resource.DecimalSI)}
	c.Resources = v1.ResourceRequirements{Limits: list, Requests: list.DeepCopy()}
	return c
}

// total is the number of GPUs that the ping tells, -1 if it tells none.
func (d *daemon) total(t *testing.T) int {
	t.Helper()
	code, text := d.must(t, http.MethodGet, "/status", []byte("[]"))
	if code != http.StatusOK || len(text) >= 1024 {
		t.Fatalf("ping was answered with %d and %d bytes: %s", code, len(text), text)
	}
	var ping struct {
		Resources struct {
			Accelerators []struct{ ResourceType, Available string }
		}
	}
	if err := json.Unmarshal([]byte(text), &ping); err != nil {
		t.Fatalf("ping %q: %v", text, err)
	}
	for _, a := range ping.Resources.Accelerators {
		if a.ResourceType == "nvidia.com/gpu" {
			var n int
			if _, err := fmt.Sscan(a.Available, &n); err != nil {
				t.Fatalf("ping %q: %v", text, err)
			}
			return n
		}
	}
	return -1
}

func (d *daemon) waitTotal(t *testing.T, want int) {
	t.Helper()
	eventually(t, runLimit, fmt.Sprintf("the ping tells of %d GPUs", want), func() bool { return d.total(t) == want },
		func() string { return fmt.Sprint(d.total(t)) })
}

// gpuRecord is what is read of a pod's record here.
type gpuRecord struct {
	Pod     *v1.Pod
	Devices struct{ Containers map[string][]string }
	Final   []v1.ContainerStatus
}

// readRecord reads a pod's record from disk; nil if there is none.
func (d *daemon) readRecord(t *testing.T, uid string) *gpuRecord {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(d.data(), "records", uid+".json"))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	var file struct{ Record gpuRecord }
	if err == nil {
		err = json.Unmarshal(data, &file)
	}
	if err != nil {
		t.Errorf("record of %s: %v", uid, err)
		return nil
	}
	return &file.Record
}

// holds lists the GPUs of a record whose pod has not ended.
func (r *gpuRecord) holds() []string {
	var uuids []string
	if r == nil || r.Final != nil {
		return nil
	}
	for _, list := range r.Devices.Containers {
		uuids = append(uuids, list...)
	}
	slices.Sort(uuids)
	return slices.Compact(uuids)
}

// given is what the ledger gave to a container, by the pod's record.
func (p *podRun) given(container string) []string {
	p.t.Helper()
	r := p.d.readRecord(p.t, string(p.pod.UID))
	if r == nil {
		p.t.Fatalf("pod %s has no record", p.pod.UID)
	}
	return r.Devices.Containers[container]
}

// seen is what a container's /dev has of the fake GPUs.
func (g *fakeGPUs) seen(log string) []string {
	var nodes []string
	for line := range strings.Lines(log) {
		if line = strings.TrimSpace(line); strings.HasPrefix(line, g.names) {
			nodes = append(nodes, line)
		}
	}
	return nodes
}

func (g *fakeGPUs) nodes(uuids []string) []string {
	var nodes []string
	for _, u := range uuids {
		nodes = append(nodes, g.node(u))
	}
	slices.Sort(nodes)
	return nodes
}

// refusedCreate creates a pod that must be refused, and returns the words.
func (d *daemon) refusedCreate(t *testing.T, pod *v1.Pod) string {
	t.Helper()
	code, text := d.must(t, http.MethodPost, "/create", encode(t, newCreate(pod)))
	if code == http.StatusOK {
		t.Fatalf("a pod was taken that should have been refused: %s", text)
	}
	return text
}

// runSoon creates a pod for which the GPUs may not be free yet. A refused UID is
// not tried again (protocol 1.4), so each try is a new pod.
func (d *daemon) runSoon(t *testing.T, newPod func() *v1.Pod) *podRun {
	t.Helper()
	var p *podRun
	last := ""
	eventually(t, runLimit, "there are GPUs for the pod", func() bool {
		pod := newPod()
		code, text := d.must(t, http.MethodPost, "/create", encode(t, newCreate(pod)))
		if code != http.StatusOK {
			last = text
			return false
		}
		p = d.created(t, pod, code, text)
		return true
	}, func() string { return last })
	return p
}

// silentRegistry accepts connections and never answers, so that pulls hang.
func silentRegistry(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	var open []net.Conn
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			open = append(open, c)
			mu.Unlock()
		}
	}()
	t.Cleanup(func() {
		listener.Close()
		<-done
		for _, c := range open {
			c.Close()
		}
	})
	return listener.Addr().String()
}
