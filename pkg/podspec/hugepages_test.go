package podspec

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	v1 "k8s.io/api/core/v1"
)

const mib = 1 << 20

// pagesNode has 16 MiB in pages of 2 MiB, and 2 GiB in pages of 1 GiB.
func pagesNode() Node {
	node := testNode
	node.HugePages = map[v1.ResourceName]int64{"hugepages-2Mi": 16 * mib, "hugepages-1Gi": 2048 * mib}
	node.RuntimeClasses = map[string]RuntimeClass{"other": {Runtime: "crun"}}
	return node
}

// TestHugePagesRefused: as the Kubernetes API does, and what the node does not have.
func TestHugePagesRefused(t *testing.T) {
	for name, c := range map[string]struct {
		edit    func(*v1.Pod)
		refused string
	}{
		"limit alone":        {withResources(amounts("hugepages-2Mi", "4Mi", "memory", "64Mi"), nil), ""},
		"equal":              {withResources(amounts("hugepages-2Mi", "4Mi"), amounts("hugepages-2Mi", "4Mi", "cpu", "1m")), ""},
		"another size, zero": {withResources(amounts("hugepages-32Mi", "0"), nil), ""},
		"of the pod":         {whole(amounts("hugepages-2Mi", "4Mi", "memory", "64Mi"), nil), ""},
		"less":               {withResources(amounts("hugepages-2Mi", "4Mi", "memory", "64Mi"), amounts("hugepages-2Mi", "2Mi")), "requests.hugepages-2Mi: 2Mi must be the limit, which is 4Mi"},
		"no limit":           {withResources(amounts("memory", "64Mi"), amounts("hugepages-2Mi", "2Mi")), "2Mi must be the limit, which is 0"},
		"half a page":        {withResources(amounts("hugepages-2Mi", "3Mi", "memory", "64Mi"), nil), "3Mi is not a multiple of the size of a page"},
		"nothing beside":     {withResources(amounts("hugepages-2Mi", "4Mi"), nil), "limits.hugepages-2Mi: needs a limit or request of cpu or memory beside it"},
		"unknown size":       {withResources(amounts("hugepages-32Mi", "32Mi", "memory", "64Mi"), nil), "this node has no huge pages of this size"},
		"no size":            {withResources(amounts("hugepages-x", "32Mi", "memory", "64Mi"), nil), "is not a size of huge pages"},
		"too many":           {withResources(amounts("hugepages-2Mi", "18Mi", "memory", "64Mi"), nil), "18Mi is more than the 16Mi that this node has"},
		"another runtime": {func(p *v1.Pod) {
			withResources(amounts("hugepages-2Mi", "4Mi", "memory", "64Mi"), nil)(p)
			p.Spec.RuntimeClassName = new("other")
		}, "spec.runtimeClassName: huge pages need"},
	} {
		t.Run(name, func(t *testing.T) {
			pod := plainPod()
			c.edit(pod)
			err := Refusal(Validate(pod, pagesNode()))
			if c.refused == "" && err != nil || c.refused != "" && (err == nil || !strings.Contains(err.Error(), c.refused)) {
				t.Errorf("refused with %v, want %q", err, c.refused)
			}
		})
	}
	node := testNode
	node.HugePagesTrouble = "they cannot be bounded"
	pod := plainPod()
	withResources(amounts("hugepages-2Mi", "4Mi", "memory", "64Mi"), nil)(pod)
	if err := Refusal(Validate(pod, node)); err == nil || !strings.Contains(err.Error(), "they cannot be bounded; leave it out") {
		t.Errorf("without control groups: %v", err)
	}
}

// TestHugePagesOfAPod: all sizes of the node are bounded, of the containers and of all
// together; a pod without huge pages has no bounds.
func TestHugePagesOfAPod(t *testing.T) {
	node := pagesNode()
	pod := plainPod()
	if got := PodHugePages(pod, node); got != nil {
		t.Errorf("a pod without has %v", got)
	}
	pod.Spec.Containers = []v1.Container{{Name: "a"}, {Name: "b"}, {Name: "c"}}
	pod.Spec.InitContainers = []v1.Container{{Name: "i", Resources: v1.ResourceRequirements{Limits: amounts("hugepages-2Mi", "10Mi")}}}
	pod.Spec.Containers[0].Resources.Limits = amounts("hugepages-2Mi", "4Mi")
	pod.Spec.Containers[1].Resources.Limits = amounts("hugepages-2Mi", "2Mi", "hugepages-1Gi", "1Gi")
	bounds := func(small, large int64) []HugePages {
		return []HugePages{{2 * mib, small * mib}, {1024 * mib, large * mib}}
	}
	if diff := cmp.Diff(bounds(10, 1024), PodHugePages(pod, node)); diff != "" {
		t.Error(diff)
	}
	for i, want := range [][]HugePages{bounds(4, 0), bounds(2, 1024), bounds(0, 0)} {
		if diff := cmp.Diff(want, ContainerHugePages(pod, &pod.Spec.Containers[i], node)); diff != "" {
			t.Errorf("container %d: %s", i, diff)
		}
	}
	for medium, want := range map[v1.StorageMedium]struct {
		pages HugePages
		wrong bool
	}{"HugePages-2Mi": {HugePages{2 * mib, 10 * mib}, false}, "HugePages-1Gi": {HugePages{1024 * mib, 1024 * mib}, false}, "HugePages-2048Ki": {HugePages{2 * mib, 10 * mib}, false},
		"HugePages": {HugePages{}, true}, "HugePages-4Mi": {HugePages{}, true}, "HugePages-": {HugePages{}, true}} {
		pages, wrong := VolumeHugePages(pod, medium)
		if pages != want.pages || (wrong != "") != want.wrong {
			t.Errorf("medium %s: %v %q, want %v", medium, pages, wrong, want.pages)
		}
	}
	pod.Spec.Containers[1].Resources.Limits = nil
	if pages, wrong := VolumeHugePages(pod, v1.StorageMediumHugePages); wrong != "" || pages != (HugePages{2 * mib, 10 * mib}) {
		t.Errorf("the one size: %v %q", pages, wrong)
	}
}
