package usage

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
	"k8s.io/apimachinery/pkg/types"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/gpu"
)

// subject is a pod in a sandbox of the same name, with one container.
func subject(uid string) Subject {
	return Subject{UID: types.UID(uid), Namespace: "ns", Name: "pod-" + uid, Sandbox: uid, Containers: []Run{{Name: "c", ID: "c1"}, {Name: "ended", ID: "c0"}, {Name: "waits"}}}
}

func ending(uid string) Ending {
	return Ending{UID: uid, Namespace: "ns", Name: "pod-" + uid, Phase: "succeeded", Created: time.Unix(1000, 0), Age: time.Minute}
}

// sampler of a meter, for looks at times that the test chooses.
func (m *Meter) sampler() *sampler { return &sampler{meter: m, seen: map[string]*watched{}} }

// TestLook: pods and the containers that run, with rates from the second look on.
func TestLook(t *testing.T) {
	for _, version := range []int{1, 2} {
		h := newHost(t, version)
		m := h.meter(&devices{held: map[string]gpu.Assignment{"a": {Containers: map[string][]string{"c": {"GPU-0"}, "other": {"GPU-1"}}}}})
		if got := m.Report(); !got.Starting || got.Pods == nil {
			t.Errorf("before the first look: %+v", got)
		}
		h.group(".", 1_000_000, 200<<20, 0)
		h.sandbox("a", "c1", 500_000)
		m.Began("a")
		m.Placed("a", "a", time.Unix(1010, 0), true)
		eye := m.sampler()
		one := subject("a")
		one.Storage = &Storage{Bytes: 10, Containers: map[string]int64{"c": 7}}
		eye.look([]Subject{one, subject("gone")})
		got := m.Report()
		if len(got.Pods) != 1 || got.Node == nil || got.Node.MemoryBytes != 200<<20 {
			t.Fatalf("version %d: %+v", version, got)
		}
		pod := got.Pods[0]
		if pod.CPUNanoseconds != 800_000_000 || pod.WorkingSetBytes != 70<<20 || pod.Cores != nil || pod.Started.IsZero() || len(pod.Containers) != 1 || len(pod.History) != 1 {
			t.Errorf("version %d: pod %+v", version, pod)
		}
		c := pod.Containers[0]
		if c.Name != "c" || c.CPUNanoseconds != 500_000_000 || c.WorkingSetBytes != 30<<20 || *c.StorageBytes != 7 || !cmp.Equal(c.Devices, []string{"GPU-0"}) {
			t.Errorf("version %d: container %+v", version, c)
		}
		first := time.Now()
		h.sandbox("a", "c1", 700_000)
		eye.look([]Subject{one})
		c = m.Report().Pods[0].Containers[0]
		// The rate is over the time between the looks, which a busy machine makes long.
		took := c.Time.Sub(pod.Containers[0].Time)
		if want := float64(200*time.Millisecond) / float64(took); c.Cores == nil || *c.Cores < want*0.99 || *c.Cores > want*1.01 {
			t.Errorf("version %d: cores %v within %s, after %s", version, c.Cores, took, time.Since(first))
		}
		h.gone("a")
		eye.look([]Subject{one})
		if got := m.Report(); len(got.Pods) != 0 {
			t.Errorf("version %d: a sandbox that is gone: %+v", version, got.Pods)
		}
	}
}

// TestGoneAtOnce: a pod that has ended or was removed is in no report, without another look.
func TestGoneAtOnce(t *testing.T) {
	h := newHost(t, 1)
	m := h.meter(nil)
	for _, uid := range []string{"a", "b", "c"} {
		h.sandbox(uid, "c1", 1)
		m.Began(uid)
	}
	m.sampler().look([]Subject{subject("a"), subject("b"), subject("c"), subject("unknown")})
	if got := m.Report().Pods; len(got) != 3 {
		t.Fatalf("%+v", got)
	}
	if _, settled, err := m.Settle(ending("a")); !settled || err != nil {
		t.Fatalf("settled %v, %v", settled, err)
	}
	m.Forget("b")
	if got := m.Report().Pods; len(got) != 1 || got[0].UID != "c" {
		t.Errorf("%+v", got)
	}
}

// TestSettle: a short pod that nobody looked at is billed by the group of its containers,
// once, without what prepared its sandbox.
func TestSettle(t *testing.T) {
	for _, version := range []int{1, 2} {
		h := newHost(t, version)
		m := h.meter(&devices{held: map[string]gpu.Assignment{"a": {Containers: map[string][]string{"c": {"GPU-0", "GPU-1::2"}}}}})
		h.sandbox("a", "", 0) // 25 ms went into its preparation
		m.Began("a")
		m.Placed("a", "a", time.Unix(1010, 0), true)
		h.sandbox("a", "", 2_000_000)
		for try := range 2 {
			bill, settled, err := m.Settle(ending("a"))
			if settled != (try == 0) || err != nil {
				t.Fatalf("try %d: settled %v, %v", try, settled, err)
			}
			if try == 0 && (bill.CPUSeconds != 2 || bill.PeakMemoryBytes != 50<<20 || bill.DeviceSeconds != 120 || len(bill.Devices) != 2) {
				t.Errorf("version %d: %+v", version, bill)
			}
		}
		if got := lines(t, h.accounting()); len(got) != 1 || got[0].CPUSeconds != 2 || got[0].Node != "node" {
			t.Errorf("version %d: lines %+v", version, got)
		}
		if _, settled, err := m.Settle(ending("unknown")); settled || err != nil {
			t.Errorf("a pod that is not known: %v, %v", settled, err)
		}
	}
}

// TestRestart: the next docker-sd goes on with what the one before had saved, in the same
// sandbox, in one that was started again meanwhile, and in another one.
func TestRestart(t *testing.T) {
	for name, c := range map[string]struct {
		meanwhile func(*host)
		cpu       float64
	}{
		"the same sandbox": {func(h *host) { h.sandbox("a", "c1", 5_000_000) }, 5},
		"started again": {func(h *host) {
			before := h.tree.Below("a").CPU
			// The file system may give a new folder the number of the old one.
			if err := os.Rename(before, before+"-old"); err != nil {
				h.t.Fatal(err)
			}
			h.sandbox("a", "c1", 1_000_000)
		}, 2 + 1.025},
		"another sandbox": {func(h *host) { h.gone("a"); h.sandbox("b", "c1", 4_000_000) }, 2 + 4.025},
		"gone":            {func(h *host) { h.gone("a") }, 2},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHost(t, 1)
			m := h.meter(nil)
			h.sandbox("a", "", 0)
			m.Began("a")
			m.Placed("a", "a", time.Unix(1010, 0), true)
			h.sandbox("a", "c1", 2_000_000)
			m.sampler().look([]Subject{subject("a")})
			if err := m.save(); err != nil {
				t.Fatal(err)
			}
			c.meanwhile(h)
			m = h.meter(nil)
			m.Began("a")
			where := "a"
			if _, found := find(h.tree, "b"); found {
				where = "b"
			}
			m.Placed("a", where, time.Unix(1010, 0), false)
			bill, _, err := m.Settle(ending("a"))
			if bill.CPUSeconds != c.cpu || err != nil {
				t.Errorf("%v s of processor time, want %v; %v", bill.CPUSeconds, c.cpu, err)
			}
			// A third one comes to the end again, as after a crash before the record.
			m = h.meter(nil)
			m.Began("a")
			if _, settled, err := m.Settle(ending("a")); !settled || err != nil {
				t.Errorf("settled %v, %v", settled, err)
			}
			if got := lines(t, h.accounting()); len(got) != 1 || got[0].CPUSeconds != c.cpu {
				t.Errorf("lines %+v", got)
			}
		})
	}
}

// TestUnwritten: a line that cannot be written is written later, also by the next docker-sd.
func TestUnwritten(t *testing.T) {
	h := newHost(t, 1)
	if err := os.Mkdir(h.accounting(), 0o700); err != nil {
		t.Fatal(err)
	}
	m, err := New(Config{Node: "node", Groups: h.tree, Proc: h.dir + "/proc", StatePath: filepath.Join(h.dir, FileName), AccountingFile: h.accounting()})
	if err == nil || !strings.Contains(err.Error(), "AccountingFile") {
		t.Errorf("error %v", err)
	}
	for _, uid := range []string{"a", "b"} {
		m.Began(uid)
		if bill, settled, err := m.Settle(ending(uid)); err == nil || !settled || bill.UID != uid {
			t.Errorf("%+v, %v, %v", bill, settled, err)
		}
	}
	m.writeAgain()
	if err := m.save(); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(h.accounting()); err != nil {
		t.Fatal(err)
	}
	m = h.meter(nil)
	m.writeAgain()
	m.writeAgain()
	if got := lines(t, h.accounting()); len(got) != 2 || got[0].UID != "a" || got[1].UID != "b" {
		t.Errorf("lines %+v", got)
	}
}

// TestDamagedState: pods are measured all the same.
func TestDamagedState(t *testing.T) {
	for _, text := range []string{"{", `{"version":2}`} {
		h := newHost(t, 1)
		h.file(FileName, text)
		m, err := New(Config{Groups: h.tree, StatePath: filepath.Join(h.dir, FileName)})
		if err == nil || !strings.Contains(err.Error(), FileName) {
			t.Errorf("%q: %v", text, err)
		}
		m.Began("a")
		if _, settled, err := m.Settle(ending("a")); !settled || err != nil {
			t.Errorf("%q: settled %v, %v", text, settled, err)
		}
	}
}

// TestTornSave: what a crash has left of a write is removed, and nothing else is.
func TestTornSave(t *testing.T) {
	h := newHost(t, 1)
	m := h.meter(nil)
	if err := m.save(); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{".usage.json123", ".usage.jsonx", ".other.json123"} {
		h.file(name, "{")
	}
	h.meter(nil)
	for name, want := range map[string]bool{".usage.json123": false, ".usage.jsonx": true, ".other.json123": true, FileName: true} {
		if _, err := os.Stat(filepath.Join(h.dir, name)); (err == nil) != want {
			t.Errorf("%s: %v, want it there: %t", name, err, want)
		}
	}
}

// TestNoGroups: where none can be read, the report says so and pods end all the same.
func TestNoGroups(t *testing.T) {
	m, err := New(Config{Trouble: os.ErrNotExist})
	if err != nil {
		t.Fatal(err)
	}
	m.Began("a")
	m.Placed("a", "a", time.Unix(1010, 0), true)
	m.sampler().look([]Subject{subject("a")})
	if got := m.Report(); got.Trouble == "" || len(got.Pods) != 0 {
		t.Errorf("%+v", got)
	}
	if bill, settled, err := m.Settle(ending("a")); !settled || err != nil || bill.CPUSeconds != 0 || !bill.Started.Equal(time.Unix(1010, 0)) {
		t.Errorf("%+v, %v, %v", bill, settled, err)
	}
}

// TestWork: a pod's accelerators work for it, in the share of the time that the driver
// tells, and those of no pod for nobody.
func TestWork(t *testing.T) {
	half, all, wrong := uint32(50), uint32(100), uint32(400)
	d := &devices{held: map[string]gpu.Assignment{"a": {Containers: map[string][]string{"c": {"half", "untold"}, "d": {"half"}}}, "b": {Containers: map[string][]string{"c": {"wrong"}}},
		"young": {Containers: map[string][]string{"c": {"half"}}}}}
	d.loads = []gpu.Load{{UUID: "half", Utilization: &half, MemoryUsedBytes: 3, MemoryTotalBytes: 4}, {UUID: "untold"}, {UUID: "free", Utilization: &all}, {UUID: "wrong", Utilization: &wrong}}
	h := newHost(t, 1)
	m := h.meter(d)
	m.Began("a")
	m.Began("b")
	m.Began("young") // what its device did before it came is not its work
	for _, uid := range []string{"a", "b"} {
		m.pods[uid].since = time.Now().Add(-time.Hour)
	}
	m.work(d.loads, 10*time.Second)
	for uid, want := range map[string]float64{"a": 5, "b": 10, "young": 0} {
		bill, _, err := m.Settle(ending(uid))
		if over := bill.DeviceBusySeconds - want; err != nil || over < 0 || over > 4.5 || over > 0 && uid != "young" {
			t.Errorf("%s: %+v, %v, want %v s", uid, bill, err, want)
		}
	}
}

// TestRun looks at once, tells of devices, and saves at its end.
func TestRun(t *testing.T) {
	busy := uint32(42)
	h := newHost(t, 1)
	m := h.meter(&devices{loads: []gpu.Load{{UUID: "GPU-0", Utilization: &busy}}})
	h.sandbox("a", "c1", 1_000_000)
	m.Began("a")
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); m.Run(ctx, func() []Subject { return []Subject{subject("a")} }) }()
	deadline := time.After(time.Minute)
	for got := m.Report(); len(got.Pods) != 1 || len(got.Devices) != 1; got = m.Report() {
		select {
		case <-deadline:
			t.Fatalf("%+v", got)
		case <-time.After(time.Millisecond):
		}
	}
	if got := m.Report().Devices[0]; got.UUID != "GPU-0" || *got.Utilization != 42 {
		t.Errorf("%+v", got)
	}
	cancel()
	<-done
	kept, err := load(filepath.Join(h.dir, FileName))
	if a := kept.Accounts["a"]; err != nil || a.CPU() != 1_025*time.Millisecond {
		t.Errorf("saved %+v, %v", kept, err)
	}
}

// TestHostileID: what the engine of a sandbox calls a container leads to no other file of the
// host, and a file that is opened does not wait for a writer.
func TestHostileID(t *testing.T) {
	h := newHost(t, 1)
	h.sandbox("a", "c1", 7)
	h.sandbox("b", "c1", 9)
	pipe := filepath.Join(t.TempDir(), "cpuacct.usage")
	if err := unix.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	p, found := find(h.tree, "a")
	if !found {
		t.Fatal("the sandbox is not found")
	}
	r := &reader{}
	if _, ok := r.container(p, "c1"); !ok {
		t.Fatal("the container is not found")
	}
	for _, id := range []string{"", ".", "..", "../docker/c1", "../../../b/sandbox/docker/c1", "../../../../../../.." + filepath.Dir(pipe), "c1\x00"} {
		if f, ok := r.container(p, id); ok {
			t.Errorf("%q is a container: %+v", id, f)
		}
	}
	if text, err := r.file(pipe); err == nil && len(text) > 0 {
		t.Errorf("a pipe without a writer has %q", text)
	}
}
