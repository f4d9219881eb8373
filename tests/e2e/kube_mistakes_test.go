//go:build e2e

package e2e_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	v1 "k8s.io/api/core/v1"
)

// mistakes are what makes container c of a pod one that can never be made, with what
// is told of it. named is an image with a user that is no number.
var mistakes = []struct {
	name   string
	edit   func(p *v1.Pod, c *v1.Container, named string)
	reason string
	words  []string
}{
	{"image of root", func(_ *v1.Pod, c *v1.Container, _ string) {
		c.SecurityContext = &v1.SecurityContext{RunAsNonRoot: ptr(true)}
	}, "CreateContainerConfigError", []string{"runAsNonRoot", "runAsUser"}},
	{"user 0 of the container", func(_ *v1.Pod, c *v1.Container, _ string) {
		c.SecurityContext = &v1.SecurityContext{RunAsNonRoot: ptr(true), RunAsUser: ptr(int64(0))}
	}, "CreateContainerConfigError", []string{"runAsNonRoot", "runAsUser 0"}},
	{"user 0 of the pod", func(p *v1.Pod, c *v1.Container, _ string) {
		p.Spec.SecurityContext = &v1.PodSecurityContext{RunAsUser: ptr(int64(0))}
		c.SecurityContext = &v1.SecurityContext{RunAsNonRoot: ptr(true)}
	}, "CreateContainerConfigError", []string{"runAsNonRoot", "runAsUser 0"}},
	{"named user of the image", func(_ *v1.Pod, c *v1.Container, named string) {
		c.Image, c.SecurityContext = named, &v1.SecurityContext{RunAsNonRoot: ptr(true)}
	}, "CreateContainerConfigError", []string{"non-numeric user", "app"}},
	{"subPathExpr with ..", subPathExprOf("$(WHERE)", "../other"), "CreateContainerConfigError", []string{"subPath", ".."}},
	{"subPathExpr with an absolute path", subPathExprOf("$(WHERE)", "/tmp"), "CreateContainerConfigError", []string{"subPath", "relative"}},
	{"subPathExpr with an unknown variable", subPathExprOf("$(NOWHERE)", "x"), "CreateContainerConfigError", []string{"NOWHERE"}},
	{"image in capitals", func(_ *v1.Pod, c *v1.Container, _ string) { c.Image = "UPPER:1" }, "InvalidImageName", []string{"UPPER", "lowercase"}},
	{"registry in capitals", func(_ *v1.Pod, c *v1.Container, _ string) { c.Image = "localhost/UPPER/x:1" }, "InvalidImageName", []string{"UPPER"}},
	{"image with a space", func(_ *v1.Pod, c *v1.Container, _ string) { c.Image = "no name:1" }, "InvalidImageName", []string{"no name"}},
}

// subPathExprOf mounts a volume by an expression; WHERE is a variable of the container.
func subPathExprOf(expression, where string) func(*v1.Pod, *v1.Container, string) {
	return func(p *v1.Pod, c *v1.Container, _ string) {
		addVolume(p, "vol", emptyDir())
		c.Env = []v1.EnvVar{{Name: "WHERE", Value: where}}
		c.VolumeMounts = []v1.VolumeMount{{Name: "vol", MountPath: "/vol", SubPathExpr: expression}}
	}
}

// kubeMistakes: the container waits, its pod stays Pending, the other main container does
// not run whatever the restart policy, and the pod can be deleted.
func kubeMistakes(t *testing.T, d kubeDaemon) {
	image := builtImage(t, "RUN echo app:x:1000:1000::/:/bin/sh >>/etc/passwd", "USER app")
	for i, mistake := range mistakes {
		t.Run(mistake.name, func(t *testing.T) {
			t.Parallel()
			pod := withInits(newPod(shell("c", "true"), shell("other", "echo ran")), shell("first", "true"))
			pod.Spec.RestartPolicy = []v1.RestartPolicy{v1.RestartPolicyNever, v1.RestartPolicyAlways, v1.RestartPolicyOnFailure}[i%3]
			mistake.edit(pod, &pod.Spec.Containers[0], image)
			p := d.run(t, pod)
			p.waits(mistake.reason, mistake.words...)
			seen := p.waitFor("the init container has ended and the other one is held back", func(s podStatus) bool {
				w := s.Container("other").State.Waiting
				return s.InitContainers[0].State.Terminated != nil && w != nil && strings.Contains(w.Message, "container c")
			})
			if phase := p.pod.Status.Phase; phase != v1.PodPending {
				t.Errorf("the pod is %s", phase)
			}
			if seen.Container("other").ContainerID != "" {
				t.Errorf("the other container: %+v", seen.Container("other"))
			}
			if end := seen.InitContainers[0].State.Terminated; end.ExitCode != 0 {
				t.Errorf("the init container: %+v", seen.InitContainers[0].State)
			}
			p.delete(30)
			p.waitGone()
		})
	}
}

// kubeMendedMistake: what is wrong outside of the pod can be mended, and the container is
// tried again.
func kubeMendedMistake(t *testing.T, d kubeDaemon) {
	dir := d.hostFolder(t, "mended")
	link := filepath.Join(dir, "sub")
	if err := os.Symlink("/etc", link); err != nil {
		t.Fatal(err)
	}
	pod := newPod(shell("c", "cat /vol/f"))
	addVolume(pod, "vol", hostDir(dir))
	pod.Spec.Containers[0].VolumeMounts = []v1.VolumeMount{{Name: "vol", MountPath: "/vol", SubPath: "sub"}}
	p := d.run(t, pod)
	p.waits("CreateContainerConfigError", "leads outside")
	if err := os.Remove(link); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(link, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(link, "f"), []byte("mended\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if got := p.output(); got != "mended\n" {
		t.Errorf("log = %q", got)
	}
	if n := p.status().Container("c").RestartCount; n != 0 {
		t.Errorf("%d restarts", n)
	}
}
