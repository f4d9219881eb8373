package podstatus

import (
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	v1 "k8s.io/api/core/v1"
)

// TestMessagesOfAPodAreBounded: 12 KiB for all containers together, as in kubelet,
// and what is kept here stays whole.
func TestMessagesOfAPodAreBounded(t *testing.T) {
	long := strings.Repeat("\u20ac", 1365) // 4095 bytes
	pod, known := plainPod(), map[string]v1.ContainerStatus{}
	pod.Spec.Containers = nil
	for i := range 6 {
		c := v1.Container{Name: fmt.Sprintf("c%d", i)}
		pod.Spec.Containers = append(pod.Spec.Containers, c)
		state := v1.ContainerState{Terminated: &v1.ContainerStateTerminated{Message: long}}
		known[c.Name] = v1.ContainerStatus{Name: c.Name, State: state, LastTerminationState: state}
		if i == 0 {
			known[c.Name] = v1.ContainerStatus{Name: c.Name, State: Waiting(ReasonCrashLoop, long)}
		}
	}
	for _, status := range ReportOf(pod, known, true).Containers {
		for _, state := range []v1.ContainerState{status.State, status.LastTerminationState} {
			message := ""
			if state.Waiting != nil {
				message = state.Waiting.Message
			} else if state.Terminated != nil {
				message = state.Terminated.Message
			}
			if len(message) > 12<<10/6 || !utf8.ValidString(message) || message != "" && !strings.HasPrefix(long, message) {
				t.Errorf("%s has a message of %d bytes", status.Name, len(message))
			}
		}
	}
	if got := known["c1"].State.Terminated.Message; got != long {
		t.Errorf("the message that is kept has %d bytes", len(got))
	}
	pod.Spec.Containers = pod.Spec.Containers[1:3]
	if got := ReportOf(pod, known, true).Containers[0].State.Terminated.Message; got != long {
		t.Errorf("a message within its share has %d bytes", len(got))
	}
}

// TestWordsOfAFailedInit: which one, how it ended, and no colon with nothing behind it.
func TestWordsOfAFailedInit(t *testing.T) {
	for message, want := range map[string]string{
		"":          "not started: init container first ended with 7",
		"no luck\n": "not started: init container first ended with 7: no luck\n",
	} {
		pod := plainPod()
		pod.Spec.InitContainers = []v1.Container{{Name: "first"}}
		known := map[string]v1.ContainerStatus{
			"first": {Name: "first", State: v1.ContainerState{Terminated: &v1.ContainerStateTerminated{ExitCode: 7, Message: message}}},
			"main":  {Name: "main", State: Waiting(ReasonInitializing, "")},
		}
		if got := ReportOf(pod, known, true).Containers[0].State.Terminated.Message; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
