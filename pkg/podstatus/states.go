package podstatus

import (
	"fmt"
	"strings"

	v1 "k8s.io/api/core/v1"
)

// Reasons that kubectl's users know.
const (
	ReasonCreating     = "ContainerCreating"
	ReasonInitializing = "PodInitializing"
	ReasonCrashLoop    = "CrashLoopBackOff"
	ReasonUnknown      = "ContainerStatusUnknown"
	ReasonConfig       = "CreateContainerConfigError"
	ReasonCreate       = "CreateContainerError"
	ReasonRun          = "RunContainerError"
)

// Waiting is the state of a container that waits. Reason is one of those above, or one of
// package images.
func Waiting(reason, message string) v1.ContainerState {
	return v1.ContainerState{Waiting: &v1.ContainerStateWaiting{Reason: reason, Message: message}}
}

// AddTrouble adds a sentence to the message of a container that waits or has ended,
// once. One that runs has no message.
func AddTrouble(status *v1.ContainerStatus, trouble string) {
	switch {
	case status.State.Waiting != nil:
		status.State.Waiting.Message = withTrouble(status.State.Waiting.Message, trouble)
	case status.State.Terminated != nil:
		status.State.Terminated.Message = withTrouble(status.State.Terminated.Message, trouble)
	}
}

// withTrouble is a message with a sentence that is not in it yet.
func withTrouble(message, trouble string) string {
	switch {
	case message == "":
		return trouble
	case strings.Contains(message, trouble):
		return message
	}
	return message + "; " + trouble
}

// EndedWith tells how a container ended, with its message if it has one.
func EndedWith(end *v1.ContainerStateTerminated) string {
	text := fmt.Sprintf("ended with %d", end.ExitCode)
	if end.Message != "" {
		text += ": " + end.Message
	}
	return text
}
