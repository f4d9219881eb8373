package records

import (
	"time"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

const testUID = "0f9b1c1e-6a37-4b6e-9a51-2f6f3a1f2b3c"

var testTime = metav1.NewTime(time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC))

// plainPod is the smallest pod that is valid.
func plainPod() *v1.Pod {
	pod := &v1.Pod{}
	pod.Name, pod.Namespace, pod.UID = "web", "team", testUID
	pod.Spec.Containers = []v1.Container{{Name: "main", Image: "busybox:1.36"}}
	return pod
}

func endedState(code int32) v1.ContainerState {
	return v1.ContainerState{Terminated: &v1.ContainerStateTerminated{ExitCode: code, Reason: "Error", FinishedAt: testTime}}
}

// sentence is an error's text, "" for none.
func sentence(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
