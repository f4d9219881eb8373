//go:build e2e

package e2e_test

import (
	"net/http"
	"strings"
	"testing"

	v1 "k8s.io/api/core/v1"
)

// Markers of what a log must never show, by where they are put.
var markers = []string{"MARK-env", "MARK-secret", "MARK-config", "MARK-annotation", "MARK-label", "MARK-args", "MARK-output", "MARK-probe", "MARK-hook", "MARK-message", "MARK-flag", "MARK-header"}

// markedPod carries a marker wherever a user may put a secret.
func markedPod(script string) (*v1.Pod, createRequest) {
	c := container("c", "sh", "-c", script+" # MARK-args")
	c.Args = []string{"sh", "MARK-args"}
	c.Env = []v1.EnvVar{{Name: "PASSWORD", Value: "MARK-env"}, {Name: "AGAIN", Value: "$(PASSWORD)"}}
	pod := newPod(c)
	pod.Annotations = map[string]string{"note": "MARK-annotation"}
	pod.Labels = map[string]string{"l": "MARK-label"}
	addVolume(pod, "s", v1.VolumeSource{Secret: secret("login")})
	addVolume(pod, "m", configMap("cm"))
	pod.Spec.Containers[0].VolumeMounts = []v1.VolumeMount{mount("s", "/s"), mount("m", "/m")}
	request := newCreate(pod)
	configMaps, secrets := bytesMap(), loginSecret()
	configMaps.Data = map[string]string{"a.txt": "MARK-config"}
	secrets.Data = map[string][]byte{"user": []byte("MARK-secret")}
	request.GiveData([]v1.ConfigMap{configMaps}, nil, []v1.Secret{secrets})
	return pod, request
}

// TestLogIsDiscreet: whatever is asked and however it fails, no body, variable,
// secret, argument or output is in the log, at debug level.
func TestLogIsDiscreet(t *testing.T) {
	t.Parallel()
	d := ownDaemon(t, 1, map[string]any{"MaxBodyBytes": maxBody})
	const noisy = "echo MARK-output $PASSWORD; cat /s/user; echo MARK-message >/dev/termination-log; "
	var runs []*podRun
	for name, spoil := range map[string]func(*v1.Pod, *v1.Container){
		"good":        func(*v1.Pod, *v1.Container) {},
		"fails":       func(_ *v1.Pod, c *v1.Container) { c.Command[2] = noisy + "exit 3" },
		"no command":  func(_ *v1.Pod, c *v1.Container) { c.Command = []string{"/none"} },
		"no image":    func(_ *v1.Pod, c *v1.Container) { c.Image, c.ImagePullPolicy = "example.invalid/none:1", v1.PullNever },
		"no sub path": func(_ *v1.Pod, c *v1.Container) { c.VolumeMounts[0].SubPathExpr = "$(PASSWORD)/x" },
		"bad hook": func(_ *v1.Pod, c *v1.Container) {
			c.Lifecycle = &v1.Lifecycle{PostStart: &v1.LifecycleHandler{Exec: &v1.ExecAction{Command: []string{"sh", "-c", "echo MARK-hook $PASSWORD; exit 1"}}}}
		},
		"bad probe": func(_ *v1.Pod, c *v1.Container) {
			c.Command[2] = noisy + untilStopped
			c.LivenessProbe = quickProbe(execProbe("sh", "-c", "echo MARK-probe $PASSWORD; exit 1"))
			c.LivenessProbe.FailureThreshold = 1
		},
		"bad http": func(_ *v1.Pod, c *v1.Container) {
			c.Command[2] = noisy + untilStopped
			c.LivenessProbe = quickProbe(httpProbe("/?token=MARK-probe", "1"))
			c.LivenessProbe.HTTPGet.HTTPHeaders = []v1.HTTPHeader{{Name: "Authorization", Value: "MARK-header"}}
			c.LivenessProbe.FailureThreshold = 1
		},
	} {
		pod, request := markedPod(noisy)
		spoil(pod, &pod.Spec.Containers[0])
		t.Log(name, pod.UID)
		runs = append(runs, d.runRequest(t, request))
	}
	// Refused ones: each names the field at fault, and only that.
	for _, spoil := range []func(*v1.Pod, *v1.Container){
		func(_ *v1.Pod, c *v1.Container) { c.Env = append(c.Env, v1.EnvVar{Name: "A", Value: "MARK-env\x00"}) },
		func(_ *v1.Pod, c *v1.Container) { c.Args = append(c.Args, "MARK-args\x00") },
		func(p *v1.Pod, _ *v1.Container) { p.Annotations["docker-options.vk.io/flags"] = "-e A=x MARK-flag" },
		func(p *v1.Pod, _ *v1.Container) {
			p.Annotations["docker-options.vk.io/flags"] = "--env MARK-flag"
		},
		func(p *v1.Pod, _ *v1.Container) {
			p.Annotations["docker-options.vk.io/flags"] = "--pids-limit MARK-flag"
		},
		func(p *v1.Pod, _ *v1.Container) {
			p.Annotations["docker-options.vk.io/flags"] = "--memory=MARK-flag"
		},
		func(p *v1.Pod, _ *v1.Container) {
			p.Annotations["docker-options.vk.io/flags"] = "-e A='MARK-flag --x"
		},
	} {
		pod, request := markedPod("true")
		spoil(pod, &pod.Spec.Containers[0])
		d.refused(t, "a marked pod", "/create", encode(t, request), http.StatusBadRequest)
	}
	_, request := markedPod("true")
	body := encode(t, request)
	for _, path := range []string{"/create", "/status", "/delete", "/getLogs"} {
		for _, broken := range [][]byte{body[:len(body)/2], append([]byte("["), body...), []byte(`{"pod":{"spec":{"containers":[{"env":"MARK-env"}]}}}`),
			[]byte(`"MARK-secret"`), []byte(`{"metadata":{"creationTimestamp":"MARK-secret"},"pod":{"metadata":{"creationTimestamp":"MARK-secret"}},"Opts":{"SinceTime":"MARK-secret"},"PodUID":"x"}`)} {
			if code, _ := d.must(t, http.MethodPost, path, broken); code == http.StatusOK {
				t.Errorf("%s takes %.80q", path, broken)
			}
		}
	}
	for _, p := range runs {
		p.waitFor("an end or a refusal to start", func(s podStatus) bool {
			state := s.Container("c").State
			return state.Terminated != nil || state.Waiting != nil && state.Waiting.Reason == "ErrImageNeverPull"
		})
		_, _ = d.must(t, http.MethodGet, "/getLogs", logBody(t, p.pod, "c", logOptions{Tail: 5}))
		p.delete(1)
	}
	for _, p := range runs {
		p.waitGone()
	}
	for _, marker := range markers {
		if lines := d.log.About(marker); lines != "" {
			t.Errorf("the log shows %s:\n%.2000s", marker, lines)
		}
	}
	if !strings.Contains(d.log.String(), "level=debug") {
		t.Error("the log is not at debug level")
	}
}
