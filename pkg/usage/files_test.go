package usage

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/cgroup"
)

// TestFigures: both versions of control groups have the same figures in other files.
func TestFigures(t *testing.T) {
	for _, version := range []int{1, 2} {
		h := newHost(t, version)
		h.group("s", 1_500_000, 1000, 200)
		got, err := new(reader).figures(h.tree.Below("s"))
		want := Figures{CPUNanoseconds: 1_500_000_000, MemoryBytes: 1000, WorkingSetBytes: 800, RSSBytes: 500, CacheBytes: 250}
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Errorf("version %d: %v (-want +got):\n%s", version, err, diff)
		}
		// The kernel counts both at different moments.
		h.group("s", 1, 1000, 2000)
		if got, err := new(reader).figures(h.tree.Below("s")); err != nil || got.WorkingSetBytes != 0 {
			t.Errorf("version %d: more is idle than there is: %+v, %v", version, got, err)
		}
		if _, err := new(reader).figures(h.tree.Below("other")); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("version %d: a group that is not there: %v", version, err)
		}
	}
}

// TestDamagedFiles: what is no number is an error that names the file.
func TestDamagedFiles(t *testing.T) {
	h := newHost(t, 1)
	for _, file := range []string{"cpuacct.usage", "memory.usage_in_bytes", "memory.stat"} {
		h.group("s", 1, 2, 3)
		where := h.tree.Below("s").Memory
		if file == "cpuacct.usage" {
			where = h.tree.Below("s").CPU
		}
		h.file(filepath.Join(where, file), "total_rss x")
		if _, err := new(reader).figures(h.tree.Below("s")); err == nil || !strings.Contains(err.Error(), file) {
			t.Errorf("%s: %v", file, err)
		}
	}
}

const netDev = `Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed
    lo:       9       9    9    9    0     0          0         0        9       9    9    9    0     0       0          0
  eth0:    1392      16    1    2    0     0          0         0     4567      17    3    4    0     0       0          0
`

func TestParseNetwork(t *testing.T) {
	want := &Network{Interface: "eth0", Received: 1392, PacketsIn: 16, ErrorsIn: 1, DroppedIn: 2, Sent: 4567, PacketsOut: 17, ErrorsOut: 3, DroppedOut: 4}
	for name, c := range map[string]struct {
		text string
		want *Network
	}{
		"as the kernel writes it": {netDev, want},
		"no blank after the name": {strings.Replace(netDev, "eth0:    ", "eth0:", 1), want},
		"another interface":       {strings.Replace(netDev, "eth0", "eth01", 1), nil},
		"cut off":                 {netDev[:strings.Index(netDev, "4567")], nil},
		"no number":               {strings.Replace(netDev, "4567", "-456", 1), nil},
		"empty":                   {"", nil},
	} {
		if diff := cmp.Diff(c.want, parseNetwork([]byte(c.text))); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

// TestNetwork: the process that is the sandbox's first is found among those of its group,
// and looked for again once it is gone.
func TestNetwork(t *testing.T) {
	for _, version := range []int{1, 2} {
		h := newHost(t, version)
		h.sandbox("s", "c", 1)
		procs := "s/sandbox/cgroup.procs"
		if version == 2 {
			procs = "s/sandbox/init/cgroup.procs"
		}
		h.file(filepath.Join(h.tree.Memory, procs), "0\n12\n11")
		h.file("proc/12/status", "Name:\tdockerd\nNSpid:\t12\t20")
		h.file("proc/12/net/dev", "")
		h.file("proc/11/status", "Name:\tinit\nNSpid:\t11\t1")
		h.file("proc/11/net/dev", netDev)
		p, found := find(h.tree, "s")
		r := &reader{}
		if got := r.network(p, h.dir+"/proc"); !found || got == nil || got.Sent != 4567 || p.pid != 11 {
			t.Fatalf("version %d: %v, by process %d", version, got, p.pid)
		}
		if err := os.RemoveAll(h.dir + "/proc/11"); err != nil {
			t.Fatal(err)
		}
		if got := r.network(p, h.dir+"/proc"); got != nil || p.pid != 0 {
			t.Errorf("version %d: %v after the process has gone", version, got)
		}
		h.file(filepath.Join(h.tree.Memory, procs), "13")
		h.file("proc/13/status", "NSpid:\t13\t5\t1")
		h.file("proc/13/net/dev", netDev)
		if got := r.network(p, h.dir+"/proc"); got == nil || p.pid != 13 {
			t.Errorf("version %d: %v, by process %d", version, got, p.pid)
		}
	}
}

// TestLongFile: no more is read of a list than there is room for.
func TestLongFile(t *testing.T) {
	h := newHost(t, 1)
	h.file("long", strings.Repeat("x", 3*mostOfFile))
	if got, err := new(reader).list(filepath.Join(h.dir, "long")); err != nil || len(got) != mostOfFile {
		t.Errorf("%d bytes, %v", len(got), err)
	}
}

// TestContainers: what containers used that have ended is in it, and it is no matter in
// which of two groups they are.
func TestContainers(t *testing.T) {
	for _, version := range []int{1, 2} {
		h := newHost(t, version)
		h.group("s", 900, 9, 0)
		p, found := find(h.tree, "s")
		if !found {
			t.Fatal("the sandbox is not found")
		}
		if _, err := new(reader).containers(p); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("version %d: before the first container: %v", version, err)
		}
		h.group("s/sandbox/docker", 20, 4, 0)
		h.group("s/sandbox/pod", 500, 3000, 0)
		h.group("s/sandbox/pod/c", 300, 2000, 0)
		cpu, err := new(reader).containers(p)
		peak := new(reader).peaks(p)
		if cpu != 520_000 || peak != 3000 || err != nil {
			t.Errorf("version %d: %d ns, %d bytes, %v", version, cpu, peak, err)
		}
		if f, runs := new(reader).container(p, "c"); !runs || f.CPUNanoseconds != 300_000 {
			t.Errorf("version %d: the container has %+v, %v", version, f, runs)
		}
		for _, id := range []string{"", "d"} {
			if f, runs := new(reader).container(p, id); runs {
				t.Errorf("version %d: container %q has %+v", version, id, f)
			}
		}
	}
	if _, found := find(cgroup.Tree{CPU: t.TempDir()}, "s"); found {
		t.Error("a sandbox without a group is found")
	}
}
