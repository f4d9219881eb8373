package interlink

import (
	"bytes"
	"encoding/json"
	"errors"

	v1 "k8s.io/api/core/v1"
)

// podCreateRequests is the body of a create as the Virtual Kubelet sends it to interLink's
// API server (protocol 1.6). That server asks jobscriptURL for a batch script, which no
// container needs, so it is ignored here as unknown fields are.
type podCreateRequests struct {
	Pod        v1.Pod         `json:"pod"`
	ConfigMaps []v1.ConfigMap `json:"configmaps"`
	Secrets    []v1.Secret    `json:"secrets"`
	// Projected are projected volumes rendered as ConfigMaps named after the volume.
	Projected []v1.ConfigMap `json:"projectedvolumesmaps"`
	// Claims, and the volumes that they are bound to, come from interLinks that send them.
	Claims  []v1.PersistentVolumeClaim `json:"persistentvolumes"`
	Volumes []v1.PersistentVolume      `json:"persistentVolumeSources"`
	// Container has a body for a plugin.
	Container json.RawMessage `json:"container"`
}

// expectedForm is what a body for a plugin is answered with.
const expectedForm = "this is the address for Virtual Kubelets (InterlinkAPI), and the body has the form that interLink's API server sends a plugin. " +
	"Expected is one object with pod, configmaps, secrets and projectedvolumesmaps, as Virtual Kubelets from interLink 0.3 to 0.6 send it. " +
	"An API server has to call the other address (SidecarURL, SidecarPort or Socket)"

// DecodePodCreate reads the create of a Virtual Kubelet. The data of its volumes is one list
// for the pod, which interLink's API server would repeat for each container that mounts
// them; here it comes as that of one container without a name.
func DecodePodCreate(body []byte) (CreateRequest, error) {
	if bytes.HasPrefix(bytes.TrimSpace(body), []byte("[")) {
		return CreateRequest{}, errors.New(expectedForm)
	}
	var sent podCreateRequests
	if err := decode(body, &sent, creatable); err != nil {
		return CreateRequest{}, err
	}
	if sent.Container != nil {
		return CreateRequest{}, errors.New(expectedForm)
	}
	return CreateRequest{Pod: sent.Pod, Containers: []ContainerData{{ConfigMaps: sent.ConfigMaps, Projected: sent.Projected,
		Secrets: sent.Secrets, Claims: sent.Claims, Volumes: sent.Volumes}}}, nil
}
