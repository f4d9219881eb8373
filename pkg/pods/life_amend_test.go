package pods_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/initapi"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/podspec"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/podstatus"
)

// TestHugePagesAreGiven: the sandbox is bounded and the volume mounted before the first
// container, and the runtime of its container is told of the bounds of that. A pod that asks for none has nothing of that.
func TestHugePagesAreGiven(t *testing.T) {
	const mib = 1 << 20
	pages := func(small, large int64) []initapi.HugePages {
		return []initapi.HugePages{{PageBytes: 2 * mib, Bytes: small * mib}, {PageBytes: 1024 * mib, Bytes: large * mib}}
	}
	n := newNode(t, func(n *node) {
		n.rules.HugePages = map[v1.ResourceName]int64{"hugepages-2Mi": 16 * mib, "hugepages-1Gi": 1024 * mib}
	})
	p := newPod(withMain(func(c *v1.Container) {
		c.Resources.Limits = v1.ResourceList{"hugepages-2Mi": resource.MustParse("4Mi"), v1.ResourceMemory: resource.MustParse("64Mi")}
		c.VolumeMounts = []v1.VolumeMount{{Name: "huge", MountPath: "/huge"}}
	}), func(p *v1.Pod) {
		p.Spec.Volumes = []v1.Volume{{Name: "huge", VolumeSource: v1.VolumeSource{EmptyDir: &v1.EmptyDirVolumeSource{Medium: v1.StorageMediumHugePages}}}}
	})
	n.create(p)
	id := ""
	n.await(p, "running", func(r podstatus.Report) bool {
		id = strings.TrimPrefix(statusOf(r, "main").ContainerID, "docker://")
		return statusOf(r, "main").State.Running != nil
	})
	s := n.sandbox(p)
	bounds := s.Init.Requests(initapi.OpHugePages)
	if len(bounds) != 1 || !cmp.Equal(bounds[0].HugePages, pages(4, 0)) {
		t.Errorf("the sandbox is bounded by %+v", bounds)
	}
	mounted := s.Init.Requests(initapi.OpHugetlbfs)
	if len(mounted) != 1 || !strings.HasSuffix(mounted[0].Hugetlbfs.Path, "emptyDirs/huge") || mounted[0].Hugetlbfs.PageBytes != 2*mib || mounted[0].Hugetlbfs.SizeBytes != 4*mib {
		t.Errorf("mounted is %+v", mounted)
	}
	amended := s.Init.Requests(initapi.OpAmend)
	if len(amended) != 1 || amended[0].Amendment.Container != id || !cmp.Equal(amended[0].Amendment.HugePages, pages(4, 0)) {
		t.Errorf("container %s is given %+v", id, amended)
	}
	n.delete(p, nil)

	plain := newPod()
	n.create(plain)
	n.awaitRunning(plain, "main")
	s = n.sandbox(plain)
	for _, op := range []string{initapi.OpHugePages, initapi.OpAmend} {
		if asked := s.Init.Requests(op); len(asked) > 0 {
			t.Errorf("for a pod without, the init was asked for %+v", asked)
		}
	}
	n.delete(plain, nil)
}

// TestProfileThatIsMissing: the container waits with words, and its pod can be deleted.
func TestProfileThatIsMissing(t *testing.T) {
	n := newNode(t, func(n *node) { n.rules = podspec.Node{AppArmorProfiles: []string{"k8s-*"}, AppArmorNamespace: true} })
	p := newPod(withMain(func(c *v1.Container) {
		c.SecurityContext = &v1.SecurityContext{AppArmorProfile: &v1.AppArmorProfile{Type: v1.AppArmorProfileTypeLocalhost, LocalhostProfile: new("k8s-missing")}}
	}))
	n.create(p)
	n.await(p, "words on the profile", func(r podstatus.Report) bool {
		w := statusOf(r, "main").State.Waiting
		return w != nil && w.Reason == podstatus.ReasonCreate && strings.Contains(w.Message, "AppArmor profile k8s-missing ")
	})
	if made := n.sandbox(p).Engine.Snapshot().Containers; len(made) > 0 {
		t.Errorf("made were %+v", made)
	}
	n.delete(p, nil)
}
