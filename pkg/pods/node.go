package pods

import (
	"context"
	"encoding/json"
	"sync"
	"time"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/clusternet"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/engine"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/eviction"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/images"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/podspec"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/pool"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/records"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/sandbox"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/volumes"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/volumes/persistent"
	v1 "k8s.io/api/core/v1"
)

// Sandboxes is what pods need of the pool.
type Sandboxes interface {
	Reserve(ports []engine.Port) *pool.Claim
	ReserveFresh(ports []engine.Port) *pool.Claim
	Rebook(name string, ports []engine.Port) *pool.Claim
	Adopt(ctx context.Context, name string) (*sandbox.Sandbox, error)
	Assign(ctx context.Context, s *sandbox.Sandbox, podUID string) error
	// Named finds the sandbox that Assign gave the pod's name, "" if there is none.
	Named(ctx context.Context, podUID string) (string, error)
	// Fit gives the sandbox its pod's bounds.
	Fit(ctx context.Context, s *sandbox.Sandbox, want engine.Bounds) error
	Return(claim *pool.Claim)
	Destroy(ctx context.Context, name string) error
	// Runs says whether anything may run in a sandbox.
	Runs(ctx context.Context, name string) (bool, error)
	// Release removes all of a sandbox but its folder.
	Release(ctx context.Context, name string) error
}

// Images makes an image usable in a sandbox.
type Images interface {
	OnHost(ctx context.Context, want images.Want) (engine.Image, error)
	Find(ctx context.Context, s *sandbox.Sandbox, onHost engine.Image) (images.Image, images.Presence, error)
	Ensure(ctx context.Context, s *sandbox.Sandbox, want images.Want) (images.Image, error)
	// Hold keeps an image on the host until the pod drops it.
	Hold(podUID, hostID string)
	Drop(podUID string)
}

// Accelerators gives out GPUs and the like. What a pod holds is opaque here and
// kept in its record.
type Accelerators interface {
	Reserve(pod *v1.Pod) (json.RawMessage, error)
	Claim(podUID string, held json.RawMessage) error
	// ClaimUnknown is Claim for a pod of which it is not known what it holds.
	ClaimUnknown(podUID string)
	Release(podUID string)
	// Inject is told the variables of the container's image, which the spec's win over.
	Inject(held json.RawMessage, container string, imageEnv []string, spec *engine.Spec) error
	// Health tells of devices that failed under a container, for its status and as
	// a sentence; both are empty as long as all is well.
	Health(podUID, container string) ([]v1.ResourceStatus, string)
}

// Config of a Manager.
type Config struct {
	// Dir holds records, tombstones and the pods' folder names.
	Dir string
	// MaxPods bounds how many pods run at a time.
	MaxPods int
	// Tombstones is how long a deleted UID is refused (protocol 1.4).
	Tombstones time.Duration
	Volumes    volumes.Policy
	// DeleteClaims says that the folder of a claim below Volumes.ClaimRoot goes with the
	// last pod that mounts it.
	DeleteClaims bool
	// Node is what a container's spec may hold here.
	Node podspec.Node
	// Network is what pods may join of their clusters' networks, NetworkTimeout how long
	// a pod tries to before it fails.
	Network        clusternet.Policy
	NetworkTimeout time.Duration
	// Measure sums up a folder below a root, without leaving it; with an error it is
	// what was seen before that.
	Measure func(ctx context.Context, root, below string) (eviction.Amount, error)
	// Observer is told what becomes of pods; nil means none.
	Observer Observer
	// Meter adds up what pods use; nil means that nothing does.
	Meter Meter
}

// shared is what all pods of a node use.
type shared struct {
	config       Config
	store        records.Store
	sandboxes    Sandboxes
	images       Images
	accelerators Accelerators
	claims       *persistent.Keeper

	// life ends when docker-sd shuts down.
	life context.Context
	// workers are the goroutines that Close waits for.
	workers sync.WaitGroup
}

// closed says that a channel is closed, of which nothing is ever received.
func closed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}
