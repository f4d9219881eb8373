//go:build e2e

package e2e_test

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/admin"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/pods"
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
		return seen.Phase == pods.PhaseRunning && seen.Sandbox != "" && seen.IP != "" && seen.Containers[0].State == "running"
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

func shown(t *testing.T, client *admin.Client, name string) pods.View {
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
	return pods.View{}
}
