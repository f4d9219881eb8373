package metrics_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/admin"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/gpu"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/metrics"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/podstatus"
)

// busy is a node on which each kind of thing is there.
type busy struct{}

func (busy) Info() admin.Info {
	return admin.Info{MaxPods: 110, Troubles: []string{}}
}

func (busy) Pods() admin.Pods {
	return admin.Pods{Pods: []podstatus.View{
		{Phase: podstatus.PhaseRunning, Containers: []podstatus.ContainerView{{State: "running"}, {State: "terminated"}}},
		{Phase: podstatus.PhaseRunning, Containers: []podstatus.ContainerView{{State: "running"}}, Namespace: "team", Name: "web", UID: "u1",
			Network: &podstatus.NetworkView{Mode: "mesh", Up: true, Handshake: time.Now().Add(-time.Hour), Received: 5, Sent: 6, Reconnections: 7}},
		{Phase: podstatus.PhaseFailed},
	}}
}

func (busy) Pool() admin.Pool {
	return admin.Pool{Wanted: 4, Warm: 3, Booting: 1, Standby: 6, Claimed: 2, Waiting: 5}
}

func (busy) GPUs() gpu.Snapshot {
	device := func(state gpu.State) gpu.DeviceState { return gpu.DeviceState{Offered: gpu.ResourceGPU, State: state} }
	return gpu.Snapshot{Devices: []gpu.DeviceState{device(gpu.StateHeld), device(gpu.StateHeld), device(gpu.StateFree)},
		Totals: map[string]int64{gpu.ResourceGPU: 3}, Free: map[string]int64{gpu.ResourceGPU: 1}}
}

func (busy) Events() admin.Events { return admin.Events{} }
func (busy) Troubles() []string   { return nil }

// full is Metrics in which everything has happened.
func full() *metrics.Metrics {
	m := metrics.New("v1.2.3", "docker-sd", busy{})
	m.Request("/create", 200, time.Millisecond)
	m.EngineCall("host", "container create", 201, time.Millisecond)
	m.EngineCall("sandbox", "ping", 0, time.Millisecond)
	m.Pulled(1 << 20)
	for _, step := range []string{"start", "boot"} {
		m.Step(step, time.Second, nil)
		m.Step(step, time.Second, errors.New("broken"))
		m.Step(step, time.Second, fmt.Errorf("left: %w", context.Canceled))
	}
	m.Step("of no interest", time.Second, nil)
	m.Event("restarting")
	m.Event("sandbox died")
	m.Event("of no interest")
	return m
}

func scrape(t *testing.T, m *metrics.Metrics) string {
	t.Helper()
	answer := httptest.NewRecorder()
	m.Handler().ServeHTTP(answer, httptest.NewRequest("GET", "/metrics", nil))
	body, err := io.ReadAll(answer.Result().Body)
	if err != nil || answer.Code != 200 {
		t.Fatalf("a scrape is answered %d (%v): %s", answer.Code, err, body)
	}
	return string(body)
}

func TestNamesFollowTheConventions(t *testing.T) {
	problems, err := testutil.GatherAndLint(full().Gatherer())
	if err != nil {
		t.Fatal(err)
	}
	for _, problem := range problems {
		t.Errorf("%s: %s", problem.Metric, problem.Text)
	}
}

func TestScrape(t *testing.T) {
	text := scrape(t, full())
	for _, line := range []string{
		`docker_sd_http_request_duration_seconds_count{code="200",route="/create"} 1`,
		`docker_sd_engine_requests_total{code="201",engine="host",operation="container create"} 1`,
		`docker_sd_engine_requests_total{code="none",engine="sandbox",operation="ping"} 1`,
		`docker_sd_image_pulled_bytes_total 1.048576e+06`,
		`docker_sd_sandbox_boot_duration_seconds_count{outcome="ok"} 1`,
		`docker_sd_sandbox_boot_duration_seconds_count{outcome="error"} 1`,
		`docker_sd_sandbox_boot_duration_seconds_count{outcome="canceled"} 1`,
		`docker_sd_sandbox_claim_duration_seconds_count{outcome="ok"} 0`,
		`docker_sd_sandbox_claim_duration_seconds_count{outcome="error"} 0`,
		`docker_sd_container_restarts_total 1`,
		`docker_sd_recoveries_total{kind="sandbox_died"} 1`,
		`docker_sd_recoveries_total{kind="pod_adopted"} 0`,
		`docker_sd_pods{phase="running"} 2`,
		`docker_sd_pods{phase="failed"} 1`,
		`docker_sd_pods{phase="pending"} 0`,
		`docker_sd_containers{state="running"} 2`,
		`docker_sd_pool_sandboxes{state="warm"} 3`,
		`docker_sd_pool_sandboxes{state="booting"} 1`,
		`docker_sd_pool_sandboxes{state="claimed"} 2`,
		`docker_sd_pool_sandboxes{state="standby"} 6`,
		`docker_sd_pool_wanted_sandboxes 4`,
		`docker_sd_pool_waiting_pods 5`,
		`docker_sd_accelerators{resource="nvidia.com/gpu",state="held"} 2`,
		`docker_sd_accelerators_offered{resource="nvidia.com/gpu"} 3`,
		`docker_sd_accelerators_free{resource="nvidia.com/gpu"} 1`,
		`docker_sd_pod_network_up{mode="mesh",namespace="team",pod="web",uid="u1"} 1`,
		`docker_sd_pod_network_received_bytes_total{namespace="team",pod="web",uid="u1"} 5`,
		`docker_sd_pod_network_sent_bytes_total{namespace="team",pod="web",uid="u1"} 6`,
		`docker_sd_pod_network_reconnections_total{namespace="team",pod="web",uid="u1"} 7`,
		`docker_sd_ready 1`,
		`docker_sd_max_pods 110`,
	} {
		if !strings.Contains(text, "\n"+line+"\n") {
			t.Errorf("a scrape lacks %s", line)
		}
	}
	if !strings.Contains(text, "\n"+`docker_sd_pod_network_handshake_age_seconds{namespace="team",pod="web",uid="u1"} 36`) || strings.Count(text, "docker_sd_pod_network_up{") != 1 {
		t.Error("a scrape lacks the age of the handshake, or has networks of pods that have none")
	}
	for _, name := range []string{"docker_sd_build_info", "go_goroutines", "process_open_fds"} {
		if !strings.Contains(text, "\n"+name) {
			t.Errorf("a scrape lacks %s", name)
		}
	}
	if strings.Contains(text, "interest") {
		t.Error("a scrape has what is in no table")
	}
}
