package podspec

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	v1 "k8s.io/api/core/v1"
)

// TestWithDefaults: a pod that asks for nothing gets them, and what a pod says itself wins.
func TestWithDefaults(t *testing.T) {
	node := Node{Defaults: Defaults{Limits: amounts("cpu", "2", "memory", "1Gi"), Requests: amounts("cpu", "100m")}}
	requirements := func(limits, requests v1.ResourceList) v1.ResourceRequirements {
		return v1.ResourceRequirements{Limits: limits, Requests: requests}
	}
	for name, c := range map[string]struct {
		own, whole  v1.ResourceRequirements
		annotations map[string]string
		want        v1.ResourceRequirements
	}{
		"nothing": {want: requirements(amounts("cpu", "2", "memory", "1Gi"), amounts("cpu", "100m", "memory", "1Gi"))},
		"its own limits": {
			own:  requirements(amounts("cpu", "4", "memory", "2Gi"), nil),
			want: requirements(amounts("cpu", "4", "memory", "2Gi"), nil),
		},
		"a limit of 0, which is none": {
			own:  requirements(amounts("cpu", "0", "memory", "2Gi"), nil),
			want: requirements(amounts("cpu", "0", "memory", "2Gi"), nil),
		},
		"requests above the default limit": {
			own:  requirements(nil, amounts("cpu", "3", "memory", "512Mi")),
			want: requirements(amounts("cpu", "3", "memory", "1Gi"), amounts("cpu", "3", "memory", "512Mi")),
		},
		"limits of the pod as a whole": {
			whole: requirements(amounts("cpu", "8", "memory", "8Gi"), nil),
			want:  requirements(nil, nil),
		},
		"limits by the annotation": {
			annotations: map[string]string{"docker-options.vk.io/flags": "--memory 64m --cpus 1"},
			want:        requirements(nil, amounts("cpu", "100m")),
		},
		"other resources": {
			own:  requirements(amounts("nvidia.com/gpu", "1"), nil),
			want: requirements(amounts("nvidia.com/gpu", "1", "cpu", "2", "memory", "1Gi"), amounts("cpu", "100m", "memory", "1Gi")),
		},
	} {
		t.Run(name, func(t *testing.T) {
			pod := &v1.Pod{}
			pod.Annotations = c.annotations
			pod.Spec.Containers = []v1.Container{{Name: "c", Resources: *c.own.DeepCopy()}}
			pod.Spec.InitContainers = []v1.Container{{Name: "i", Resources: *c.own.DeepCopy()}}
			if len(c.whole.Limits) > 0 {
				pod.Spec.Resources = &c.whole
			}
			before := pod.DeepCopy()
			got := WithDefaults(pod, node)
			if diff := cmp.Diff(before, pod); diff != "" {
				t.Errorf("the given pod was changed:\n%s", diff)
			}
			for _, container := range Containers(got) {
				if diff := cmp.Diff(c.want, container.Resources); diff != "" {
					t.Errorf("container %s (-want +got):\n%s", container.Name, diff)
				}
			}
		})
	}
}

// TestDefaultVariables: a container that names its own proxy, in either case, keeps it.
func TestDefaultVariables(t *testing.T) {
	node := Node{Defaults: Defaults{Env: []v1.EnvVar{{Name: "http_proxy", Value: "site"}, {Name: "HTTP_PROXY", Value: "site"}, {Name: "no_proxy", Value: "n"}}}}
	pod := &v1.Pod{}
	pod.Spec.Containers = []v1.Container{{Name: "c", Env: []v1.EnvVar{{Name: "HTTP_PROXY", Value: "mine"}, {Name: "A", Value: "a"}}}}
	want := []v1.EnvVar{{Name: "no_proxy", Value: "n"}, {Name: "HTTP_PROXY", Value: "mine"}, {Name: "A", Value: "a"}}
	if diff := cmp.Diff(want, WithDefaults(pod, node).Spec.Containers[0].Env); diff != "" {
		t.Errorf("variables (-want +got):\n%s", diff)
	}
}
