package pods

import v1 "k8s.io/api/core/v1"

const testUID = "0f9b1c1e-6a37-4b6e-9a51-2f6f3a1f2b3c"

// plainPod is the smallest pod that is valid.
func plainPod() *v1.Pod {
	pod := &v1.Pod{}
	pod.Name, pod.Namespace, pod.UID = "web", "team", testUID
	pod.Spec.Containers = []v1.Container{{Name: "main", Image: "busybox:1.36"}}
	return pod
}
