//go:build e2e

package e2e_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	v1 "k8s.io/api/core/v1"

	"github.com/intertwin-eu/interlink-docker-plugin/tests/collector"
)

// secretsOfHooks are what hooks, probes and commands carry and write here.
var secretsOfHooks = []string{"MARK-env", "MARK-argv0", "MARK-argument", "MARK-prestop", "MARK-poststart", "MARK-probe", "MARK-path", "MARK-workdir", "MARK-subpath", "MARK-key"}

// TestHooksAreDiscreet: what a hook or a probe writes, and what a command is called
// by, is in no log, trace, metric or view for operators, however it fails. The pod's
// own status has it.
func TestHooksAreDiscreet(t *testing.T) {
	t.Parallel()
	taker := collector.Start(t)
	d := prepareDaemon(t, map[string]any{"AVAILABLEDINDS": 1, "AdminAddress": "127.0.0.1:0"})
	d.Env = []string{"ENABLE_TRACING=1", "TELEMETRY_ENDPOINT=" + taker.Address}
	if err := d.start(); err != nil {
		t.Fatal(err)
	}
	hook := func(command ...string) *v1.LifecycleHandler {
		return &v1.LifecycleHandler{Exec: &v1.ExecAction{Command: command}}
	}
	preStop := func(h *v1.LifecycleHandler) func(*v1.Pod, *v1.Container) {
		return func(_ *v1.Pod, c *v1.Container) { c.Lifecycle = &v1.Lifecycle{PreStop: h} }
	}
	postStart := func(h *v1.LifecycleHandler) func(*v1.Pod, *v1.Container) {
		return func(_ *v1.Pod, c *v1.Container) { c.Lifecycle = &v1.Lifecycle{PostStart: h} }
	}
	liveness := func(h v1.ProbeHandler) func(*v1.Pod, *v1.Container) {
		return func(_ *v1.Pod, c *v1.Container) {
			c.LivenessProbe = quickProbe(h)
			c.LivenessProbe.FailureThreshold = 1
		}
	}
	const says = "echo MARK-prestop MARK-poststart MARK-probe $PASSWORD; "
	var runs []*podRun
	// What the status of each has to show: the pod's owner may read it. The log has a
	// line of the one whose status shows no error.
	var shows []string
	start := func(name, shown string, spoil func(*v1.Pod, *v1.Container)) {
		pod := newPod(shell("c", untilStopped))
		pod.Spec.Containers[0].Env = []v1.EnvVar{{Name: "PASSWORD", Value: "MARK-env"}}
		spoil(pod, &pod.Spec.Containers[0])
		t.Log(name, pod.UID)
		runs, shows = append(runs, d.run(t, pod)), append(shows, shown)
	}
	start("preStop fails", `"running":`, preStop(hook("sh", "-c", says+"exit 7")))
	start("preStop has no command", `"running":`, preStop(hook("/MARK-argv0", "MARK-argument")))
	start("preStop takes too long", `"running":`, preStop(hook("sh", "-c", says+"sleep 60")))
	start("preStop asks nobody", `"running":`, preStop(&v1.LifecycleHandler{HTTPGet: httpProbe("/MARK-path?x=MARK-argument", "1").HTTPGet}))
	start("postStart fails", "MARK-poststart", postStart(hook("sh", "-c", says+"exit 7")))
	start("postStart has no command", "MARK-argv0", postStart(hook("/MARK-argv0", "MARK-argument")))
	start("probe fails", "MARK-probe", liveness(execProbe("sh", "-c", says+"exit 7")))
	start("probe has no command", `"terminated":`, liveness(execProbe("/MARK-argv0", "MARK-argument")))
	start("probe asks nobody", "MARK-path", liveness(httpProbe("/MARK-path?x=MARK-argument", "1")))
	start("no command", "MARK-argv0", func(_ *v1.Pod, c *v1.Container) { c.Command = []string{"/MARK-argv0", "MARK-argument"} })
	start("no command in an init container", "MARK-argv0", func(p *v1.Pod, _ *v1.Container) {
		p.Spec.InitContainers = []v1.Container{container("i", "/MARK-argv0", "MARK-argument")}
	})
	start("no command in a sidecar", "", func(p *v1.Pod, _ *v1.Container) {
		side := container("i", "/MARK-argv0", "MARK-argument")
		side.RestartPolicy = ptr(v1.ContainerRestartPolicyAlways)
		p.Spec.InitContainers = []v1.Container{side}
	})
	start("working directory is a file", "CreateContainerError", func(_ *v1.Pod, c *v1.Container) { c.WorkingDir = "/etc/passwd/MARK-workdir" })
	start("a part that is not there", `"terminated":`, func(p *v1.Pod, c *v1.Container) {
		withVolume(p, emptyDir(), "/vol")
		c.VolumeMounts[0].SubPathExpr = "MARK-subpath/$(PASSWORD)"
		c.Command = []string{"sh", "-c", "exit 3"}
	})
	for path, body := range map[string]string{
		"/create":  `{"pod":{},"container":[{"name":"c","secrets":[{"metadata":{"name":"s"},"data":{"MARK-key":"","MARK-key":""}}]}]}`,
		"/delete":  `{"metadata":{"annotations":{"MARK-key":"a","MARK-key":"b"}}}`,
		"/status":  `[{"metadata":{"labels":{"MARK-key":"a","MARK-key":"b"}}}]`,
		"/getLogs": `{"MARK-key":"a","MARK-key":"b"}`,
	} {
		if code, text := d.must(t, http.MethodPost, path, []byte(body)); code != http.StatusBadRequest || strings.Contains(text, "MARK") {
			t.Errorf("%s with a name given twice is answered with %d %s", path, code, text)
		}
	}
	for i, p := range runs {
		if shows[i] == "" {
			eventually(t, runLimit, "the container is to run again", func() bool {
				return strings.Contains(d.log.About(string(p.pod.UID)), "container restarting")
			}, d.log.String)
			continue
		}
		p.waitFor(shows[i], func(s podStatus) bool { return strings.Contains(string(encode(t, s)), shows[i]) })
	}
	var seen strings.Builder
	for _, path := range []string{"/metrics", "/v1/pods", "/v1/pool", "/v1/events", "/v1/info", "/"} {
		response, err := http.Get("http://" + d.adminAddress(t) + path)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(response.Body)
		response.Body.Close()
		if err != nil || response.StatusCode != http.StatusOK {
			t.Fatalf("%s: %s, %v", path, response.Status, err)
		}
		fmt.Fprintf(&seen, "%s\n%s\n", path, body)
	}
	for _, p := range runs {
		p.delete(3)
	}
	for _, p := range runs {
		p.waitGone()
	}
	if err := d.stop(); err != nil { // an end sends what waits
		t.Fatal(err)
	}
	if n := len(taker.Spans()); n < 4*len(runs) {
		t.Errorf("control: only %d spans came of %d pods", n, len(runs))
	}
	for _, span := range taker.Spans() {
		fmt.Fprintln(&seen, span)
	}
	for _, marker := range secretsOfHooks {
		if lines := d.log.About(marker); lines != "" {
			t.Errorf("the log shows %s:\n%.1500s", marker, lines)
		}
		for line := range strings.Lines(seen.String()) {
			if strings.Contains(line, marker) {
				t.Errorf("operators see %s: %.700s", marker, line)
			}
		}
	}
	for _, want := range []string{"preStop hook failed", "a name is given twice"} {
		if !strings.Contains(d.log.String(), want) {
			t.Errorf("the log does not say: %s", want)
		}
	}
}
