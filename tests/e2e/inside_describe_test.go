//go:build e2e

package e2e_test

import (
	"bytes"
	"encoding/json"
	"regexp"
	"slices"
	"strings"
	"testing"

	v1 "k8s.io/api/core/v1"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/admin"
)

// TestDescribe: what kubectl describe would show, and the timeline in its order; no value of
// a variable, and nothing that steers a terminal.
func TestDescribe(t *testing.T) {
	t.Parallel()
	d := sharedDaemon(t)
	pod := newPod(shell("main", untilStopped), shell("done", `printf 'last \033[31mwords' >/dev/termination-log; exit 3`))
	pod.Labels = map[string]string{"app": "web"}
	pod.Spec.InitContainers = []v1.Container{shell("prepare", "true")}
	pod.Spec.Containers[0].Env = []v1.EnvVar{{Name: "PASSWORD", Value: "s3cret-value"}}
	pod.Spec.Containers[0].Resources = limits("500m", "64Mi")
	pod.Spec.Containers[0].Ports = []v1.ContainerPort{{ContainerPort: 8080}}
	pod.Spec.Containers[0].ReadinessProbe = &v1.Probe{ProbeHandler: v1.ProbeHandler{Exec: &v1.ExecAction{Command: []string{"true"}}}, PeriodSeconds: 1}
	p := d.run(t, withVolume(pod, emptyDir(), "/vol"))
	p.waitFor("one container is ready and the other has ended", func(s podStatus) bool {
		return s.Container("main").State.Running != nil && s.Container("done").State.Terminated != nil
	})
	client := d.operator(t)
	var seen admin.Description
	var err error
	eventually(t, runLimit, "the pod's container is ready", func() bool {
		seen, err = client.Describe(t.Context(), pod.UID)
		return err == nil && slices.ContainsFunc(seen.Timeline, func(m admin.Moment) bool { return m.What == "ready" && m.Container == "main" })
	}, nil)
	var order []string
	for _, m := range seen.Timeline {
		order = append(order, strings.TrimSpace(m.What+" "+m.Container))
		if m.Time.Before(seen.Pod.Created) {
			t.Errorf("%s was before the pod", m.What)
		}
		if m.State == admin.StepGoesOn {
			t.Errorf("%s goes on although the pod runs", m.What)
		}
	}
	at := -1
	for _, want := range []string{"admitted", "claim", "volumes", "init containers", "create container prepare", "start container prepare",
		"create container main", "start container main", "ready main"} {
		next := slices.Index(order, want)
		if next <= at {
			t.Errorf("the timeline is %q, want %s after what is before it", order, want)
		}
		at = next
	}
	shown := d.shown(t, "describe", pod.Name)
	for _, want := range []string{`Name: +` + pod.Name, `UID: +` + string(pod.UID), `Labels: +app=web`, `Status: +running`, `QoS Class: +Burstable`,
		`Init Containers:`, `main:`, `Port: +8080/TCP`, `State: +Running`, `Exit Code: +3`, `Message: +last  ?\[31mwords`, `cpu: +500m`, `memory: +64Mi`, `PASSWORD: +\(not shown\)`,
		`/vol: +from vol \(rw\)`, `Ready +False`, `Initialized +True`, `PodScheduled +True`, `vol +emptyDir`, `admitted`, `start container +main`, `ready +main`,
		`created`, `placed`} {
		if !regexp.MustCompile(want).MatchString(shown) {
			t.Errorf("describe does not show %s:\n%s", want, shown)
		}
	}
	asJSON := d.shown(t, "describe", string(pod.UID), "-o", "json")
	for _, text := range []string{shown, asJSON} {
		if strings.Contains(text, "s3cret-value") || strings.Contains(text, "\033") {
			t.Errorf("describe shows a variable's value, or what steers a terminal:\n%q", text)
		}
	}
	if err := json.Unmarshal([]byte(asJSON), &seen); err != nil {
		t.Error(err)
	}
}

// shown is the output of a command that has to succeed.
func (d *daemon) shown(t *testing.T, args ...string) string {
	t.Helper()
	var errs bytes.Buffer
	cmd := d.program(t, args...)
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%q: %v: %s", args, err, errs.String())
	}
	return string(out)
}

// TestEventsCommand: of one pod, once and while they happen.
func TestEventsCommand(t *testing.T) {
	t.Parallel()
	d := ownDaemon(t, 1, nil) // the last events are kept of all pods together
	p := d.standing(t, nil)
	watched := &syncBuffer{}
	watch := d.program(t, "events", "-w", "--interval", "100ms", string(p.pod.UID))
	watch.Stdout, watch.Stderr = watched, watched
	if err := watch.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = watch.Process.Kill(); _ = watch.Wait() }()
	eventually(t, runLimit, "what has happened is shown", func() bool { return strings.Contains(watched.String(), "started") }, watched.String)
	once := d.shown(t, "events", p.pod.Name)
	for _, want := range []string{"TIME", "created", "placed", "started", p.pod.Namespace + "/" + p.pod.Name} {
		if !strings.Contains(once, want) {
			t.Errorf("events does not show %q:\n%s", want, once)
		}
	}
	for line := range strings.Lines(once) {
		if !strings.Contains(line, p.pod.Name) && !strings.HasPrefix(line, "TIME") {
			t.Errorf("events of a pod show %q", line)
		}
	}
	if strings.Contains(watched.String(), "deleted") {
		t.Errorf("too early: %s", watched.String())
	}
	p.delete(0)
	p.waitGone()
	eventually(t, runLimit, "the end of the pod is shown", func() bool { return strings.Contains(watched.String(), "deleted") }, watched.String)
	if n := strings.Count(watched.String(), "created"); n != 1 {
		t.Errorf("the create is shown %d times:\n%s", n, watched.String())
	}
}
