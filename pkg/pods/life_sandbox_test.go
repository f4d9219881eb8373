package pods_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/engine/enginetest"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/eviction"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/initapi"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/podstatus"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/sandbox/sandboxtest"
)

// TestEvict ends a pod at once and takes all that it has on disks; its end is told until
// it is deleted, also by the next docker-sd.
func TestEvict(t *testing.T) {
	n := newNode(t)
	p := newPod(running("ignore"), withGrace(3600), restarting(v1.RestartPolicyAlways))
	n.create(p)
	n.awaitRunning(p, "main")
	s, id := n.sandbox(p), n.instance(p, "main")
	s.Engine.SetWritten(id, 7)
	s.Init.SetUsage(initapi.DataPath, initapi.Usage{Bytes: 70, Inodes: 3})
	users := n.manager.DiskUsers(t.Context())
	if len(users) != 1 || users[0].UID != string(p.UID) || users[0].Folder != (eviction.Amount{Bytes: 5, Inodes: 2}) ||
		users[0].Data != (eviction.Amount{Bytes: 70, Inodes: 3}) || users[0].Containers[0].Used != 7 {
		t.Errorf("DiskUsers() = %+v", users)
	}
	<-n.manager.Evict(string(p.UID), "the node was low on disk")
	check := func() {
		t.Helper()
		if end := n.awaitEnd(p, "main"); end.ExitCode != 137 || end.Message != "Evicted: the node was low on disk" {
			t.Errorf("it ended with %+v", end)
		}
	}
	check()
	n.host.Await("its sandbox is gone", func(s enginetest.Snapshot) bool {
		_, there := s.Containers[string(p.UID)+"_dind"]
		return !there
	})
	n.restart()
	check()
	if n.manager.Evict(string(p.UID), "again") != nil || n.manager.Evict("no pod", "") != nil || len(n.manager.DiskUsers(t.Context())) != 0 {
		t.Error("a pod that does not run can be evicted")
	}
	n.delete(p, nil)
}

// TestStorageLimit evicts a pod whose container writes more than it may.
func TestStorageLimit(t *testing.T) {
	n := newNode(t)
	p := newPod(withMain(func(c *v1.Container) {
		c.Resources.Limits = v1.ResourceList{v1.ResourceEphemeralStorage: resource.MustParse("1Ki")}
	}))
	n.create(p)
	n.awaitRunning(p, "main")
	n.sandbox(p).Engine.SetWritten(n.instance(p, "main"), 2048)
	if end := n.awaitEnd(p, "main"); !strings.Contains(end.Message, "exceeded its local ephemeral storage limit") {
		t.Errorf("it ended with %+v", end)
	}
	n.delete(p, nil)
}

// TestStorageLimitOfThePod: what has no limit of its own counts for the sum, and so do init
// containers, logs and the volumes on disk.
func TestStorageLimitOfThePod(t *testing.T) {
	for name, c := range map[string]struct {
		edit func(*v1.Pod)
		use  func(*sandboxtest.Sandbox, func(container string) (id string))
		want string
	}{
		"a container without a limit": {func(p *v1.Pod) { p.Spec.Containers = append(p.Spec.Containers, container("other", "serve")) },
			func(s *sandboxtest.Sandbox, id func(string) string) { s.Engine.SetWritten(id("other"), 2048) }, "the total limit of containers 1Ki"},
		"a log": {func(*v1.Pod) {}, func(s *sandboxtest.Sandbox, id func(string) string) {
			s.Init.SetUsage(initapi.DataPath+"/containers/"+id("main"), initapi.Usage{Bytes: 2048})
		}, "Container main exceeded its local ephemeral storage limit \"1Ki\""},
		"an init container": {func(p *v1.Pod) { withInit(container("first", "exit", "0"))(p) },
			func(s *sandboxtest.Sandbox, id func(string) string) { s.Engine.SetWritten(id("first"), 2048) }, "the total limit of containers 1Ki"},
		"all together": {func(*v1.Pod) {}, func(s *sandboxtest.Sandbox, id func(string) string) { s.Engine.SetWritten(id("main"), 1022) },
			"the total limit of containers 1Ki"}, // the folder has 5 bytes
	} {
		t.Run(name, func(t *testing.T) {
			n := newNode(t)
			p := newPod(c.edit, withMain(func(c *v1.Container) {
				c.Resources.Limits = v1.ResourceList{v1.ResourceEphemeralStorage: resource.MustParse("1Ki")}
			}))
			n.create(p)
			n.awaitRunning(p, "main")
			c.use(n.sandbox(p), func(name string) string { return n.instance(p, name) })
			if end := n.awaitEnd(p, "main"); !strings.Contains(end.Message, c.want) {
				t.Errorf("it ended with %+v", end)
			}
			n.delete(p, nil)
		})
	}
}

// TestVolumeLimit evicts a pod whose emptyDir outgrows its limit.
func TestVolumeLimit(t *testing.T) {
	n := newNode(t)
	limit := resource.MustParse("1Ki")
	p := newPod(func(p *v1.Pod) {
		p.Spec.Volumes = []v1.Volume{{Name: "scratch", VolumeSource: v1.VolumeSource{EmptyDir: &v1.EmptyDirVolumeSource{SizeLimit: &limit}}}}
		p.Spec.Containers[0].VolumeMounts = []v1.VolumeMount{{Name: "scratch", MountPath: "/scratch"}}
	})
	n.create(p)
	n.awaitRunning(p, "main")
	if err := os.WriteFile(filepath.Join(n.dir, p.Namespace+"-"+string(p.UID), "emptyDirs", "scratch", "file"), make([]byte, 64<<10), 0o600); err != nil {
		t.Fatal(err)
	}
	if end := n.awaitEnd(p, "main"); !strings.Contains(end.Message, `Usage of EmptyDir volume "scratch" exceeds the limit`) {
		t.Errorf("it ended with %+v", end)
	}
	n.delete(p, nil)
}

// TestWhatASandboxIsGiven for its pod.
func TestWhatASandboxIsGiven(t *testing.T) {
	n := newNode(t)
	yes := true
	p := newPod(func(p *v1.Pod) {
		p.Spec.ShareProcessNamespace = &yes
		p.Spec.SecurityContext = &v1.PodSecurityContext{Sysctls: []v1.Sysctl{{Name: "net.ipv4.ip_unprivileged_port_start", Value: "0"}}}
		p.Spec.Volumes = []v1.Volume{{Name: "scratch", VolumeSource: v1.VolumeSource{EmptyDir: &v1.EmptyDirVolumeSource{Medium: v1.StorageMediumMemory}}}}
		p.Spec.Containers[0].VolumeMounts = []v1.VolumeMount{{Name: "scratch", MountPath: "/scratch"}}
		p.Annotations = map[string]string{"docker-options.vk.io/flags": "--shm-size=64m"}
	})
	n.create(p)
	n.awaitRunning(p, "main")
	s := n.sandbox(p)
	if got := s.Init.Requests(initapi.OpSysctl); len(got) != 1 || got[0].Sysctl["net.ipv4.ip_unprivileged_port_start"] != "0" {
		t.Errorf("sysctls: %+v", got)
	}
	if got := s.Init.Requests(initapi.OpTmpfs); len(got) != 1 {
		t.Errorf("tmpfs: %+v", got)
	}
	if got := s.Init.Requests(initapi.OpShm); len(got) != 1 || got[0].Shm != 64<<20 {
		t.Errorf("shm: %+v", got)
	}
	containers := s.Engine.Snapshot().Containers
	paused := false
	var scratch enginetest.Mount
	for _, c := range containers {
		paused = paused || slices.Equal(c.Argv, initapi.PauseCommand()) && c.Status == "running"
		for _, m := range c.Mounts {
			if m.Target == "/scratch" {
				scratch = m
			}
		}
	}
	if !paused || scratch.Source == "" {
		t.Errorf("the container of the process namespace runs: %t; the volume: %+v", paused, scratch)
	}
	n.delete(p, nil)
}

// TestSandboxThatCannotBeFitted is the end of its pod, in the init's words.
func TestSandboxThatCannotBeFitted(t *testing.T) {
	n := newNode(t)
	p := newPod(func(p *v1.Pod) {
		p.Spec.SecurityContext = &v1.PodSecurityContext{Sysctls: []v1.Sysctl{{Name: "net.ipv4.ip_unprivileged_port_start", Value: "0"}}}
	})
	n.host.Each(func(s *sandboxtest.Sandbox) {
		s.Init.Refuse(initapi.OpSysctl, initapi.KindInvalid, "no such parameter")
	})
	n.create(p)
	if end := n.awaitEnd(p, "main"); end.ExitCode != 128 || end.Reason != "CreateContainerError" || !strings.Contains(end.Message, "no such parameter") {
		t.Errorf("it ended with %+v", end)
	}
	n.delete(p, nil)
}

// TestHostPorts: a port is one pod's, and its sandbox is made with it.
func TestHostPorts(t *testing.T) {
	n := newNode(t)
	port := withMain(func(c *v1.Container) { c.Ports = []v1.ContainerPort{{ContainerPort: 80, HostPort: 8080}} })
	p := newPod(port)
	n.create(p)
	n.awaitRunning(p, "main")
	second := newPod(port)
	if _, err := n.manager.Create(n.ctx, second, volumesOf(nil)); err == nil || !strings.Contains(err.Error(), "hostPort 8080/tcp is held by pod "+string(p.UID)) {
		t.Errorf("Create() = %v", err)
	}
	n.delete(p, nil)
	n.create(second)
	n.awaitRunning(second, "main")
	n.delete(second, nil)
}

// TestSandboxThatDoesNotBoot: the pod says why it waits, and gets the next one.
func TestSandboxThatDoesNotBoot(t *testing.T) {
	n := newNode(t, func(n *node) { n.size = 0 })
	n.host.Fail("POST /containers/create", 500, "no space left on device")
	p := newPod()
	n.create(p)
	n.await(p, "waiting for a sandbox", func(r podstatus.Report) bool {
		w := statusOf(r, "main").State.Waiting
		return w != nil && strings.Contains(w.Message, "no space left on device")
	})
	n.awaitRunning(p, "main")
	n.delete(p, nil)
}

// TestUnknownPods: what is said of pods that never came, or were lost.
func TestUnknownPods(t *testing.T) {
	n := newNode(t)
	coming := newPod(func(p *v1.Pod) { p.Status.Phase = v1.PodPending })
	if r, known := n.manager.Status(coming); !known || !isWaiting("main", "ContainerCreating")(r) {
		t.Errorf("a pod whose create may still come: %+v, %t", r, known)
	}
	lost := newPod(func(p *v1.Pod) { p.Status.Phase = v1.PodRunning })
	if r, known := n.manager.Status(lost); !known || statusOf(r, "main").State.Terminated == nil {
		t.Errorf("a pod that was lost: %+v, %t", r, known)
	}
	n.delete(lost, nil)
}
