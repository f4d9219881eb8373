//go:build e2e

package e2e_test

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	v1 "k8s.io/api/core/v1"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/admin"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/podstatus"
)

// operator asks the admin socket of a daemon.
func (d *daemon) operator(t *testing.T) *admin.Client {
	t.Helper()
	client := admin.NewClient(d.data())
	t.Cleanup(client.Close)
	return client
}

// metrics is one scrape.
func (d *daemon) metrics(t *testing.T) string {
	t.Helper()
	code, text := newClient(filepath.Join(d.data(), admin.SocketName)).must(t, http.MethodGet, "/metrics", nil)
	if code != http.StatusOK {
		t.Fatalf("/metrics is answered %d: %s", code, text)
	}
	return text
}

// What operators see follows a pod from create to delete.
func TestOperatorsSeeAPod(t *testing.T) {
	t.Parallel()
	d := ownDaemon(t, 1, nil)
	info, err := os.Stat(filepath.Join(d.data(), admin.SocketName))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("the admin socket is %v (%v), want it for its owner alone", info, err)
	}
	client := d.operator(t)
	eventually(t, runLimit, "a warm sandbox is shown", func() bool {
		sandboxes, err := client.Pool(t.Context())
		return err == nil && sandboxes.Warm == 1 && sandboxes.Wanted == 1 && len(sandboxes.Sandboxes) == 1 && sandboxes.Sandboxes[0].IP != ""
	}, nil)
	about, err := client.Info(t.Context())
	if err != nil || about.Instance != d.instance || about.Engine == "" || len(about.Troubles) != 0 || about.Address != d.socket {
		t.Errorf("Info() = %+v, %v", about, err)
	}
	pod := newPod(shell("c", untilStopped))
	p := d.run(t, pod)
	eventually(t, runLimit, "the pod is shown running", func() bool {
		seen := shown(t, client, pod.Name)
		return seen.Phase == podstatus.PhaseRunning && seen.Sandbox != "" && seen.IP != "" && seen.Containers[0].State == "running"
	}, nil)
	sandboxes, err := client.Pool(t.Context())
	if err != nil || sandboxes.Claimed != 1 {
		t.Errorf("Pool() = %+v, %v, want one claimed", sandboxes, err)
	}
	if text := d.metrics(t); !strings.Contains(text, "\ndocker_sd_pods{phase=\"running\"} 1\n") ||
		!strings.Contains(text, "\ndocker_sd_http_request_duration_seconds_count{code=\"200\",route=\"/create\"} 1\n") {
		t.Errorf("metrics of a node with a pod:\n%s", text)
	}
	p.delete(0)
	eventually(t, runLimit, "the pod is not shown any more", func() bool { return shown(t, client, pod.Name).Name == "" }, nil)
}

func shown(t *testing.T, client *admin.Client, name string) podstatus.View {
	t.Helper()
	list, err := client.Pods(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range list.Pods {
		if p.Name == name {
			return p
		}
	}
	return podstatus.View{}
}

// Every change of state of a pod is one event for operators and one line in the
// log that names the pod.
func TestEventsOfAPod(t *testing.T) {
	t.Parallel()
	d := ownDaemon(t, 1, map[string]any{"LogFormat": "json", "VerboseLogging": false})
	client := d.operator(t)
	pod := newPod(shell("main", "exit 3"))
	pod.Spec.InitContainers = []v1.Container{shell("init", "true")}
	p := d.run(t, pod)
	p.waitPhase(v1.PodFailed)
	// Its status may be known before that is on disk.
	eventually(t, runLimit, "the pod has ended", func() bool { return slices.Contains(changes(t, d, pod), "pod ended") }, nil)
	p.delete(0)
	p.waitGone()
	want := []string{"pod created", "pod placed", "container init started", "container init ended", "container main started",
		"container main ended", "pod ended", "pod deleting", "pod deleted"}
	var got []string
	eventually(t, runLimit, "the pod's last event", func() bool {
		list, err := client.Events(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		got = nil
		for _, e := range slices.Backward(list.Events) {
			if e.PodUID != pod.UID || e.PodName != pod.Name || e.Namespace != pod.Namespace {
				continue
			}
			subject := "pod"
			if e.Container != "" {
				subject = "container " + e.Container
			}
			got = append(got, subject+" "+e.What)
		}
		return slices.Contains(got, "pod deleted")
	}, nil)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(want, changes(t, d, pod)); diff != "" {
		t.Errorf("lines in the log (-want +got):\n%s", diff)
	}
	text := d.metrics(t)
	for _, name := range []string{"docker_sd_pod_start_duration_seconds", "docker_sd_pod_delete_duration_seconds", "docker_sd_sandbox_claim_duration_seconds",
		"docker_sd_sandbox_boot_duration_seconds", "docker_sd_volumes_prepare_duration_seconds", "docker_sd_container_create_duration_seconds",
		"docker_sd_container_start_duration_seconds", "docker_sd_record_write_duration_seconds"} {
		if !strings.Contains(text, "\n"+name+`_count{outcome="ok"} `) || strings.Contains(text, "\n"+name+`_count{outcome="ok"} 0`) {
			t.Errorf("nothing was counted as %s", name)
		}
	}
	for _, line := range []string{`engine="host",operation="container create"`, `engine="sandbox",operation="container start"`} {
		if !strings.Contains(text, line) {
			t.Errorf("no request to an engine was counted as %s", line)
		}
	}
}

// changes are the changes of state in a log in JSON, of which every line is
// checked to be an object, and every line about the pod to name it.
func changes(t *testing.T, d *daemon, pod *v1.Pod) []string {
	t.Helper()
	var out []string
	for text := range strings.Lines(d.log.String()) {
		var line struct {
			Level, Msg, Time, Pod, Namespace, Name, Container string
		}
		if err := json.Unmarshal([]byte(text), &line); err != nil || line.Level == "" || line.Time == "" || line.Msg == "" {
			t.Errorf("a line of the log is %s: %v", text, err)
		}
		if !strings.Contains(text, string(pod.UID)) {
			continue
		}
		if line.Pod != string(pod.UID) {
			t.Errorf("a line is about the pod and has another: %s", text)
		}
		what, change := strings.CutPrefix(line.Msg, "container ")
		if change {
			what = "container " + line.Container + " " + what
		}
		if change || strings.HasPrefix(line.Msg, "pod ") {
			if out = append(out, what); line.Name != pod.Name || line.Namespace != pod.Namespace || line.Level != "info" {
				t.Errorf("a change of state of %s/%s is %s", pod.Namespace, pod.Name, text)
			}
		}
	}
	return out
}
