package kit

import (
	"errors"
	"fmt"

	v1 "k8s.io/api/core/v1"
)

// CheckStatus applies the rules of protocol 2.2 to one entry for a pod. Breaking
// one of them crashes the Virtual Kubelet or gives the pod a wrong end.
func CheckStatus(pod *v1.Pod, s PodStatus) error {
	if s.Name != pod.Name || s.UID != string(pod.UID) || s.Namespace != pod.Namespace {
		return fmt.Errorf("the entry is of %s/%s %s, asked was %s/%s %s", s.Namespace, s.Name, s.UID, pod.Namespace, pod.Name, pod.UID)
	}
	if err := checkNames(pod.Spec.Containers, s.Containers); err != nil {
		return err
	}
	for _, c := range s.Containers {
		if err := checkState(c); err != nil {
			return err
		}
		if end := c.State.Terminated; end != nil && restartable(pod.Spec.RestartPolicy, end) {
			return fmt.Errorf("container %s is reported terminated although it will run again (trap 3)", c.Name)
		}
	}
	return checkInits(pod, s)
}

// restartable says that a container's end is not final; ends that docker-sd
// gives itself have their own reasons.
func restartable(policy v1.RestartPolicy, end *v1.ContainerStateTerminated) bool {
	if end.Reason == "ContainerStatusUnknown" || end.Reason == "DeadlineExceeded" {
		return false
	}
	return policy == v1.RestartPolicyAlways || policy == v1.RestartPolicyOnFailure && end.ExitCode != 0
}

// checkNames wants every container exactly once (protocol 2.2.1 and 2.2.2).
func checkNames(spec []v1.Container, got []v1.ContainerStatus) error {
	count := map[string]int{}
	for _, c := range got {
		count[c.Name]++
	}
	for _, c := range spec {
		if count[c.Name] != 1 {
			return fmt.Errorf("container %s is listed %d times", c.Name, count[c.Name])
		}
	}
	if len(got) != len(spec) {
		return fmt.Errorf("%d containers are listed, the pod has %d", len(got), len(spec))
	}
	return nil
}

func checkState(c v1.ContainerStatus) error {
	n := 0
	for _, set := range []bool{c.State.Waiting != nil, c.State.Running != nil, c.State.Terminated != nil} {
		if set {
			n++
		}
	}
	switch {
	case n != 1:
		return fmt.Errorf("container %s has %d states", c.Name, n)
	case c.State.Waiting != nil && c.State.Waiting.Reason == "":
		return fmt.Errorf("container %s waits without a reason", c.Name)
	case c.State.Running == nil && c.Ready:
		return fmt.Errorf("container %s is ready and does not run", c.Name)
	}
	return nil
}

// checkInits wants spec order, ended ones first, then at most one that runs or
// waits, then those to come (protocol 2.2.7), and no running sidecar (protocol 2.2.8).
func checkInits(pod *v1.Pod, s PodStatus) error {
	at, stage := 0, 0
	for _, c := range s.InitContainers {
		for at < len(pod.Spec.InitContainers) && pod.Spec.InitContainers[at].Name != c.Name {
			at++
		}
		if at == len(pod.Spec.InitContainers) {
			return fmt.Errorf("init container %s is unknown, twice or out of order", c.Name)
		}
		policy := pod.Spec.InitContainers[at].RestartPolicy
		side := policy != nil && *policy == v1.ContainerRestartPolicyAlways
		if side && c.State == (v1.ContainerState{}) {
			continue // it has started
		}
		if side && c.State.Waiting == nil {
			return fmt.Errorf("sidecar %s has started and is listed with a state (trap 8)", c.Name)
		}
		end := c.State.Terminated
		if succeeded := end != nil && end.ExitCode == 0; c.Ready != succeeded {
			return fmt.Errorf("init container %s is ready: %t, has succeeded: %t", c.Name, c.Ready, succeeded)
		}
		c.Ready = false
		if err := checkState(c); err != nil {
			return err
		}
		switch {
		case c.State.Terminated != nil && stage > 0:
			return fmt.Errorf("init container %s ended before one that comes first", c.Name)
		case c.State.Running != nil && stage > 0:
			return fmt.Errorf("init container %s runs before its turn", c.Name)
		case c.State.Terminated == nil:
			stage = 1
		}
	}
	return checkFailedInit(s)
}

// checkFailedInit wants a failed init container to end the pod (protocol 2.2.6): nothing
// listed may wait beside it. It is only called for what is final.
func checkFailedInit(s PodStatus) error {
	failed := false
	for _, c := range s.InitContainers {
		failed = failed || c.State.Terminated != nil && c.State.Terminated.ExitCode != 0
	}
	for _, c := range s.Containers {
		if failed && c.State.Running != nil {
			return errors.New("a container runs although an init container failed")
		}
	}
	return nil
}

// PhaseOf is the pod's next phase by the Virtual Kubelet's rules (protocol 2.2).
func PhaseOf(old v1.PodPhase, s PodStatus) v1.PodPhase {
	if old == v1.PodSucceeded || old == v1.PodFailed {
		return old // it does not ask again
	}
	ended, failed := true, false
	for _, c := range s.InitContainers {
		switch {
		case c.State == v1.ContainerState{}:
		case c.State.Terminated == nil:
			return v1.PodPending
		case c.State.Terminated.ExitCode != 0:
			failed = true
		}
	}
	for _, c := range s.Containers {
		switch {
		case c.State.Running != nil:
			return v1.PodRunning
		case c.State.Terminated == nil:
			ended = false
		case c.State.Terminated.ExitCode != 0:
			failed = true
		}
	}
	switch {
	case ended && failed:
		return v1.PodFailed
	case ended:
		return v1.PodSucceeded
	}
	return old
}
