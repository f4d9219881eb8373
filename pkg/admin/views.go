// Package admin serves what operators ask of a running docker-sd: its state as
// JSON and as a page, metrics, health. That changes nothing. The owner of docker-sd is let
// into pods as well, over the socket alone: see Inside.
package admin

import (
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/gpu"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/podstatus"
)

// SocketName of the unix socket in DataRootFolder, by which programs on the host
// find the docker-sd that runs with a configuration.
const SocketName = "admin.sock"

// Paths of the JSON views. Each answers a GET with one JSON object.
const (
	PathInfo   = "/v1/info"
	PathPods   = "/v1/pods"
	PathPool   = "/v1/pool"
	PathGPUs   = "/v1/gpus"
	PathEvents = "/v1/events"
)

// Source is where the views come from. Its methods ask no engine and return at
// once, also while docker-sd starts.
type Source interface {
	Info() Info
	Pods() Pods
	Pool() Pool
	GPUs() gpu.Snapshot
	Events() Events
	// Troubles lists why pods cannot be taken at this moment; none means ready.
	Troubles() []string
}

// Info says which docker-sd answers.
type Info struct {
	Version  string    `json:"version"`
	Instance string    `json:"instance"`
	Started  time.Time `json:"started"`
	// Address is where the sidecar protocol is served.
	Address string `json:"address"`
	// InterlinkAPI is where Virtual Kubelets are answered, empty for nowhere.
	InterlinkAPI string `json:"interlinkAPI,omitempty"`
	// Admin is where operators are answered over TCP, empty for nowhere.
	Admin string `json:"admin,omitempty"`
	// Engine is the version of the host's engine, empty until it has answered.
	Engine string `json:"engine,omitempty"`
	// Plugin is what interLink's API server has shown of itself, VirtualKubelet what Virtual
	// Kubelets have.
	Plugin         *Heard `json:"plugin,omitempty"`
	VirtualKubelet *Heard `json:"virtualKubelet,omitempty"`

	MaxPods int `json:"maxPods"`
	// Troubles lists why pods cannot be taken at this moment; none means ready.
	Troubles []string `json:"troubles"`
}

// Heard is what callers have shown of themselves since docker-sd was started. A zero time is
// never.
type Heard struct {
	Ping      time.Time `json:"ping,omitzero"`
	Poll      time.Time `json:"poll,omitzero"`
	Create    time.Time `json:"create,omitzero"`
	UserAgent string    `json:"userAgent,omitempty"`
	// Lists says that the last create was a list, as interLink before 0.5.0 sends one.
	Lists bool `json:"lists,omitempty"`
}

// Pods is every pod that is kept, ordered by namespace and name.
type Pods struct {
	Pods []podstatus.View `json:"pods"`
	// Starting says that docker-sd has not looked yet, so none is listed.
	Starting bool `json:"starting,omitempty"`
}

// Pool counts the sandboxes and lists those that exist.
type Pool struct {
	// Wanted is how many shall wait ready, Warm how many do.
	Wanted int `json:"wanted"`
	Warm   int `json:"warm"`
	// Standby are half booted, for bursts.
	Standby int `json:"standby"`
	// Holders are networks that were made ahead, for boots.
	Holders int `json:"holders"`
	// Booting are under way, Claimed are pods', and Waiting are pods that wait for one.
	Booting int `json:"booting"`
	Claimed int `json:"claimed"`
	Waiting int `json:"waiting"`
	// Error is the last failed boot's, empty after one that succeeded.
	Error     string    `json:"error,omitempty"`
	Sandboxes []Sandbox `json:"sandboxes"`
	// Starting says that docker-sd has not looked yet, so none is listed.
	Starting bool `json:"starting,omitempty"`
}

// States of a Sandbox.
const (
	SandboxWarm    = "warm"
	SandboxClaimed = "claimed"
)

// Sandbox is one that exists.
type Sandbox struct {
	// Name is the pool name, ContainerID that of its container on the host.
	Name        string    `json:"name"`
	ContainerID string    `json:"containerID"`
	IP          string    `json:"ip"`
	Booted      time.Time `json:"booted"`
	State       string    `json:"state"`
	// The pod that has claimed it, if one has.
	PodUID    types.UID `json:"podUID,omitempty"`
	Namespace string    `json:"namespace,omitempty"`
	PodName   string    `json:"podName,omitempty"`
}

// Events are the last changes of state, the newest first.
type Events struct {
	Events []Event `json:"events"`
}

// Event is one change of state.
type Event struct {
	Time time.Time `json:"time"`
	// Number counts the events of a run of docker-sd, from 1.
	Number uint64 `json:"number"`
	// What happened, in a word or two.
	What      string    `json:"what"`
	PodUID    types.UID `json:"podUID,omitempty"`
	Namespace string    `json:"namespace,omitempty"`
	PodName   string    `json:"podName,omitempty"`
	Container string    `json:"container,omitempty"`
	Sandbox   string    `json:"sandbox,omitempty"`
	// Detail is for people; it holds nothing that a container wrote.
	Detail string `json:"detail,omitempty"`
}
