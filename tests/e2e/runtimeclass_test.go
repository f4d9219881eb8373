//go:build e2e

package e2e_test

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/uuid"
	v1 "k8s.io/api/core/v1"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/preflight"
)

// marking is a runtime whose containers can tell that it made them: they have a variable more.
const marking = `#!/bin/sh
before=
for word; do
	case $before in --bundle|-b) sed -i 's/"env":\[/"env":["RUN_BY=marking",/' "$word/config.json" ;; esac
	before=$word
done
exec runc "$@"
`

// classDaemon has runtime classes; that of marking is a program of the host.
func classDaemon(t *testing.T) *daemon {
	t.Helper()
	d := prepareDaemon(t, map[string]any{"AVAILABLEDINDS": 1})
	program := filepath.Join(d.dir, "runtime")
	if err := os.WriteFile(program, []byte(marking), 0o755); err != nil {
		t.Fatal(err)
	}
	d.settings["RuntimeClasses"] = map[string]any{"marked": map[string]any{"runtime": "marking", "path": program},
		"usual": map[string]any{}, "nowhere": map[string]any{"runtime": "nowhere"}, "shim": map[string]any{"runtime": "io.containerd.runc.v2"},
		"gone":    map[string]any{"runtime": "gone", "path": filepath.Join(d.dir, "gone")},
		"no-shim": map[string]any{"runtime": "io.containerd.nowhere.v1"}}
	if err := d.writeConfig(); err != nil {
		t.Fatal(err)
	}
	if err := d.start(); err != nil {
		t.Fatal(err)
	}
	return d
}

// ofClass gives a pod a runtime class.
func ofClass(pod *v1.Pod, class string) *v1.Pod {
	pod.Spec.RuntimeClassName = ptr(class)
	return pod
}

const runBy = `echo "by ${RUN_BY:-default}"`

// TestRuntimeClass: the operator's map says which runtime makes the containers of a class, and
// no other pod's.
func TestRuntimeClass(t *testing.T) {
	t.Parallel()
	d := classDaemon(t)
	t.Run("every container of the pod", func(t *testing.T) {
		t.Parallel()
		pause := `tr '\0' '\n' </proc/1/environ | grep RUN_BY`
		pod := ofClass(withInits(newPod(shell("c", runBy+"; "+pause)), shell("i", runBy)), "marked")
		pod.Spec.ShareProcessNamespace = ptr(true)
		p := d.run(t, pod)
		p.waitPhase(v1.PodSucceeded)
		if got := p.logs("i", logOptions{}) + p.logs("c", logOptions{}); got != "by marking\nby marking\nRUN_BY=marking\n" {
			t.Errorf("the containers say %q", got)
		}
	})
	for name, pod := range map[string]*v1.Pod{"no class": newPod(shell("c", runBy)), "a class that is as usual": ofClass(newPod(shell("c", runBy)), "usual"),
		"the engine's shim by its name": ofClass(newPod(shell("c", runBy)), "shim"),
		"variable and annotation":       pretending()} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := d.run(t, pod).output(); got != "by default\n" {
				t.Errorf("the container says %q", got)
			}
		})
	}
	t.Run("a runtime that the engine does not know", func(t *testing.T) {
		t.Parallel()
		p := d.run(t, ofClass(newPod(shell("c", "true")), "nowhere"))
		p.waits("CreateContainerError", "runtimeClassName nowhere is the runtime nowhere here", "does not know it", "operator", "RuntimeClasses")
	})
	t.Run("a program that is not there", func(t *testing.T) {
		t.Parallel()
		p := d.run(t, ofClass(newPod(shell("c", "true")), "gone"))
		p.waits("RunContainerError", "runtimeClassName gone is the runtime gone here", "cannot run its program", "operator", "RuntimeClasses")
	})
	t.Run("a shim that is not there", func(t *testing.T) {
		t.Parallel()
		p := d.run(t, ofClass(newPod(shell("c", "true")), "no-shim"))
		// Engines before 23 refuse to make such a container, later ones to start it.
		p.waitFor("it says what to do", func(s podStatus) bool {
			w := s.Container("c").State.Waiting
			return w != nil && (w.Reason == "CreateContainerError" || w.Reason == "RunContainerError") && strings.Contains(w.Message, "runtimeClassName no-shim") &&
				strings.Contains(w.Message, "RuntimeClasses")
		})
	})
	t.Run("docker-sd check", func(t *testing.T) {
		t.Parallel()
		report, _ := d.checked(t)
		if line := lineOf(t, report, "runtimes"); line.Verdict != preflight.Warn || !strings.Contains(line.Found, "gone for the class gone, nowhere for the class nowhere:") {
			t.Errorf("check says %+v", line)
		}
	})
	t.Run("classes that are not there", func(t *testing.T) {
		t.Parallel()
		for _, class := range []string{"marking", "runc", "/bin/sh", "other"} {
			text := d.refusedCreate(t, ofClass(newPod(shell("c", "true")), class))
			for _, want := range []string{"spec.runtimeClassName: " + class, "gone, marked, no-shim, nowhere, shim, usual", "RuntimeClasses"} {
				if !strings.Contains(text, want) {
					t.Errorf("class %s is refused with %q, which lacks %q", class, text, want)
				}
			}
		}
	})
}

// pretending is a pod that names the runtime wherever else a pod can say something.
func pretending() *v1.Pod {
	pod := newPod(shell("c", runBy))
	pod.Annotations = map[string]string{"io.kubernetes.cri.runtime-handler": "marking", "docker-sd.runtime": "marking"}
	pod.Labels = map[string]string{"runtime": "marking"}
	return pod
}

// TestRuntimeClassStays: a pod keeps its runtime over restarts of its container and of
// docker-sd, and when its class is taken out of the configuration.
func TestRuntimeClassStays(t *testing.T) {
	t.Parallel()
	d := classDaemon(t)
	pod := ofClass(withVolume(newPod(shell("c", runBy+"; until test -e /vol/go; do usleep 20000; done; rm /vol/go; exit 1")), hostDir(d.hostFolder(t, "class")), "/vol"), "marked")
	pod.Spec.RestartPolicy = v1.RestartPolicyAlways
	p := d.run(t, pod)
	p.waitRunning()
	again := func(count int32) {
		t.Helper()
		p.waitLog("c", "by marking\n")
		touch(t, filepath.Join(d.hostPath(), "class", "go"))
		p.waitFor("it runs again", func(s podStatus) bool {
			c := s.Container("c")
			return c.RestartCount == count && c.State.Running != nil
		})
		p.waitLog("c", "by marking\n")
	}
	again(1)
	delete(d.settings, "RuntimeClasses")
	if err := d.writeConfig(); err != nil {
		t.Fatal(err)
	}
	if err := d.kill(); err != nil {
		t.Fatal(err)
	}
	if err := d.start(); err != nil {
		t.Fatal(err)
	}
	d.waitReady(t)
	again(2)
	code, text := d.must(t, http.MethodPost, "/create", encode(t, newCreate(pod)))
	if code != http.StatusOK || !strings.Contains(text, p.jid) {
		t.Errorf("a repeated create was answered with %d %s, want %s again", code, text, p.jid)
	}
	if text := d.refusedCreate(t, ofClass(newPod(shell("c", "true")), "marked")); !strings.Contains(text, "this node has no runtime classes") {
		t.Errorf("a new pod of the class is refused with %q", text)
	}
}

// TestRuntimeOfTheSandboxImage: a sandbox image brings a runtime by itself, beside one of the
// host. One whose program is missing makes containers wait, with what to do.
func TestRuntimeOfTheSandboxImage(t *testing.T) {
	t.Parallel()
	image := "docker-sd-test/of:" + uuid.NewString()[:8]
	buildFrom(t, image, map[string][]byte{"marking": []byte(marking),
		"daemon.json": []byte(`{"runtimes": {"marking": {"path": "/usr/local/bin/marking"}, "missing": {"path": "/usr/local/bin/missing"}}}`),
		"Dockerfile":  []byte("FROM " + suite.images.sandbox + "\nCOPY marking /usr/local/bin/\nCOPY daemon.json /etc/docker/\nRUN chmod 755 /usr/local/bin/marking\n")})
	t.Cleanup(func() { suite.engine.removeImage(t, image) })
	d := prepareDaemon(t, map[string]any{"AVAILABLEDINDS": 1, "SandboxImage": image})
	program := filepath.Join(d.dir, "runtime")
	if err := os.WriteFile(program, []byte(strings.ReplaceAll(marking, "RUN_BY=marking", "RUN_BY=host")), 0o755); err != nil {
		t.Fatal(err)
	}
	d.settings["RuntimeClasses"] = map[string]any{"marked": map[string]any{"runtime": "marking"}, "missing": map[string]any{"runtime": "missing"},
		"of-the-host": map[string]any{"runtime": "other", "path": program}}
	if err := d.writeConfig(); err != nil {
		t.Fatal(err)
	}
	if err := d.start(); err != nil {
		t.Fatal(err)
	}
	for class, want := range map[string]string{"marked": "by marking\n", "of-the-host": "by host\n"} {
		if got := d.run(t, ofClass(newPod(shell("c", runBy)), class)).output(); got != want {
			t.Errorf("the container of class %s says %q", class, got)
		}
	}
	p := d.run(t, ofClass(newPod(shell("c", "true")), "missing"))
	p.waits("RunContainerError", "runtimeClassName missing is the runtime missing here", "cannot run its program", "operator", "RuntimeClasses")
	control := d.run(t, ofClass(newPod(container("c", "/no/such/program")), "marked"))
	control.waitPhase(v1.PodFailed)
}

// TestSandboxImageOfAClass: the pods of a class have sandboxes from an image of its own. They
// are made for them: the sandbox that waits is another pod's.
func TestSandboxImageOfAClass(t *testing.T) {
	t.Parallel()
	image := "docker-sd-test/of:" + uuid.NewString()[:8]
	buildFrom(t, image, map[string][]byte{"marking": []byte(marking),
		"daemon.json": []byte(`{"default-runtime": "marking", "runtimes": {"marking": {"path": "/usr/local/bin/marking"}}}`),
		"Dockerfile":  []byte("FROM " + suite.images.sandbox + "\nCOPY marking /usr/local/bin/\nCOPY daemon.json /etc/docker/\nRUN chmod 755 /usr/local/bin/marking\n")})
	t.Cleanup(func() { suite.engine.removeImage(t, image) })
	d := ownDaemon(t, 1, map[string]any{"StandbySandboxes": 1, "RuntimeClasses": map[string]any{"own": map[string]any{"sandboxImage": image},
		"missing": map[string]any{"sandboxImage": "docker-sd.invalid/none:1"}}})
	client := d.operator(t)
	whole := func() bool {
		pool, err := client.Pool(t.Context())
		return err == nil && pool.Warm == 1 && pool.Standby == 1
	}
	eventually(t, runLimit, "a warm sandbox and a standby", whole, nil)

	pod := ofClass(withVolume(newPod(shell("c", runBy+"; until test -e /vol/go; do usleep 20000; done")), hostDir(d.hostFolder(t, "class")), "/vol"), "own")
	p := d.run(t, pod)
	p.waitLog("c", "by marking\n")
	waiting := d.run(t, ofClass(newPod(shell("c", "true")), "missing"))
	waiting.waitFor("it says what to do", func(s podStatus) bool {
		w := s.Container("c").State.Waiting
		return w != nil && strings.Contains(w.Message, "docker-sd.invalid/none:1") && strings.Contains(w.Message, "RuntimeClasses")
	})
	eventually(t, runLimit, "a pool that is whole while a pod has a sandbox of its own and another waits for its image", whole, nil)
	delete(d.settings, "RuntimeClasses")
	if err := d.writeConfig(); err != nil {
		t.Fatal(err)
	}
	if err := d.kill(); err != nil {
		t.Fatal(err)
	}
	if err := d.start(); err != nil {
		t.Fatal(err)
	}
	d.waitReady(t)
	p.waitRunning()
	touch(t, filepath.Join(d.hostPath(), "class", "go"))
	p.waitPhase(v1.PodSucceeded)
	waiting.delete(0)
	p.delete(0)
	p.waitGone()
	eventually(t, runLimit, "a pool that is whole afterwards", whole, nil)
	if got := d.run(t, newPod(shell("c", runBy))).output(); got != "by default\n" {
		t.Errorf("a pod without a class says %q", got)
	}
}
