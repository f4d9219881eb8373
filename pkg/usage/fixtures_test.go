package usage

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/cgroup"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/gpu"
)

// host has control groups and processes as files.
type host struct {
	t    testing.TB
	dir  string
	tree cgroup.Tree
}

func newHost(t testing.TB, version int) *host {
	h := &host{t: t, dir: t.TempDir()}
	h.tree = cgroup.Tree{V2: version == 2, CPU: filepath.Join(h.dir, "cpuacct/all"), Memory: filepath.Join(h.dir, "memory/all")}
	if h.tree.V2 {
		h.tree.CPU, h.tree.Memory = filepath.Join(h.dir, "unified/all"), filepath.Join(h.dir, "unified/all")
	}
	h.file("proc/sys/kernel/random/boot_id", "boot")
	return h
}

// file writes one, with its folders.
func (h *host) file(path, text string) {
	h.t.Helper()
	if !filepath.IsAbs(path) {
		path = filepath.Join(h.dir, path)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		h.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text+"\n"), 0o600); err != nil {
		h.t.Fatal(err)
	}
}

// group gives a control group below that of all sandboxes its figures: processor time in
// microseconds, memory in use and what of it is idle, in bytes.
func (h *host) group(path string, micros, memory, idle uint64) {
	h.t.Helper()
	t := h.tree.Below(path)
	if t.V2 {
		h.file(t.CPU+"/cpu.stat", fmt.Sprintf("usage_usec %d\nuser_usec 1\nsystem_usec 2", micros))
		h.file(t.Memory+"/memory.current", fmt.Sprint(memory))
		h.file(t.Memory+"/memory.peak", fmt.Sprint(memory))
		h.file(t.Memory+"/memory.stat", fmt.Sprintf("anon %d\nfile %d\ninactive_file %d\nanon_thp 7", memory/2, memory/4, idle))
		return
	}
	h.file(t.CPU+"/cpuacct.usage", fmt.Sprint(micros*1000))
	h.file(t.Memory+"/memory.usage_in_bytes", fmt.Sprint(memory))
	h.file(t.Memory+"/memory.max_usage_in_bytes", fmt.Sprint(memory))
	h.file(t.Memory+"/memory.stat", fmt.Sprintf("cache 1\nrss 2\ninactive_file 3\ntotal_cache %d\ntotal_rss %d\ntotal_inactive_file %d", memory/4, memory/2, idle))
}

// sandbox is one in which a container runs, with these figures for the container, for all
// containers and for the whole.
func (h *host) sandbox(id, container string, micros uint64) {
	h.t.Helper()
	h.group(id, micros+300_000, 80<<20, 10<<20)
	h.group(id+"/sandbox", micros+300_000, 80<<20, 10<<20)
	h.group(id+"/sandbox/docker", micros+25_000, 50<<20, 10<<20)
	if container != "" {
		h.group(id+"/sandbox/docker/"+container, micros, 40<<20, 10<<20)
	}
}

// gone removes a control group.
func (h *host) gone(path string) {
	h.t.Helper()
	t := h.tree.Below(path)
	for _, dir := range []string{t.CPU, t.Memory} {
		if err := os.RemoveAll(dir); err != nil {
			h.t.Fatal(err)
		}
	}
}

// meter is one on this host; state is its folder.
func (h *host) meter(accelerators Accelerators) *Meter {
	h.t.Helper()
	m, err := New(Config{Node: "node", Groups: h.tree, Proc: filepath.Join(h.dir, "proc"), Accelerators: accelerators,
		StatePath: filepath.Join(h.dir, FileName), AccountingFile: h.accounting()})
	if err != nil {
		h.t.Fatal(err)
	}
	return m
}

func (h *host) accounting() string { return filepath.Join(h.dir, "accounting.jsonl") }

// devices are accelerators that do what a test says.
type devices struct {
	loads []gpu.Load
	held  map[string]gpu.Assignment
}

func (d *devices) Loads(context.Context) ([]gpu.Load, error) { return d.loads, nil }
func (d *devices) Held(uid string) gpu.Assignment            { return d.held[uid] }
