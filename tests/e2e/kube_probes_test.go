//go:build e2e

package e2e_test

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// quickProbe runs every second and fails at once.
func quickProbe(handler v1.ProbeHandler) *v1.Probe {
	return &v1.Probe{ProbeHandler: handler, PeriodSeconds: 1, FailureThreshold: 1, TimeoutSeconds: 60}
}

func execProbe(argv ...string) v1.ProbeHandler {
	return v1.ProbeHandler{Exec: &v1.ExecAction{Command: argv}}
}

func httpProbe(path, port string) v1.ProbeHandler {
	return v1.ProbeHandler{HTTPGet: &v1.HTTPGetAction{Path: path, Port: intstr.Parse(port)}}
}

func tcpProbe(port string) v1.ProbeHandler {
	return v1.ProbeHandler{TCPSocket: &v1.TCPSocketAction{Port: intstr.Parse(port)}}
}

// kubeLivenessRestarts: a sick container runs again under Always, with the
// reason in lastState; startup holds liveness back until it has succeeded.
func kubeLivenessRestarts(t *testing.T, d kubeDaemon) {
	dir := d.hostFolder(t, "liveness")
	c := shell("c", "trap 'exit 3' TERM; test -e /vol/been && rm -f /vol/sick; touch /vol/been; usleep 1500000; touch /vol/started; while :; do usleep 20000; done")
	c.StartupProbe = quickProbe(execProbe("test", "-e", "/vol/started"))
	c.StartupProbe.FailureThreshold = 60
	// Fails before the container has started, and when it is sick.
	c.LivenessProbe = quickProbe(execProbe("sh", "-c", "test -e /vol/started && ! test -e /vol/sick || { echo unwell; false; }"))
	pod := newPod(c)
	pod.Spec.RestartPolicy = v1.RestartPolicyAlways
	p := d.run(t, withVolume(pod, hostDir(dir), "/vol"))
	p.waitFor("started", func(s podStatus) bool { return s.Container("c").Started != nil && *s.Container("c").Started })
	if got := p.status().Container("c"); got.RestartCount != 0 {
		t.Errorf("the container was restarted while it started: %+v", got)
	}
	touch(t, filepath.Join(dir, "sick"))
	seen := p.waitFor("the restart", func(s podStatus) bool {
		return s.Container("c").RestartCount == 1 && s.Container("c").State.Running != nil
	})
	last := seen.Container("c").LastTerminationState.Terminated
	if last == nil || last.ExitCode != 3 || !strings.Contains(last.Message, "liveness") || !strings.Contains(last.Message, "unwell") {
		t.Errorf("lastState = %+v", last)
	}
}

// kubeProbesThatKill: every kind of check, under Never, each in a pod of its own.
func kubeProbesThatKill(t *testing.T, d kubeDaemon) {
	grace := quickProbe(execProbe("false"))
	grace.TerminationGracePeriodSeconds = ptr(int64(1))
	for _, c := range []struct {
		name string
		edit func(*v1.Container)
		code int32
		want string
	}{
		{"startup tcpSocket", func(c *v1.Container) { c.StartupProbe = quickProbe(tcpProbe("closed")) }, 3, "startup"},
		{"liveness httpGet, error page", func(c *v1.Container) { c.LivenessProbe = quickProbe(httpProbe("/missing", "web")) }, 3, "404"},
		{"liveness exec, timeout", func(c *v1.Container) {
			c.LivenessProbe = quickProbe(execProbe("sleep", "100"))
			c.LivenessProbe.TimeoutSeconds = 1
		}, 3, "liveness"},
		{"liveness with its own grace", func(c *v1.Container) {
			c.Command[2] = "trap '' TERM; while :; do usleep 20000; done"
			c.LivenessProbe = grace
		}, 137, "liveness"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			spec := shell("c", "trap 'exit 3' TERM; mkdir /www; httpd -p 8091 -h /www; while :; do usleep 20000; done")
			spec.Ports = []v1.ContainerPort{{Name: "web", ContainerPort: 8091}, {Name: "closed", ContainerPort: 8092}}
			c.edit(&spec)
			if l := spec.LivenessProbe; l != nil && l.HTTPGet != nil {
				// Until the server is up the probe must not count.
				spec.StartupProbe = quickProbe(tcpProbe("web"))
				spec.StartupProbe.FailureThreshold = 60
			}
			if end := d.run(t, newPod(spec)).waitMessage("c", c.want); end.ExitCode != c.code {
				t.Errorf("exit code = %d, want %d: %s", end.ExitCode, c.code, end.Message)
			}
		})
	}
}

// kubeReadiness: not ready is shown as waiting, since the caller makes every
// running container ready (protocol 2.2).
func kubeReadiness(t *testing.T, d kubeDaemon) {
	dir := d.hostFolder(t, "readiness")
	serve := func(name, port string) v1.Container {
		return shell(name, "until test -e /vol/go; do usleep 20000; done; mkdir /www; echo ok >/www/ok; httpd -f -p "+port+" -h /www")
	}
	exec, get, socket := shell("exec", untilStopped), serve("get", "8093"), serve("socket", "8094")
	exec.Env = []v1.EnvVar{{Name: "GO", Value: "/vol/go"}}
	exec.ReadinessProbe = quickProbe(execProbe("test", "-e", "$(GO)"))
	get.Ports = []v1.ContainerPort{{Name: "web", ContainerPort: 8093}}
	get.ReadinessProbe = quickProbe(httpProbe("/ok", "web"))
	socket.ReadinessProbe = quickProbe(tcpProbe("8094"))
	socket.ReadinessProbe.SuccessThreshold = 2
	names := []string{"exec", "get", "socket"}
	p := d.run(t, withVolume(newPod(exec, get, socket, shell("plain", untilStopped)), hostDir(dir), "/vol"))
	p.waitFor("nobody is ready but the one without a probe", func(s podStatus) bool {
		for _, name := range names {
			if waitingReason(s, name) != "NotReady" || s.Container(name).Ready {
				return false
			}
		}
		return s.Container("plain").State.Running != nil && s.Container("plain").Ready
	})
	touch(t, filepath.Join(dir, "go"))
	ready := func(s podStatus) bool {
		for _, name := range names {
			if c := s.Container(name); c.State.Running == nil || !c.Ready {
				return false
			}
		}
		return true
	}
	p.waitFor("all are ready", ready)
	if err := os.Remove(filepath.Join(dir, "go")); err != nil {
		t.Fatal(err)
	}
	seen := p.waitFor("one is not ready any more", func(s podStatus) bool { return waitingReason(s, "exec") == "NotReady" })
	if got := seen.Container("get"); got.State.Running == nil || !got.Ready || got.RestartCount != 0 {
		t.Errorf("the others: %+v", got)
	}
	touch(t, filepath.Join(dir, "go"))
	p.waitFor("all are ready again", ready)
}

// kubeCommandsOutOfTime: an exec probe and a hook that take too long are killed, with what
// they have started, in sessions of their own too. One that ends in time is left what it
// leaves behind, though that holds its output.
func kubeCommandsOutOfTime(t *testing.T, d kubeDaemon) {
	const count = "n=0; for p in /proc/[0-9]*; do case $(tr '\\0' ' ' <$p/cmdline) in 'sleep 3'*) n=$((n+1)); cat $p/cmdline >>/tmp/seen; esac; done; echo $n >/vol/$NAME"
	script := "trap 'exit 0' TERM; while :; do " + count + "; usleep 200000; done"
	slow := shell("slow", script)
	slow.LivenessProbe = quickProbe(execProbe("sh", "-c", "echo x >>/vol/probed; sleep 3001 & setsid sh -c 'sleep 3002 & sleep 3003' & sleep 3004"))
	slow.LivenessProbe.TimeoutSeconds, slow.LivenessProbe.PeriodSeconds, slow.LivenessProbe.FailureThreshold = 1, 3, 1000
	leaves := shell("leaves", script)
	leaves.LivenessProbe = quickProbe(execProbe("sh", "-c", "test -e /tmp/once || { : >/tmp/once; sleep 3005 & }; exit 0"))
	leaves.LivenessProbe.TimeoutSeconds = 60
	leaves.ReadinessProbe = quickProbe(execProbe("sh", "-c", "test -e /tmp/once"))
	for _, c := range []*v1.Container{&slow, &leaves} {
		c.Env = []v1.EnvVar{{Name: "NAME", Value: c.Name}}
	}
	dir := d.hostFolder(t, "overtime")
	p := d.run(t, withVolume(newPod(slow, leaves), hostDir(dir), "/vol"))
	read := func(name string) string {
		text, _ := os.ReadFile(filepath.Join(dir, name))
		return strings.TrimSpace(string(text))
	}
	eventually(t, runLimit, "four probes have run out of time", func() bool { return strings.Count(read("probed"), "x") > 4 }, nil)
	// Those of one probe at most.
	most := 0
	eventually(t, runLimit, "nothing is left between two probes", func() bool {
		n, err := strconv.Atoi(read("slow"))
		if err == nil {
			most = max(most, n)
		}
		return err == nil && n == 0
	}, nil)
	if most > 4 {
		t.Errorf("%d processes of probes were seen together", most)
	}
	p.waitFor("ready", func(s podStatus) bool { return s.Container("leaves").Ready })
	eventually(t, runLimit, "the child of a probe that has succeeded is left", func() bool { return read("leaves") == "1" }, func() string { return read("leaves") })
	for _, name := range []string{"slow", "leaves"} {
		if c := p.status().Container(name); c.RestartCount != 0 {
			t.Errorf("container %s was restarted", name)
		}
	}
}
