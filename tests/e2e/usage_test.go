//go:build e2e

package e2e_test

import (
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	stats "k8s.io/kubelet/pkg/apis/stats/v1alpha1"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/admin"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/usage"
)

// burn is a script that takes some seconds of processor time, and no more.
const burn = "i=0; while [ $i -lt 400000 ]; do i=$((i+1)); done; "

// untilGo is a script that ends once its file is there.
const untilGo = "; until test -e /vol/go; do usleep 200000; done"

// dockerStats are what "docker stats" reads of a container.
type dockerStats struct {
	CPU struct {
		Usage struct {
			Total uint64 `json:"total_usage"`
		} `json:"cpu_usage"`
	} `json:"cpu_stats"`
	Memory struct {
		Usage uint64            `json:"usage"`
		Stats map[string]uint64 `json:"stats"`
	} `json:"memory_stats"`
}

// memory in use, as the command shows it with either version of control groups.
func (s dockerStats) memory() uint64 {
	idle, v1 := s.Memory.Stats["total_inactive_file"]
	if !v1 {
		idle = s.Memory.Stats["inactive_file"]
	}
	return s.Memory.Usage - min(idle, s.Memory.Usage)
}

// dockerStats asks the engine in a pod's sandbox about a container.
func (p *podRun) dockerStats(container string) dockerStats {
	p.t.Helper()
	id := strings.TrimPrefix(p.status().Container(container).ContainerID, "docker://")
	var out dockerStats
	if err := p.d.innerEngine(p.t, p).call(p.t.Context(), http.MethodGet, "/containers/"+id+"/stats?stream=false&one-shot=true", &out); err != nil {
		p.t.Fatal(err)
	}
	return out
}

// top is what docker-sd top says.
func (d *daemon) top(t *testing.T) usage.Report {
	t.Helper()
	out, errs, code := d.command(t, "top", "-o", "json")
	var report usage.Report
	if err := json.Unmarshal([]byte(out), &report); err != nil || code != 0 {
		t.Fatalf("top ends with %d: %v\n%s%s", code, err, out, errs)
	}
	return report
}

// usage waits for a look at a pod and its container that is later than a moment.
func (p *podRun) usage(container string, since time.Time) (pod usage.Pod, c usage.Container) {
	p.t.Helper()
	eventually(p.t, runLimit, "the pod has been looked at", func() bool {
		for _, pod = range p.d.top(p.t).Pods {
			for _, c = range pod.Containers {
				if pod.UID == p.pod.UID && c.Name == container && c.Time.After(since) {
					return true
				}
			}
		}
		return false
	}, func() string { return fmt.Sprintf("%+v", p.d.top(p.t)) })
	return pod, c
}

// wantClose fails unless a figure is within 5 % of another one.
func wantClose(t *testing.T, what string, got, want float64) {
	t.Helper()
	if got < want*0.95 || got > want*1.05 {
		t.Errorf("%s is %v, want %v within 5 %%", what, got, want)
	}
}

// admin asks a path of the admin socket.
func (d *daemon) admin(t *testing.T, path string) string {
	t.Helper()
	code, text := newClient(filepath.Join(d.data(), admin.SocketName)).must(t, http.MethodGet, path, nil)
	if code != http.StatusOK {
		t.Fatalf("%s is answered %d: %s", path, code, text)
	}
	return text
}

// summary is kubelet's, of one pod.
func (d *daemon) summary(t *testing.T, pod *v1.Pod) (stats.PodStats, bool) {
	t.Helper()
	var out stats.Summary
	if err := json.Unmarshal([]byte(d.admin(t, admin.PathSummary)), &out); err != nil {
		t.Fatal(err)
	}
	for _, p := range out.Pods {
		if p.PodRef.UID == string(pod.UID) {
			return p, true
		}
	}
	return stats.PodStats{}, false
}

// ratesFrom compares the rate of container c with its counters.
func (p *podRun) ratesFrom(first usage.Container) {
	t := p.t
	t.Helper()
	_, second := p.usage("c", first.Time)
	// A look may have been missed. The rate is exactly that of two which follow each other.
	eventually(t, runLimit, "a rate is that of the counters", func() bool {
		rate := float64(second.CPUNanoseconds-first.CPUNanoseconds) / float64(second.Time.Sub(first.Time))
		if second.Cores != nil && math.Abs(*second.Cores-rate) <= rate*0.01 {
			return true
		}
		first = second
		_, second = p.usage("c", first.Time)
		return false
	}, nil)
}

// TestTopAgainstDockerStats: processor time and memory of containers are those that
// "docker stats" has inside the sandbox, and they are gone with the pod wherever they were.
func TestTopAgainstDockerStats(t *testing.T) {
	t.Parallel()
	d := ownDaemon(t, 2, nil)
	// It works for a while, holds memory, has file pages that are not its working set, and
	// rests then, so that both commands look at the same.
	rests := d.run(t, newPod(shell("worker", burn+"dd if=/dev/zero of=/dev/shm/held bs=1M count=40 2>/dev/null; "+
		"dd if=/dev/zero of=/file bs=1M count=30 2>/dev/null; sync; echo done; "+untilStopped), shell("other", untilStopped)))
	works := d.run(t, newPod(shell("c", "while :; do :; done")))
	rests.waitLog("worker", "done\n")
	works.waitRunning()

	pod, c := rests.usage("worker", time.Now())
	want := rests.dockerStats("worker")
	wantClose(t, "the processor time", float64(c.CPUNanoseconds), float64(want.CPU.Usage.Total))
	wantClose(t, "the memory", float64(c.WorkingSetBytes), float64(want.memory()))
	if c.WorkingSetBytes < 40<<20 || c.CPUNanoseconds < 1e8 {
		t.Errorf("the container has done nothing that could be measured: %+v", c)
	}
	if pod.CPUNanoseconds < c.CPUNanoseconds || pod.WorkingSetBytes < c.WorkingSetBytes || len(pod.Containers) != 2 || pod.Network == nil || pod.Network.PacketsIn == 0 {
		t.Errorf("the pod as a whole is %+v", pod)
	}

	// Of what works, the counter is between two that were read before and after it.
	before := works.dockerStats("c").CPU.Usage.Total
	_, first := works.usage("c", time.Now())
	after := works.dockerStats("c").CPU.Usage.Total
	if first.CPUNanoseconds < before || first.CPUNanoseconds > after || after == before {
		t.Errorf("the processor time is %d, and was %d before and %d after it", first.CPUNanoseconds, before, after)
	}
	works.ratesFrom(first)
	table, _, _ := d.command(t, "top")
	if !strings.Contains(table, works.pod.Name) || !strings.Contains(table, "CPU") {
		t.Errorf("the table is\n%s", table)
	}

	label, uid := `pod="`+works.pod.Name+`"`, string(works.pod.UID)
	stays := `pod="` + rests.pod.Name + `"`
	has := func(path, word string) bool { return strings.Contains(d.admin(t, path), word) }
	for path, word := range map[string]string{"/metrics": label, admin.PathResources: label, admin.PathSummary: uid, admin.PathUsage: uid} {
		if !has(path, word) {
			t.Errorf("%s lacks the pod", path)
		}
	}
	if seen, found := d.summary(t, works.pod); !found || *seen.Containers[0].CPU.UsageCoreNanoSeconds < first.CPUNanoseconds || seen.Network == nil {
		t.Errorf("the summary has %+v", seen)
	}
	works.delete(0)
	works.waitGone()
	for path, word := range map[string]string{"/metrics": label, admin.PathResources: label, admin.PathSummary: uid, admin.PathUsage: uid} {
		eventually(t, runLimit, "the pod is gone from "+path, func() bool { return !has(path, word) }, nil)
	}
	if !has("/metrics", "container_cpu_usage_seconds_total{") || !has("/metrics", stays) || !has(admin.PathResources, stays) {
		t.Error("the other pod is gone as well")
	}
}

// TestUsageOfStorage: what the watch of a limit measures is shown, and a pod without a limit
// has none.
func TestUsageOfStorage(t *testing.T) {
	t.Parallel()
	d := ownDaemon(t, 1, nil)
	c := shell("c", "dd if=/dev/zero of=/file bs=1M count=8 2>/dev/null; dd if=/dev/zero of=/vol/file bs=1M count=4 2>/dev/null; echo done; "+untilStopped)
	c.Resources.Limits = v1.ResourceList{v1.ResourceEphemeralStorage: resource.MustParse("1Gi")}
	limited := d.run(t, withVolume(newPod(c), emptyDir(), "/vol"))
	other := d.run(t, newPod(shell("c", untilStopped)))
	limited.waitLog("c", "done\n")
	began := time.Now()
	var pod usage.Pod
	var seen usage.Container
	eventually(t, runLimit, "the storage is shown as it is now", func() bool {
		pod, seen = limited.usage("c", began)
		return pod.Storage != nil && pod.Storage.Time.After(began) && seen.StorageBytes != nil
	}, nil)
	if *seen.StorageBytes < 8<<20 || *seen.StorageBytes > 9<<20 || pod.Storage.Bytes < 12<<20 || pod.Storage.Bytes > 14<<20 {
		t.Errorf("the container has %d bytes, the pod %+v", *seen.StorageBytes, pod.Storage)
	}
	if line := fmt.Sprintf(`container_fs_usage_bytes{container="c",device="",image=%q,namespace="default",pod=%q}`, suite.images.busybox, limited.pod.Name); !strings.Contains(d.admin(t, "/metrics"), line) {
		t.Errorf("the metrics lack %s", line)
	}
	if pod, _ := other.usage("c", began); pod.Storage != nil {
		t.Errorf("a pod without a limit has %+v", pod.Storage)
	}
}

// TestUsageOfGPUs: what NVML tells of a device is the figures of the containers that hold it.
func TestUsageOfGPUs(t *testing.T) {
	g := newFakeGPUs(t, 2)
	g.load(g.uuid(0), 40, 3<<30)
	g.load(g.uuid(1), 90, 5<<30)
	accounts := filepath.Join(t.TempDir(), "accounts.jsonl")
	d := ownDaemon(t, 1, g.settings(map[string]any{"AccountingFile": accounts}))
	d.waitTotal(t, 2)
	began := time.Now()
	p := d.run(t, newPod(withGPUs(shell("c", untilStopped), 1), shell("side", untilStopped)))
	p.waitRunning()
	held := p.given("c")
	busy, used := "40", "3072"
	if held[0] == g.uuid(1) {
		busy, used = "90", "5120"
	}
	_, c := p.usage("c", began)
	if len(c.Devices) != 1 || c.Devices[0] != held[0] {
		t.Errorf("the container has %v, it was given %v", c.Devices, held)
	}
	if _, side := p.usage("side", began); len(side.Devices) != 0 {
		t.Errorf("the other container has %v", side.Devices)
	}
	labels := `,namespace="default",pod="` + p.pod.Name + `"} `
	line := func(text, name, uuid, value string) bool {
		for l := range strings.Lines(text) {
			if strings.HasPrefix(l, name+"{") && strings.Contains(l, `UUID="`+uuid+`"`) && strings.HasSuffix(l, labels+value+"\n") {
				return true
			}
		}
		return false
	}
	text := d.admin(t, "/metrics")
	if !line(text, "DCGM_FI_DEV_GPU_UTIL", held[0], busy) || !line(text, "DCGM_FI_DEV_FB_USED", held[0], used) {
		t.Errorf("the metrics lack %s %% and %s MiB of %s:\n%s", busy, used, held[0], text)
	}
	table, _, _ := d.command(t, "top")
	if !strings.Contains(table, "GPU-MEMORY") || !strings.Contains(table, busy+"%") {
		t.Errorf("the table is\n%s", table)
	}
	seen, _ := d.summary(t, p.pod)
	for _, one := range seen.Containers {
		if one.Name == "c" && (len(one.Accelerators) != 1 || fmt.Sprint(one.Accelerators[0].DutyCycle) != busy || one.Accelerators[0].ID != held[0]) {
			t.Errorf("the summary has %+v", one.Accelerators)
		}
	}
	// The device works for the pod, as the next looks show.
	g.load(held[0], 100, 1<<30)
	eventually(t, runLimit, "the driver's new figures are shown", func() bool { return line(d.admin(t, "/metrics"), "DCGM_FI_DEV_GPU_UTIL", held[0], "100") }, nil)
	p.delete(0)
	p.waitGone()
	eventually(t, runLimit, "the device is nobody's", func() bool { return !strings.Contains(d.admin(t, "/metrics"), p.pod.Name) }, nil)
	if text := d.admin(t, "/metrics"); strings.Count(text, "\nDCGM_FI_DEV_GPU_UTIL{") != 2 {
		t.Errorf("the devices of the host are\n%s", text)
	}
	bills := billsIn(t, accounts)
	if len(bills) != 1 || bills[0].DeviceSeconds <= 0 || bills[0].DeviceSeconds > time.Since(began).Seconds() || bills[0].DeviceBusySeconds <= 0 ||
		bills[0].DeviceBusySeconds > bills[0].DeviceSeconds+1 || fmt.Sprint(bills[0].Devices) != fmt.Sprint(held) || bills[0].Phase != "deleted" {
		t.Errorf("the accounts are %+v", bills)
	}
}
