package containers

import (
	v1 "k8s.io/api/core/v1"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/podstatus"
)

// plainPod is the smallest pod that is valid.
func plainPod() *v1.Pod {
	pod := &v1.Pod{}
	pod.Name, pod.Namespace, pod.UID = "web", "team", "0f9b1c1e-6a37-4b6e-9a51-2f6f3a1f2b3c"
	pod.Spec.Containers = []v1.Container{{Name: "main", Image: "busybox:1.36"}}
	return pod
}

// podFor is a pod of which nothing but its containers' statuses is known.
func podFor(spec *v1.Pod) *Pod {
	return &Pod{Spec: spec, Statuses: podstatus.New(spec)}
}

func restartOn(operator v1.ContainerRestartRuleOnExitCodesOperator, codes ...int32) v1.ContainerRestartRule {
	return v1.ContainerRestartRule{Action: v1.ContainerRestartRuleActionRestart,
		ExitCodes: &v1.ContainerRestartRuleOnExitCodes{Operator: operator, Values: codes}}
}
