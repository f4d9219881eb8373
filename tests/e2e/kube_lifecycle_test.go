//go:build e2e

package e2e_test

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	v1 "k8s.io/api/core/v1"
)

// kubeFailedInit: the first failure stops the pod. It is reported with the inits
// that ran and every main container ended (protocol 2.2.6).
func kubeFailedInit(t *testing.T, d kubeDaemon) {
	dir := d.hostFolder(t, "failed-init")
	pod := withInits(newPod(shell("a", "touch /vol/main"), shell("b", "touch /vol/main")),
		shell("first", "true"), sidecar(shell("side", "trap 'echo stopped >/vol/side; exit 0' TERM; "+untilStopped[len("trap 'exit 0' TERM; "):])),
		shell("fails", "exit 7"), shell("later", "touch /vol/later"), sidecar(shell("lateside", "touch /vol/later; "+untilStopped)))
	p := d.run(t, withVolume(pod, hostDir(dir), "/vol"))
	seen := p.waitPhase(v1.PodFailed)
	var names []string
	for _, c := range seen.InitContainers {
		names = append(names, c.Name)
	}
	if diff := cmp.Diff([]string{"first", "side", "fails"}, names); diff != "" {
		t.Errorf("inits listed (-want +got):\n%s", diff)
	}
	for _, name := range []string{"a", "b", "fails"} {
		if end := seen.Container(name).State.Terminated; end == nil || end.ExitCode != 7 {
			t.Errorf("%s = %+v, want exit code 7", name, seen.Container(name).State)
		}
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 1 || entries[0].Name() != "side" {
		t.Errorf("files of containers = %v, %v; want only that of the sidecar that was stopped", entries, err)
	}
}

// sidecarPod notes the order of things in a folder of the host. Sidecar A must
// have started, which its probe says after a while, before anything else begins.
func sidecarPod(dir, main string) *v1.Pod {
	note := func(text string) string { return "echo " + text + " >>/vol/order; " }
	lasting := func(name string) string {
		return "trap '" + note(name+" stops") + "exit 0' TERM; " + note(name) + "usleep 300000; touch /vol/" + name + "; while :; do usleep 20000; done"
	}
	a, b := sidecar(shell("a", lasting("a"))), sidecar(shell("b", lasting("b")))
	a.StartupProbe = &v1.Probe{PeriodSeconds: 1, FailureThreshold: 60,
		ProbeHandler: v1.ProbeHandler{Exec: &v1.ExecAction{Command: []string{"test", "-e", "/vol/a"}}}}
	pod := withInits(newPod(shell("main", main)),
		shell("one", note("one")), a, shell("two", "test -e /vol/a && "+note("two")), b)
	return withVolume(pod, hostDir(dir), "/vol")
}

func checkOrder(t *testing.T, dir string, want ...string) {
	t.Helper()
	got, err := os.ReadFile(filepath.Join(dir, "order"))
	if diff := cmp.Diff(strings.Join(want, "\n")+"\n", string(got)); err != nil || diff != "" {
		t.Errorf("order (-want +got), %v:\n%s", err, diff)
	}
}

func kubeSidecarsAtEnd(t *testing.T, d kubeDaemon) {
	dir := d.hostFolder(t, "sidecars-end")
	p := d.run(t, sidecarPod(dir, "until test -e /vol/b; do usleep 20000; done; echo main >>/vol/order"))
	seen := p.waitPhase(v1.PodSucceeded)
	for _, c := range seen.InitContainers {
		if side := c.Name == "a" || c.Name == "b"; side && (c.State != v1.ContainerState{} || !*c.Started) {
			t.Errorf("sidecar %s is in state %+v, started %t", c.Name, c.State, *c.Started)
		}
	}
	if len(seen.InitContainers) != 4 {
		t.Errorf("%d of 4 init containers are listed", len(seen.InitContainers))
	}
	eventually(t, runLimit, "the first sidecar has stopped", func() bool {
		text, _ := os.ReadFile(filepath.Join(dir, "order"))
		return strings.Contains(string(text), "a stops")
	}, nil)
	checkOrder(t, dir, "one", "a", "two", "b", "main", "b stops", "a stops")
}

func kubeSidecarsAtDelete(t *testing.T, d kubeDaemon) {
	dir := d.hostFolder(t, "sidecars-delete")
	p := d.run(t, sidecarPod(dir, "trap 'usleep 300000; echo main stops >>/vol/order; exit 0' TERM; until test -e /vol/b; do usleep 20000; done;"+
		" echo main >>/vol/order; touch /vol/main; while :; do usleep 20000; done"))
	waitFile(t, filepath.Join(dir, "main"))
	if seen := p.waitRunning(); len(seen.InitContainers) != 4 || p.pod.Status.Phase != v1.PodRunning {
		t.Errorf("with sidecars running the pod is %s: %s", p.pod.Status.Phase, encode(t, seen.InitContainers))
	}
	p.delete(10)
	p.waitGone()
	checkOrder(t, dir, "one", "a", "two", "b", "main", "main stops", "b stops", "a stops")
}

// kubeSidecarRestarts: a sidecar runs again whatever the pod's policy.
func kubeSidecarRestarts(t *testing.T, d kubeDaemon) {
	pod := withInits(newPod(shell("main", "until test -e /vol/second; do usleep 20000; done")),
		sidecar(shell("side", "if test -e /vol/first; then echo second; touch /vol/second; "+untilStopped+"; fi; touch /vol/first; echo first; exit 3")))
	p := d.run(t, withVolume(pod, emptyDir(), "/vol"))
	p.waitPhase(v1.PodSucceeded)
	if got := p.logs("side", logOptions{Previous: true}); got != "first\n" {
		t.Errorf("previous log of the sidecar = %q", got)
	}
	if got := p.logs("side", logOptions{}); got != "second\n" {
		t.Errorf("log of the sidecar = %q", got)
	}
}

// kubeBackOff: three runs under each policy, the second restart after 10 s.
func kubeBackOff(t *testing.T, d kubeDaemon) {
	for policy, c := range map[v1.RestartPolicy]struct {
		script string
		code   int32
	}{v1.RestartPolicyAlways: {"exit 0", 0}, v1.RestartPolicyOnFailure: {"exit 4", 4}} {
		t.Run(string(policy), func(t *testing.T) {
			t.Parallel()
			pod := newPod(shell("c", "echo run; "+c.script))
			pod.Spec.RestartPolicy = policy
			p := d.run(t, pod)
			p.waitFor("back-off of 10 s", func(s podStatus) bool {
				w := s.Container("c").State.Waiting
				return w != nil && w.Reason == "CrashLoopBackOff" && strings.Contains(w.Message, "10s") && s.Container("c").RestartCount == 1
			})
			backedOff := time.Now()
			seen := p.waitFor("the second restart and its back-off of 20 s", func(s podStatus) bool {
				w := s.Container("c").State.Waiting
				return s.Container("c").RestartCount == 2 && w != nil && strings.Contains(w.Message, "20s")
			}).Container("c")
			if took := time.Since(backedOff); took < 9*time.Second {
				t.Errorf("the back-off took %s", took)
			}
			last := seen.LastTerminationState.Terminated
			if last == nil || last.ExitCode != c.code || last.ContainerID == "" || last.FinishedAt.IsZero() {
				t.Errorf("lastState = %+v, want exit code %d", last, c.code)
			}
		})
	}
}

// kubeRestartRules: a container's own policy and rules win over the pod's.
func kubeRestartRules(t *testing.T, d kubeDaemon) {
	rule := func(op v1.ContainerRestartRuleOnExitCodesOperator, codes ...int32) []v1.ContainerRestartRule {
		return []v1.ContainerRestartRule{{Action: v1.ContainerRestartRuleActionRestart,
			ExitCodes: &v1.ContainerRestartRuleOnExitCodes{Operator: op, Values: codes}}}
	}
	// Ends with the code at the first run, with 0 at the second.
	once := func(name, code string) v1.Container {
		return shell(name, "test -e /vol/"+name+" && exit 0; touch /vol/"+name+"; exit "+code)
	}
	onFailure, in, notIn, not, plain := once("onfailure", "1"), once("in", "42"), once("notin", "5"), once("not", "3"), once("plain", "6")
	onFailure.RestartPolicy = ptr(v1.ContainerRestartPolicyOnFailure)
	for _, c := range []*v1.Container{&in, &notIn, &not} {
		c.RestartPolicy = ptr(v1.ContainerRestartPolicyNever)
	}
	in.RestartPolicyRules = rule(v1.ContainerRestartRuleOnExitCodesOpIn, 41, 42)
	notIn.RestartPolicyRules = rule(v1.ContainerRestartRuleOnExitCodesOpNotIn, 0, 3)
	not.RestartPolicyRules = rule(v1.ContainerRestartRuleOnExitCodesOpNotIn, 0, 3)
	p := d.run(t, withVolume(newPod(onFailure, in, notIn, not, plain), emptyDir(), "/vol"))
	seen := p.waitPhase(v1.PodFailed)
	for name, want := range map[string][3]int32{"onfailure": {0, 1, 1}, "in": {0, 1, 42}, "notin": {0, 1, 5}, "not": {3, 0, 0}, "plain": {6, 0, 0}} {
		c := seen.Container(name)
		last := int32(0)
		if end := c.LastTerminationState.Terminated; end != nil {
			last = end.ExitCode
		}
		if got := [3]int32{c.State.Terminated.ExitCode, c.RestartCount, last}; got != want {
			t.Errorf("%s: exit code, restarts, last exit code = %v, want %v", name, got, want)
		}
	}
}

func kubeActiveDeadline(t *testing.T, d kubeDaemon) {
	pod := newPod(shell("c", untilStopped), shell("done", "true"))
	pod.Spec.ActiveDeadlineSeconds = ptr(d.deadline(t))
	p := d.run(t, pod)
	p.waitMessage("c", "DeadlineExceeded")
	if code, _ := p.d.must(t, http.MethodGet, "/getLogs", logBody(t, pod, "c", logOptions{})); code != http.StatusOK {
		t.Errorf("the log after the deadline was answered with %d", code)
	}
}

// kubeDeadlineWhileWaiting: the time for which a pod waits counts, as kubelet counts it.
func kubeDeadlineWhileWaiting(t *testing.T, d kubeDaemon) {
	pod := newPod(shell("c", "true"))
	pod.Spec.Containers[0].Image = "127.0.0.1:1/no/such:image"
	pod.Spec.ActiveDeadlineSeconds = ptr(int64(2))
	p := d.run(t, pod)
	end := p.waitPhase(v1.PodFailed).Container("c").State.Terminated
	if end.ExitCode != 137 || !strings.Contains(end.Message, "DeadlineExceeded") {
		t.Errorf("it ended with %+v", end)
	}
	p.delete(0)
	p.waitGone()
}

func kubeTerminationMessages(t *testing.T, d kubeDaemon) {
	written := shell("written", "echo ignored; printf 'it is done' >/tmp/message")
	written.TerminationMessagePath = "/tmp/message"
	stranger := shell("stranger", "printf fine >/dev/termination-log")
	stranger.SecurityContext = &v1.SecurityContext{RunAsUser: ptr(int64(4321))}
	long := shell("long", "head -c 5000 /dev/zero | tr '\\0' x >/dev/termination-log")
	fallback := shell("fallback", "for i in $(seq 100); do echo line $i; done; exit 3")
	quiet := shell("quiet", "echo not an error")
	file := shell("file", "echo in the log; printf chosen >/dev/termination-log; exit 4")
	for _, c := range []*v1.Container{&fallback, &quiet, &file} {
		c.TerminationMessagePolicy = v1.TerminationMessageFallbackToLogsOnError
	}
	noFallback := shell("nofallback", "echo in the log; exit 5")
	p := d.run(t, newPod(written, stranger, long, fallback, quiet, file, noFallback))
	seen := p.waitPhase(v1.PodFailed)
	var tail strings.Builder
	for _, line := range strings.SplitAfter(p.logs("fallback", logOptions{}), "\n")[20:] {
		tail.WriteString(line)
	}
	// Each of the seven has its share of 12 KiB.
	for name, want := range map[string]string{"written": "it is done", "stranger": "fine", "long": strings.Repeat("x", 12<<10/7),
		"fallback": tail.String(), "quiet": "", "file": "chosen", "nofallback": ""} {
		if got := seen.Container(name).State.Terminated.Message; got != want {
			t.Errorf("message of %s = %.300q, want %.300q", name, got, want)
		}
	}
	if got := d.run(t, newPod(long)).waitPhase(v1.PodSucceeded).Container("long").State.Terminated.Message; got != strings.Repeat("x", 4096) {
		t.Errorf("a message alone in its pod has %d bytes, want 4096", len(got))
	}
}

// kubeNamespaces: what the processes of a pod see of each other.
func kubeNamespaces(t *testing.T, d kubeDaemon) {
	// The marker is in the argument list of the other container's process only.
	seesOther := "until test -e /dev/shm/ready; do usleep 20000; done; cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' '\\n' | grep -c '^77[7]$'"
	for _, c := range []struct {
		name  string
		edit  func(*v1.PodSpec)
		looks []sight
	}{
		{"each its own", func(*v1.PodSpec) {}, []sight{{seesOther, "0"}, {"readlink -f /proc/1/exe", "/bin/busybox"}}},
		{"shareProcessNamespace", func(s *v1.PodSpec) { s.ShareProcessNamespace = ptr(true) }, []sight{{seesOther, "1"},
			{"cat /proc/[0-9]*/comm 2>/dev/null | grep -c dockerd", "0"}}},
		{"hostPID and hostIPC", func(s *v1.PodSpec) { s.HostPID, s.HostIPC = true, true }, []sight{{seesOther, "1"},
			{"cat /proc/[0-9]*/comm 2>/dev/null | grep -c '^dockerd'", "1"}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			looks := map[string][]sight{"eye": append(c.looks, sight{"cat /dev/shm/ready; rm /dev/shm/ready", "shared memory"})}
			pod := lookPod(looks)
			c.edit(&pod.Spec)
			pod.Spec.Containers = append(pod.Spec.Containers,
				shell("other", "sleep 777 & until grep -q 777 /proc/$!/cmdline; do usleep 20000; done; echo shared memory >/dev/shm/r; mv /dev/shm/r /dev/shm/ready; while test -e /dev/shm/ready; do usleep 20000; done; kill $!"))
			d.run(t, pod).checkLooks(looks)
		})
	}
}
