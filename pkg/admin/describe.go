package admin

import (
	"time"

	v1 "k8s.io/api/core/v1"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/podstatus"
)

// Description is what there is to know of a pod, for the owner of docker-sd alone: messages
// may hold what a container wrote. It has no value of a variable and no file.
type Description struct {
	Pod           podstatus.View       `json:"pod"`
	Labels        map[string]string    `json:"labels,omitempty"`
	QOSClass      v1.PodQOSClass       `json:"qosClass"`
	RestartPolicy v1.RestartPolicy     `json:"restartPolicy"`
	Conditions    []v1.PodCondition    `json:"conditions"`
	Containers    []DescribedContainer `json:"containers"`
	Volumes       []v1.Volume          `json:"volumes,omitempty"`
	// Timeline is how the pod came to be as it is, the first moment first.
	Timeline []Moment `json:"timeline"`
	// Events are the last ones of the pod, the newest first.
	Events []Event `json:"events"`
}

// DescribedContainer is a container as it was asked for, without the values of variables,
// and as it is.
type DescribedContainer struct {
	Init   bool               `json:"init,omitempty"`
	Spec   v1.Container       `json:"spec"`
	Status v1.ContainerStatus `json:"status"`
}

// Moment is one of the life of a pod.
type Moment struct {
	Time time.Time `json:"time"`
	// What began, or happened if it took no time.
	What      string `json:"what"`
	Container string `json:"container,omitempty"`
	Detail    string `json:"detail,omitempty"`
	// Took is how long, 0 for what took no time or goes on.
	Took  time.Duration `json:"took,omitempty"`
	State StepState     `json:"state,omitempty"`
}

// StepState is how a step has ended.
type StepState string

// The states of steps; "" is one that succeeded.
const (
	StepGoesOn StepState = "goes on"
	StepFailed StepState = "failed"
)

// MomentEnded is that of a container's end.
const MomentEnded = "ended"

// Ended says how long a step took and how it ended, "" for what took no time.
func (m Moment) Ended() string {
	switch {
	case m.State == StepGoesOn:
		return "goes on"
	case m.State == StepFailed:
		return m.Took.Round(time.Millisecond).String() + ", failed"
	case m.Took > 0:
		return m.Took.Round(time.Millisecond).String()
	}
	return ""
}
