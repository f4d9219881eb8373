package kit

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// The types of interLink's protocol, written down here again, so that a mistake in
// docker-sd's own cannot hide itself.

// CreateRequest is the body of /create today; a list of one is that of 2024.
type CreateRequest struct {
	Pod       *v1.Pod         `json:"pod"`
	Container []ContainerData `json:"container"`
	JobConfig struct{}        `json:"jobConfig"`
}

// ContainerData is the objects that one container mounts.
type ContainerData struct {
	Name       string         `json:"name"`
	ConfigMaps []v1.ConfigMap `json:"configMaps"`
	Projected  []v1.ConfigMap `json:"projectedvolumemaps"`
	Secrets    []v1.Secret    `json:"secrets"`
	EmptyDirs  []string       `json:"emptyDirs"`
	// Claims and Volumes are of a branch of interLink (protocol 1.3).
	Claims  []v1.PersistentVolumeClaim `json:"persistentVolumeClaims,omitempty"`
	Volumes []v1.PersistentVolume      `json:"persistentVolumes,omitempty"`
}

// NewCreate has an entry without objects for each container.
func NewCreate(pod *v1.Pod) CreateRequest {
	request := CreateRequest{Pod: pod}
	for _, list := range [][]v1.Container{pod.Spec.InitContainers, pod.Spec.Containers} {
		for _, c := range list {
			request.Container = append(request.Container, ContainerData{Name: c.Name})
		}
	}
	return request
}

// GiveData puts the same objects into the data of every container.
func (r *CreateRequest) GiveData(configMaps, projected []v1.ConfigMap, secrets []v1.Secret) {
	for i := range r.Container {
		r.Container[i].ConfigMaps, r.Container[i].Projected, r.Container[i].Secrets = configMaps, projected, secrets
	}
}

// CreateAnswer is the answer to a create.
type CreateAnswer struct{ PodUID, PodJID string }

// DecodeCreate reads an answer as the Virtual Kubelet does: anything but one object with the
// pod's own UID fails the pod (protocol 1.4).
func DecodeCreate(pod *v1.Pod, code int, text string) (CreateAnswer, error) {
	var answer CreateAnswer
	if code != http.StatusOK {
		return answer, fmt.Errorf("create was answered with %d: %s", code, text)
	}
	if err := json.Unmarshal([]byte(text), &answer); err != nil {
		return answer, fmt.Errorf("create was answered with %q: %w", text, err)
	}
	if answer.PodUID != string(pod.UID) || answer.PodJID == "" {
		return answer, fmt.Errorf("create of %s was answered with %q", pod.UID, text)
	}
	return answer, nil
}

// PodStatus is one entry of the status answer (protocol 2.1).
type PodStatus struct {
	Name           string               `json:"name"`
	UID            string               `json:"UID"`
	Namespace      string               `json:"namespace"`
	JID            string               `json:"JID"`
	Containers     []v1.ContainerStatus `json:"containers"`
	InitContainers []v1.ContainerStatus `json:"initContainers"`
}

// Container is the status of one, of any kind; zero where there is none of the name.
func (s PodStatus) Container(name string) v1.ContainerStatus {
	for _, list := range [][]v1.ContainerStatus{s.Containers, s.InitContainers} {
		for _, c := range list {
			if c.Name == name {
				return c
			}
		}
	}
	return v1.ContainerStatus{}
}

// LogOptions choose what of a log is answered (protocol 3.1).
type LogOptions struct {
	Tail         int
	Bytes        int
	Timestamps   bool
	Follow       bool
	Previous     bool
	SinceSeconds int
	SinceTime    time.Time
}

// LogRequest is the body of /getLogs (protocol 3.1).
type LogRequest struct {
	Namespace, PodUID, PodName, ContainerName string
	Opts                                      LogOptions
}

// LogBody is the body of /getLogs for a container.
func LogBody(pod *v1.Pod, container string, opts LogOptions) ([]byte, error) {
	return json.Marshal(LogRequest{pod.Namespace, string(pod.UID), pod.Name, container, opts})
}

// Poll asks for several pods in one call.
func (c *Caller) Poll(ctx context.Context, pods ...*v1.Pod) ([]PodStatus, error) {
	var out []PodStatus
	return out, c.JSON(ctx, http.MethodGet, "/status", pods, &out)
}

// Delete asks for a pod's end with a grace period in seconds.
func (c *Caller) Delete(ctx context.Context, pod *v1.Pod, grace int64) error {
	asked := pod.DeepCopy()
	asked.DeletionTimestamp, asked.DeletionGracePeriodSeconds = new(metav1.Now()), &grace
	return c.JSON(ctx, http.MethodPost, "/delete", asked, nil)
}
