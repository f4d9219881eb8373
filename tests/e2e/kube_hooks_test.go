//go:build e2e

package e2e_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// hookServer is a sidecar whose web server makes a file named by the query.
func hookServer() v1.Container {
	c := sidecar(shell("server", "mkdir -p /www/cgi-bin; echo up >/www/index.html\n"+
		"printf '#!/bin/sh\\necho \"$HTTP_X_HOOK\" >/vol/$QUERY_STRING\\nprintf \"Content-Type: text/plain\\\\r\\\\n\\\\r\\\\nok\"\\n' >/www/cgi-bin/note\n"+
		"chmod +x /www/cgi-bin/note; exec httpd -f -p 8090 -h /www"))
	c.Ports = []v1.ContainerPort{{Name: "notes", ContainerPort: 8090}}
	c.StartupProbe = &v1.Probe{PeriodSeconds: 1, FailureThreshold: 60,
		ProbeHandler: v1.ProbeHandler{HTTPGet: &v1.HTTPGetAction{Path: "/", Port: intstr.FromString("notes")}}}
	return c
}

func noteHook(name string) *v1.LifecycleHandler {
	return &v1.LifecycleHandler{HTTPGet: &v1.HTTPGetAction{Path: "/cgi-bin/note?" + name, Port: intstr.FromInt32(8090),
		HTTPHeaders: []v1.HTTPHeader{{Name: "X-Hook", Value: name}}}}
}

func execHook(script string) *v1.LifecycleHandler {
	return &v1.LifecycleHandler{Exec: &v1.ExecAction{Command: []string{"sh", "-c", script}}}
}

func sleepHook(seconds int64) *v1.LifecycleHandler {
	return &v1.LifecycleHandler{Sleep: &v1.SleepAction{Seconds: seconds}}
}

func kubePostStart(t *testing.T, d kubeDaemon) {
	awaits := func(name string) string {
		return "until test -s /vol/" + name + "; do usleep 20000; done; cat /vol/" + name
	}
	exec, get, sleeps := shell("exec", awaits("by-exec")), shell("get", awaits("by-get")), shell("sleeps", "sleep 2")
	exec.Lifecycle = &v1.Lifecycle{PostStart: execHook("echo hook of $(NAME) >/vol/x; mv /vol/x /vol/by-exec")}
	exec.Env = []v1.EnvVar{{Name: "NAME", Value: "exec"}}
	get.Lifecycle = &v1.Lifecycle{PostStart: noteHook("by-get")}
	sleeps.Lifecycle = &v1.Lifecycle{PostStart: sleepHook(1)}
	p := d.run(t, withVolume(withInits(newPod(exec, get, sleeps), hookServer()), emptyDir(), "/vol"))
	p.waitPhase(v1.PodSucceeded)
	for name, want := range map[string]string{"exec": "hook of exec\n", "get": "by-get\n"} {
		if got := p.logs(name, logOptions{}); got != want {
			t.Errorf("log of %s = %q, want %q", name, got, want)
		}
	}
}

func kubeFailedPostStart(t *testing.T, d kubeDaemon) {
	c := shell("c", "trap 'exit 3' TERM; while :; do usleep 20000; done")
	c.Lifecycle = &v1.Lifecycle{PostStart: execHook("echo no luck; exit 9")}
	if end := d.run(t, newPod(c)).waitMessage("c", "postStart", "code 9", "no luck"); end.ExitCode != 3 {
		t.Errorf("exit code = %d, want 3", end.ExitCode)
	}
}

// kubePreStop: the hook comes before SIGTERM, and sidecars live longer.
func kubePreStop(t *testing.T, d kubeDaemon) {
	dir := d.hostFolder(t, "prestop")
	// Each container notes its SIGTERM, and there what was noted before.
	stopping := func(name string) v1.Container {
		return shell(name, "trap 'ls /vol >/vol/term-"+name+"; exit 0' TERM; touch /vol/up-"+name+"; while :; do usleep 20000; done")
	}
	exec, get, sleeps := stopping("exec"), stopping("get"), stopping("sleeps")
	exec.Lifecycle = &v1.Lifecycle{PreStop: execHook("usleep 300000; touch /vol/by-exec")}
	get.Lifecycle = &v1.Lifecycle{PreStop: noteHook("by-get")}
	sleeps.Lifecycle = &v1.Lifecycle{PreStop: sleepHook(2)}
	p := d.run(t, withVolume(withInits(newPod(exec, get, sleeps), hookServer()), hostDir(dir), "/vol"))
	for _, name := range []string{"exec", "get", "sleeps"} {
		waitFile(t, filepath.Join(dir, "up-"+name))
	}
	p.waitRunning()
	began := time.Now()
	p.delete(20) // the hooks' server does not end by itself
	p.waitGone()
	for name, before := range map[string]string{"exec": "by-exec", "get": "by-get", "sleeps": ""} {
		info, err := os.Stat(filepath.Join(dir, "term-"+name))
		if err != nil {
			t.Errorf("container %s had no SIGTERM: %v", name, err)
			continue
		}
		if before == "" {
			if after := info.ModTime().Sub(began); after < 1900*time.Millisecond {
				t.Errorf("container %s had SIGTERM after %s, its hook sleeps 2 s", name, after)
			}
			continue
		}
		hook, err := os.Stat(filepath.Join(dir, before))
		if err != nil || hook.ModTime().After(info.ModTime()) {
			t.Errorf("container %s had SIGTERM before its hook: %v", name, err)
		}
	}
}
