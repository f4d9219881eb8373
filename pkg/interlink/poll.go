package interlink

import (
	"bytes"
	"fmt"
	"reflect"

	jsonv2 "github.com/go-json-experiment/json"
	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
)

// DecodeStatus reads the list of pods of /status. A ping, which is an empty
// list, null or no body at all, gives no pods. Only what a status answer needs
// is filled: identity, annotations, phase, and of each container its name,
// image, restart policy and whether it has a readiness probe. Polls come by the
// hundred, and reading whole pods took twice the time and nine times the memory;
// one pass over the text, in place of encoding/json's two, halves it again. Nothing
// is remembered from one poll to the next: interLink from 0.5 on asks for one pod per
// call, and finding that its text has not changed took longer than reading it.
func DecodeStatus(body []byte) ([]*v1.Pod, error) {
	if len(bytes.TrimSpace(body)) == 0 {
		return nil, nil
	}
	var polled []polledPod
	if err := pollable(body); err != nil {
		return nil, err
	}
	// One pass, as strict as wellFormed is with the other requests.
	if err := jsonv2.Unmarshal(body, &polled, polledNames); err != nil {
		return nil, malformed(err, reflect.TypeFor[[]v1.Pod]())
	}
	if len(polled) > maxPolled {
		return nil, fmt.Errorf("the list holds %d pods, one poll may ask for %d", len(polled), maxPolled)
	}
	pods := make([]*v1.Pod, len(polled))
	for i := range polled {
		pods[i] = polled[i].pod()
	}
	return pods, nil
}

// polledNames is how encoding/json takes names.
var polledNames = jsonv2.MatchCaseInsensitiveNames(true)

type polledPod struct {
	Metadata struct {
		Name        string            `json:"name"`
		Namespace   string            `json:"namespace"`
		UID         types.UID         `json:"uid"`
		Annotations map[string]string `json:"annotations"`
	} `json:"metadata"`
	Spec struct {
		Containers     []polledContainer `json:"containers"`
		InitContainers []polledContainer `json:"initContainers"`
	} `json:"spec"`
	Status struct {
		Phase v1.PodPhase `json:"phase"`
	} `json:"status"`
}

type polledContainer struct {
	Name           string                     `json:"name"`
	Image          string                     `json:"image"`
	RestartPolicy  *v1.ContainerRestartPolicy `json:"restartPolicy"`
	ReadinessProbe *struct{}                  `json:"readinessProbe"`
}

func (p *polledPod) pod() *v1.Pod {
	pod := &v1.Pod{}
	pod.Name, pod.Namespace, pod.UID = p.Metadata.Name, p.Metadata.Namespace, p.Metadata.UID
	pod.Annotations, pod.Status.Phase = p.Metadata.Annotations, p.Status.Phase
	pod.Spec.Containers = fillContainers(p.Spec.Containers)
	pod.Spec.InitContainers = fillContainers(p.Spec.InitContainers)
	return pod
}

func fillContainers(polled []polledContainer) []v1.Container {
	out := make([]v1.Container, len(polled))
	for i, c := range polled {
		out[i].Name, out[i].Image, out[i].RestartPolicy = c.Name, c.Image, c.RestartPolicy
		if c.ReadinessProbe != nil {
			out[i].ReadinessProbe = &v1.Probe{}
		}
	}
	return out
}
