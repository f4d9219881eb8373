package pods_test

import (
	"maps"
	"slices"
	"strings"
	"testing"

	v1 "k8s.io/api/core/v1"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/engine/enginetest"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/initapi"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/podstatus"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/sandbox/sandboxtest"
)

// mistaken are pods of which one container can never start, with why it waits.
var mistaken = map[string]struct {
	edit         func(*v1.Pod)
	reason, text string
}{
	"image of root": {withMain(func(c *v1.Container) { c.SecurityContext = &v1.SecurityContext{RunAsNonRoot: new(true)} }),
		"CreateContainerConfigError", "its image runs as root"},
	"user of root": {withMain(func(c *v1.Container) {
		c.SecurityContext = &v1.SecurityContext{RunAsNonRoot: new(true), RunAsUser: new(int64(0))}
	}), "CreateContainerConfigError", "runAsUser 0"},
	"image with a named user": {withMain(func(c *v1.Container) {
		c.Image, c.SecurityContext = siteImage, &v1.SecurityContext{RunAsNonRoot: new(true)}
	}), "CreateContainerConfigError", "non-numeric user app"},
	"subPathExpr that goes back": {func(p *v1.Pod) {
		p.Spec.Volumes = []v1.Volume{{Name: "vol", VolumeSource: v1.VolumeSource{EmptyDir: &v1.EmptyDirVolumeSource{}}}}
		c := &p.Spec.Containers[0]
		c.Env = []v1.EnvVar{{Name: "WHERE", Value: "../other"}}
		c.VolumeMounts = []v1.VolumeMount{{Name: "vol", MountPath: "/vol", SubPathExpr: "$(WHERE)"}}
	}, "CreateContainerConfigError", "no .. in it"},
	"image in capitals": {withImage("UPPER"), "InvalidImageName", "must be lowercase"},
	"image with spaces": {withImage("no name"), "InvalidImageName", "invalid reference"},
}

// TestConfigurationMistakes: the container waits with kubelet's reason, no other one of
// the main containers runs, the pod has not ended, and it can be deleted. So it is after a
// restart of docker-sd.
func TestConfigurationMistakes(t *testing.T) {
	for name, mistake := range mistaken {
		t.Run(name, func(t *testing.T) {
			n := newNode(t)
			app := offered()
			app.User = "app"
			n.host.AddImage(app)
			p := newPod(withInit(container("first", "done")), mistake.edit, func(p *v1.Pod) {
				p.Spec.Containers = append(p.Spec.Containers, container("other", "serve"))
			})
			n.host.InnerProgram("done", func(*enginetest.Process) int { return 0 })
			n.create(p)
			check := func(when string) {
				r := n.await(p, "waiting, "+when, isWaiting("main", mistake.reason))
				if w := statusOf(r, "main").State.Waiting; !strings.Contains(w.Message, mistake.text) {
					t.Errorf("%s: it waits with %q", when, w.Message)
				}
				n.await(p, "held back, "+when, func(r podstatus.Report) bool {
					w := statusOf(r, "other").State.Waiting
					return w != nil && w.Reason == "ContainerCreating" && strings.Contains(w.Message, "container main")
				})
				if phase := n.view(p).Phase; phase != podstatus.PhasePending {
					t.Errorf("%s: the pod is %s", when, phase)
				}
				made := n.sandbox(p).Engine.Snapshot().Containers
				for id := range made {
					if strings.Contains(id, "other") || strings.Contains(id, "main") {
						t.Errorf("%s: %s was made", when, id)
					}
				}
			}
			check("at first")
			n.restart()
			check("after a restart")
			n.delete(p, nil)
		})
	}
}

// TestMistakeOfAnInitContainer: what comes after it does not run.
func TestMistakeOfAnInitContainer(t *testing.T) {
	n := newNode(t)
	bad := container("bad", "serve")
	bad.Image = "UPPER"
	p := newPod(withInit(bad, container("next", "serve")))
	n.create(p)
	r := n.await(p, "waiting", isWaiting("bad", "InvalidImageName"))
	if w := statusOf(r, "next").State.Waiting; w == nil || w.Reason != "PodInitializing" {
		t.Errorf("the next one is %+v", statusOf(r, "next").State)
	}
	if names := slices.Collect(maps.Keys(n.sandbox(p).Engine.Snapshot().Containers)); len(names) > 0 {
		t.Errorf("made: %v", names)
	}
	n.delete(p, nil)
}

// TestResumeOfAUserOfTheImage: a container that was made and not started is started by the next
// docker-sd although only its image says that it does not run as root.
func TestResumeOfAUserOfTheImage(t *testing.T) {
	n := newNode(t, func(n *node) { n.size = 0 })
	app := offered()
	app.User = "1000"
	n.host.AddImage(app)
	held := holding(n, false, enginetest.Fault{Call: "POST /containers/*/start", Hold: enginetest.Before})
	p := newPod(withImage(siteImage), withMain(func(c *v1.Container) { c.SecurityContext = &v1.SecurityContext{RunAsNonRoot: new(true)} }))
	n.create(p)
	held.AwaitCall()
	n.crash()
	n.awaitRunning(p, "main")
	n.delete(p, nil)
}

// TestGroupsOfTheImage: the groups that the image has for its user are kept although the
// pod names a group. They are read once for an image, and nothing is left of that.
func TestGroupsOfTheImage(t *testing.T) {
	n := newNode(t)
	app := offered()
	app.Files = map[string]string{"/etc/passwd": "link to /usr/passwd", "/usr/passwd": "app:x:1000:1000::/:\n", "/etc/group": "extra:x:50:app\n"}
	n.host.AddImage(app)
	grouped := func(p *v1.Pod) {
		withImage(siteImage)(p)
		p.Spec.SecurityContext = &v1.PodSecurityContext{RunAsUser: new(int64(1000)), RunAsGroup: new(int64(7)), SupplementalGroups: []int64{9}}
	}
	for i := range 2 {
		p := newPod(grouped)
		n.create(p)
		n.awaitRunning(p, "main")
		e := n.sandbox(p).Engine
		made := e.Snapshot().Containers
		for name, c := range made {
			if !strings.HasSuffix(name, "main") {
				t.Errorf("%s is left", name)
			}
			if user, groups := c.User, c.GroupAdd; user != "1000:7" || !slices.Equal(groups, []string{"9", "50"}) {
				t.Errorf("user %q with %v", user, groups)
			}
		}
		if read := e.Calls("GET /containers/*/archive"); (read > 0) != (i == 0) {
			t.Errorf("pod %d: %d files were read", i, read)
		}
		n.delete(p, nil)
	}
}

// TestContainerThatTheEngineRefuses waits with kubelet's reason, the other one runs, and the
// pod can be deleted.
func TestContainerThatTheEngineRefuses(t *testing.T) {
	n := newNode(t, func(n *node) { n.size = 0 })
	p := newPod(func(p *v1.Pod) { p.Spec.Containers = append(p.Spec.Containers, container("other", "serve")) })
	n.host.InjectInside(enginetest.Fault{Call: "POST /containers/create", Status: 400, Message: "no such thing"})
	n.create(p)
	name := ""
	r := n.await(p, "with one container that waits and one that runs", func(r podstatus.Report) bool {
		for _, c := range r.Containers {
			if isWaiting(c.Name, "CreateContainerError")(r) {
				name = c.Name
			}
		}
		return name != "" && (isRunning("main")(r) || isRunning("other")(r))
	})
	if w := statusOf(r, name).State.Waiting; !strings.Contains(w.Message, "no such thing") {
		t.Errorf("%s waits with %q", name, w.Message)
	}
	n.delete(p, nil)
}

// TestVolumeThatCannotBeSetUp: the pod is Pending and says why, and runs once it can be.
func TestVolumeThatCannotBeSetUp(t *testing.T) {
	n := newNode(t)
	p := newPod(func(p *v1.Pod) {
		p.Spec.Volumes = []v1.Volume{{Name: "vol", VolumeSource: v1.VolumeSource{EmptyDir: &v1.EmptyDirVolumeSource{Medium: v1.StorageMediumMemory}}}}
		p.Spec.Containers[0].VolumeMounts = []v1.VolumeMount{{Name: "vol", MountPath: "/vol"}}
	})
	n.host.Each(func(s *sandboxtest.Sandbox) { s.Init.Refuse(initapi.OpTmpfs, initapi.KindFailed, "no memory") })
	n.create(p)
	n.await(p, "waiting", func(r podstatus.Report) bool {
		w := statusOf(r, "main").State.Waiting
		return w != nil && w.Reason == "ContainerCreating" && strings.Contains(w.Message, "no memory")
	})
	if phase := n.view(p).Phase; phase != podstatus.PhasePending {
		t.Errorf("the pod is %s", phase)
	}
	n.awaitRunning(p, "main")
	n.delete(p, nil)
}
