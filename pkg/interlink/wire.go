// Package interlink holds the wire types of the sidecar protocol, exactly as an
// interLink API server sends and reads them (docs/interlink-protocol.md 1 to 3), and nothing else.
package interlink

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"time"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
)

// CreateRequest is the body of /create (protocol 1.3). Unknown fields, among
// them jobConfig and jobScript, are ignored.
type CreateRequest struct {
	Pod v1.Pod `json:"pod"`
	// Containers has one entry per init container and container.
	Containers []ContainerData `json:"container"`
	// InitContainers is a private addition of the 2024 plugin; it is merged.
	InitContainers []ContainerData `json:"initContainer,omitempty"`
	// List says that the body was a list, as interLink before 0.5.0 sends it.
	List bool `json:"-"`
}

// ContainerData carries the volume data of one container's mounts, one element
// per mount, so the same object may appear more than once.
type ContainerData struct {
	Name       string         `json:"name"`
	ConfigMaps []v1.ConfigMap `json:"configMaps"`
	// Projected are projected volumes rendered as ConfigMaps named after the volume.
	Projected []v1.ConfigMap `json:"projectedvolumemaps"`
	Secrets   []v1.Secret    `json:"secrets"`
	// Claims, and the volumes that they are bound to, come from interLinks that send them.
	Claims  []v1.PersistentVolumeClaim `json:"persistentVolumeClaims,omitempty"`
	Volumes []v1.PersistentVolume      `json:"persistentVolumes,omitempty"`
}

// CreateAnswer is one object in every version of interLink; anything else makes
// the Virtual Kubelet fail the pod (protocol 1.4).
type CreateAnswer struct {
	PodUID string `json:"PodUID"`
	PodJID string `json:"PodJID"`
}

// DecodeCreate reads today's object and the list of exactly one of 2024.
func DecodeCreate(body []byte) (CreateRequest, error) {
	var request CreateRequest
	if bytes.HasPrefix(bytes.TrimSpace(body), []byte("[")) {
		var list []CreateRequest
		if err := decode(body, &list, creatable); err != nil {
			return request, err
		}
		if len(list) != 1 {
			return request, fmt.Errorf("the list holds %d pods, a create carries exactly one", len(list))
		}
		list[0].List = true
		return list[0], nil
	}
	return request, decode(body, &request, creatable)
}

// PodIdentity is all that a delete may rely on (protocol 4).
type PodIdentity struct {
	UID       types.UID
	Namespace string
	Name      string
	// DeletionGracePeriodSeconds is nil when the body does not say.
	DeletionGracePeriodSeconds *int64
}

// DecodeDelete reads a v1.Pod; the interLink guide's PodStatus form with
// top-level UID, name and namespace is understood too (protocol 9.4).
func DecodeDelete(body []byte) (PodIdentity, error) {
	var request struct {
		Metadata struct {
			UID                        types.UID `json:"uid"`
			Name                       string    `json:"name"`
			Namespace                  string    `json:"namespace"`
			DeletionGracePeriodSeconds *int64    `json:"deletionGracePeriodSeconds"`
		} `json:"metadata"`
		UID       types.UID `json:"UID"`
		Name      string    `json:"name"`
		Namespace string    `json:"namespace"`
	}
	if err := decode(body, &request, wellFormed); err != nil {
		return PodIdentity{}, err
	}
	m := request.Metadata
	if m.UID == "" {
		return PodIdentity{UID: request.UID, Name: request.Name, Namespace: request.Namespace}, nil
	}
	return PodIdentity{UID: m.UID, Name: m.Name, Namespace: m.Namespace,
		DeletionGracePeriodSeconds: m.DeletionGracePeriodSeconds}, nil
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

// Ping is the answer to an empty status request (protocol 2.4). Every number is
// a string: one JSON number makes the caller drop the whole body in silence.
type Ping struct {
	Status    string     `json:"status"`
	Resources *Resources `json:"resources,omitempty"`
	// Taints is nil to leave the node's taints alone and empty to remove them.
	Taints *[]Taint `json:"taints,omitempty"`
}

// Resources are totals; what is not known is left out, never zero.
type Resources struct {
	CPU          string        `json:"cpu,omitempty"`
	Memory       string        `json:"memory,omitempty"`
	Pods         string        `json:"pods,omitempty"`
	Accelerators []Accelerator `json:"accelerators,omitempty"`
}

// Accelerator is one extended resource; despite its name, Available is read as
// the node's capacity (protocol 9.9).
type Accelerator struct {
	ResourceType string `json:"resourceType"`
	Available    string `json:"available"`
}

// Taint of the virtual node.
type Taint struct {
	Key    string `json:"key"`
	Value  string `json:"value"`
	Effect string `json:"effect"`
}

// LogRequest is the body of /getLogs (protocol 3.1).
type LogRequest struct {
	Namespace     string     `json:"Namespace"`
	PodUID        string     `json:"PodUID"`
	PodName       string     `json:"PodName"`
	ContainerName string     `json:"ContainerName"`
	Opts          LogOptions `json:"Opts"`
}

// LogOptions as kubectl's flags arrive; zero values mean "not given".
type LogOptions struct {
	Tail         int       `json:"Tail"`
	Bytes        int64     `json:"Bytes"`
	Timestamps   bool      `json:"Timestamps"`
	Follow       bool      `json:"Follow"`
	Previous     bool      `json:"Previous"`
	SinceSeconds int64     `json:"SinceSeconds"`
	SinceTime    time.Time `json:"SinceTime"`
}

// DecodeLogs reads a log request.
func DecodeLogs(body []byte) (LogRequest, error) {
	var request LogRequest
	return request, decode(body, &request, wellFormed)
}

// decode reads one JSON value that passes a check, and nothing after it.
func decode(body []byte, into any, check func([]byte, reflect.Type) error) error {
	if len(bytes.TrimSpace(body)) == 0 {
		return errors.New("the body is empty")
	}
	typ := reflect.TypeOf(into).Elem()
	if err := check(body, typ); err != nil {
		return err
	}
	if err := json.Unmarshal(body, into); err != nil {
		return malformed(err, typ)
	}
	return nil
}
