// Package pods turns Kubernetes pods into containers inside sandboxes and keeps
// them as kubelet would.
package pods

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/containerd/containerd/log"
	"github.com/containerd/errdefs"
	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/containers"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/engine"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/eviction"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/fault"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/images"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/lifecycle"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/podlogs"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/podspec"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/podstatus"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/pool"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/records"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/volumes"
)

// Sandboxes is what pods need of the pool.
type Sandboxes interface {
	Reserve(ports []engine.Port) *pool.Claim
	ReserveFresh(ports []engine.Port) *pool.Claim
	Rebook(name string, ports []engine.Port) *pool.Claim
	Adopt(ctx context.Context, name string) (*pool.Sandbox, error)
	Assign(ctx context.Context, s *pool.Sandbox, podUID string) error
	// Named finds the sandbox that Assign gave the pod's name, "" if there is none.
	Named(ctx context.Context, podUID string) (string, error)
	// Fit gives the sandbox its pod's bounds.
	Fit(ctx context.Context, s *pool.Sandbox, want engine.Bounds) error
	Return(claim *pool.Claim)
	Destroy(ctx context.Context, name string) error
	// Runs says whether anything may run in a sandbox.
	Runs(ctx context.Context, name string) (bool, error)
	// Retire removes all of a sandbox but its folder.
	Retire(ctx context.Context, name string) error
}

// Images makes an image usable in a sandbox.
type Images interface {
	OnHost(ctx context.Context, want images.Want) (engine.Image, error)
	Find(ctx context.Context, s *pool.Sandbox, onHost engine.Image) (images.Image, images.Presence, error)
	Ensure(ctx context.Context, s *pool.Sandbox, want images.Want) (images.Image, error)
	// Hold keeps an image on the host until the pod drops it.
	Hold(podUID, hostID string)
	Drop(podUID string)
}

// Accelerators gives out GPUs and the like. What a pod holds is opaque here and
// kept in its record.
type Accelerators interface {
	Reserve(pod *v1.Pod) (json.RawMessage, error)
	Claim(podUID string, held json.RawMessage) error
	// ClaimUnknown is Claim for a pod of which nobody knows what it holds.
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
	// Node is what a container's spec may hold here.
	Node podspec.Node
	// Measure sums up a folder below a root, without leaving it; with an error it is
	// what was seen before that.
	Measure func(ctx context.Context, root, below string) (eviction.Amount, error)
	// Observer is told what becomes of pods; nil means nobody is.
	Observer Observer
}

// Manager keeps the pods. Its mutex guards the maps, never an engine call or a
// file.
type Manager struct {
	config       Config
	store        records.Store
	sandboxes    Sandboxes
	images       Images
	accelerators Accelerators

	life    context.Context
	end     context.CancelCauseFunc
	workers sync.WaitGroup

	mu     sync.Mutex
	pods   map[types.UID]*pod
	buried map[types.UID]time.Time
	asked  map[types.UID]time.Time
	// refused are pods of an earlier run whose records are refused. They go on, nobody
	// looks after them, and their status is left as it was last told.
	refused map[types.UID]*records.Record
}

// New makes a Manager that refuses all calls until Recover has run.
func New(config Config, sandboxes Sandboxes, images Images, accelerators Accelerators) *Manager {
	if config.Observer == nil {
		config.Observer = unobserved{}
	}
	life, end := context.WithCancelCause(context.Background())
	return &Manager{config: config, store: records.New(config.Dir), sandboxes: sandboxes, images: images,
		accelerators: accelerators, life: life, end: end,
		pods: map[types.UID]*pod{}, buried: map[types.UID]time.Time{}, asked: map[types.UID]time.Time{}}
}

// Close lets go of every pod and waits for their goroutines; containers go on
// running and the next start takes them over.
func (m *Manager) Close() {
	m.end(errShutdown)
	m.workers.Wait()
}

// Create admits a pod and starts it in the background; the answer is the pod's
// JID. A pod that is known already starts nothing and gets the same answer
// (protocol 1.4). Errors: ErrInvalidArgument names the field at fault,
// ErrFailedPrecondition is a deleted UID or one whose record is refused, ErrResourceExhausted a full node.
func (m *Manager) Create(ctx context.Context, spec *v1.Pod, data volumes.Data) (string, error) {
	if err := m.validate(ctx, spec, data); err != nil {
		return "", err
	}
	p, fresh, err := m.enter(spec)
	if err != nil {
		return "", err
	}
	if !fresh {
		select {
		case <-p.admitted:
		case <-ctx.Done():
			return "", ctx.Err()
		}
		return p.record.Load().JID, p.admitErr
	}
	p.admitErr = m.admit(ctx, p, data)
	close(p.admitted)
	return p.record.Load().JID, p.admitErr
}

func (m *Manager) validate(ctx context.Context, spec *v1.Pod, data volumes.Data) error {
	warnings, problems := volumes.Validate(spec, data, m.config.Volumes)
	for _, warning := range warnings {
		log.G(ctx).WithField("pod", spec.UID).Warn(warning)
	}
	return podspec.Refusal(append(podspec.Validate(spec, m.config.Node), problems...))
}

// enter finds a known pod or makes room for a new one.
func (m *Manager) enter(spec *v1.Pod) (p *pod, fresh bool, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if at, deleted := m.buried[spec.UID]; deleted && time.Since(at) < m.config.Tombstones {
		return nil, false, fmt.Errorf("pod %s was deleted, a create that comes after its delete is refused: %w",
			spec.UID, errdefs.ErrFailedPrecondition)
	}
	if p, known := m.pods[spec.UID]; known {
		return p, false, nil
	}
	if m.refused[spec.UID] != nil {
		return nil, false, errRefused(spec.UID)
	}
	if active := m.active(); active >= m.config.MaxPods {
		return nil, false, fmt.Errorf("this node runs %d pods, as many as MaxPods allows: %w", active, errdefs.ErrResourceExhausted)
	}
	if len(m.pods) >= max(maxKept, m.config.MaxPods) {
		return nil, false, fmt.Errorf("this node keeps the results of %d pods that have ended, delete some: %w", len(m.pods), errdefs.ErrResourceExhausted)
	}
	if err := m.portConflict(podspec.HostPorts(spec)); err != nil {
		return nil, false, err
	}
	p = m.newPod(spec)
	close(p.adopted) // nothing to find: it is new
	close(p.located)
	m.pods[spec.UID] = p
	delete(m.buried, spec.UID)
	return p, true, nil
}

func (m *Manager) newPod(spec *v1.Pod) *pod {
	return m.podOf(&records.Record{Pod: spec, Stage: lifecycle.StageAdmitted, Since: time.Now(), Began: records.Now()})
}

// podOf makes the pod of a record, which does not run yet.
func (m *Manager) podOf(r *records.Record) *pod {
	spec := r.Pod
	p := &pod{statuses: podstatus.New(spec), m: m, spec: spec, admitted: make(chan struct{}), adopted: make(chan struct{}), located: make(chan struct{}),
		done: make(chan struct{}), released: make(chan struct{}), start: make(chan struct{})}
	p.logs = podlogs.New(m.config.Dir, spec, p.statuses, p.logsKept, p.engine, p.done)
	p.events = reporter{m.config.Observer}
	images := &containers.Images{Source: m.images, Spec: spec, Statuses: p.statuses, Observer: p.events}
	p.containers = &containers.Pod{Spec: spec, Node: m.config.Node, Statuses: p.statuses, Images: images, Owner: p, Observer: p.events}
	p.record = records.NewEntry(m.store, r, func() func(error) { _, done := p.events.Step(m.life, StepRecord); return done })
	return p
}

// admit reserves what the pod needs, writes its record, and only then starts it.
func (m *Manager) admit(ctx context.Context, p *pod, data volumes.Data) error {
	uid := p.spec.UID
	fault.Point("pods.create.asked")
	devices, err := m.accelerators.Reserve(p.spec)
	if err != nil {
		m.drop(p)
		return err
	}
	fault.Point("pods.create.equipped")
	p.claim = m.sandboxes.Reserve(podspec.HostPorts(p.spec))
	fault.Point("pods.create.claimed")
	// A tombstone that has served would end the pod at the next start.
	if err = errors.Join(m.store.RemoveTombstone(uid), m.store.SaveDevices(uid, devices)); err == nil {
		err = p.record.Change(func(r *records.Record) {
			r.Data, r.Devices = data, devices
			r.JID, r.Sandbox = p.claim.Name, p.claim.Name
			if p.claim.Warm() {
				r.Stage = lifecycle.StagePlaced
			}
		})
	}
	if err != nil {
		err = errors.Join(err, m.store.RemoveDevices(uid))
		m.accelerators.Release(string(uid))
		m.sandboxes.Return(p.claim)
		m.drop(p) // last: a repeated create must not get what is being given back
		return fmt.Errorf("the pod was refused because its record could not be written: %w: %w", err, errdefs.ErrUnavailable)
	}
	fault.Point("pods.create.recorded")
	m.start(ctx, p, lifecycle.SeenClaimed)
	fault.Point("pods.create.started")
	return nil
}

// start begins the pod's goroutine; its logger carries the pod's identity.
func (m *Manager) start(ctx context.Context, p *pod, seen lifecycle.Observation) {
	p.life = m.config.Observer.Pod(log.WithLogger(m.life, log.G(ctx).WithFields(fieldsOf(p.spec))), ctx, p.spec)
	if seen == lifecycle.SeenClaimed {
		p.events.Tell(p.life, EventCreated, "", nil)
	} else {
		p.events.Tell(p.life, EventAdopted, "", nil)
	}
	p.containers.Life, p.containers.Images.Secrets = p.life, p.record.Load().Data.Secrets
	work, cancel := context.WithCancelCause(p.life)
	p.cancel = cancel
	m.workers.Go(func() {
		defer cancel(nil)
		p.run(work, seen)
	})
}

// drop forgets a pod that was not admitted, or whose teardown is complete.
func (m *Manager) drop(p *pod) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.pods, p.spec.UID)
}

// lostAfter is how long a pod that is only known from polls may wait for its
// create (protocol 2.3).
const lostAfter = 10 * time.Minute

// Status reports on one pod; false means that there is nothing to say, because it
// was deleted, has not been found again yet after a restart, or has a record that
// cannot be read. It never asks an engine and never waits.
func (m *Manager) Status(spec *v1.Pod) (podstatus.Report, bool) {
	m.mu.Lock()
	p, known := m.pods[spec.UID]
	_, deleted := m.buried[spec.UID]
	_, refused := m.refused[spec.UID]
	var first time.Time
	if !known && !deleted {
		first = m.firstAsked(spec.UID)
	}
	m.mu.Unlock()
	switch {
	case deleted, refused, known && !closed(p.adopted):
		return podstatus.Report{}, false
	case known:
		statuses, ended := p.statuses.Snapshot()
		p.showTrouble(statuses)
		out := podstatus.ReportOf(spec, statuses, ended)
		out.JID = p.record.Load().JID
		return out, true
	case spec.Status.Phase == v1.PodPending && spec.Annotations["JobID"] == "" && time.Since(first) < lostAfter:
		return podstatus.Uniform(spec, podstatus.Waiting(podstatus.ReasonCreating, "")), true
	}
	return podstatus.Uniform(spec, v1.ContainerState{Terminated: &v1.ContainerStateTerminated{ExitCode: 137,
		Reason: podstatus.ReasonUnknown, Message: "this node does not know the pod: it was lost"}}), true
}

func closed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// maxAsked bounds the memory for pods that are only known from polls.
const maxAsked = 10000

// firstAsked is when a pod without a create was first asked for; the lock is held.
func (m *Manager) firstAsked(uid types.UID) time.Time {
	if at, seen := m.asked[uid]; seen {
		return at
	}
	for old, at := range m.asked {
		if len(m.asked) >= maxAsked || time.Since(at) > 2*lostAfter {
			delete(m.asked, old)
		}
	}
	m.asked[uid] = time.Now()
	return m.asked[uid]
}

// Count returns how many pods are kept.
func (m *Manager) Count() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.pods)
}
