// Package pods turns Kubernetes pods into containers inside sandboxes and keeps
// them as kubelet would.
package pods

import (
	"context"
	"sync"
	"time"

	"github.com/containerd/containerd/log"
	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/containers"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/joining"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/lifecycle"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/podlogs"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/podspec"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/podstatus"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/records"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/volumes"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/volumes/persistent"
)

// Manager keeps the pods. Its mutex guards the maps, never an engine call or a
// file.
type Manager struct {
	*shared
	end context.CancelCauseFunc

	mu   sync.Mutex
	pods map[types.UID]*pod
	// tombstones are deleted UIDs and since when each is refused. asked is when a pod
	// without a create was first asked for.
	tombstones map[types.UID]time.Time
	asked      map[types.UID]time.Time
	// refused are pods of an earlier run whose records are refused. They go on without
	// care, and their status is left as it was last told.
	refused map[types.UID]*records.Record
	// accounts of images, with a mutex of its own.
	accounts containers.Accounts
}

// New makes a Manager that refuses all calls until Recover has run.
func New(config Config, sandboxes Sandboxes, images Images, accelerators Accelerators) *Manager {
	if config.Observer == nil {
		config.Observer = unobserved{}
	}
	if config.Meter == nil {
		config.Meter = unmetered{}
	}
	life, end := context.WithCancelCause(context.Background())
	return &Manager{shared: &shared{config: config, store: records.New(config.Dir), sandboxes: sandboxes, images: images,
		accelerators: accelerators, claims: claimKeeper(config), life: life}, end: end,
		pods: map[types.UID]*pod{}, tombstones: map[types.UID]time.Time{}, asked: map[types.UID]time.Time{}}
}

// Close lets go of every pod and waits for their goroutines; containers go on
// running and the next start takes them over.
func (m *Manager) Close() {
	m.end(errShutdown)
	m.workers.Wait()
}

// newPod makes a pod that is admitted, of which nothing is on disk yet.
func (m *Manager) newPod(spec *v1.Pod) *pod {
	return m.podOf(&records.Record{Pod: spec, Stage: lifecycle.StageAdmitted, Since: time.Now(), Began: records.Now(), Network: !m.config.Network.Off,
		Runtime: podspec.RuntimeClassOf(spec, m.config.Node)})
}

// podOf makes the pod of a record, which does not run yet.
func (m *Manager) podOf(r *records.Record) *pod {
	spec := r.Pod
	m.claims.Use(string(spec.UID), volumes.ClaimFolders(spec))
	p := &pod{statuses: podstatus.New(spec), node: m.shared, spec: spec, admitted: make(chan struct{}), adopted: make(chan struct{}), located: make(chan struct{}),
		done: make(chan struct{}), released: make(chan struct{}), start: make(chan struct{})}
	p.logs = podlogs.New(m.config.Dir, spec, p.statuses, p.logsKept, p.engine, p.done)
	p.forget = func() { m.drop(p) }
	p.events = reporter{m.config.Observer}
	images := &containers.Images{Source: m.images, Spec: spec, Statuses: p.statuses, Observer: p.events}
	p.containers = &containers.Pod{Spec: spec, Node: m.config.Node, Statuses: p.statuses, Images: images, Accounts: &m.accounts, Owner: p, Observer: p.events,
		Runtime: r.Runtime.Runtime}
	if r.Network {
		p.network = joining.New(spec, m.config.Network, m.config.NetworkTimeout, p.events)
		r.Network = p.network != nil
	}
	p.containers.Cluster = p.network.Cluster()
	p.record = records.NewEntry(m.store, r, func() func(error) { _, done := p.events.Step(m.life, StepRecord); return done })
	return p
}

// start begins the pod's goroutine; its logger carries the pod's identity.
func (m *Manager) start(ctx context.Context, p *pod, seen lifecycle.Observation) {
	p.life = m.config.Observer.Pod(log.WithLogger(m.life, log.G(ctx).WithFields(fieldsOf(p.spec))), ctx, p.spec)
	if seen == lifecycle.SeenClaimed {
		p.events.Tell(p.life, EventCreated, "", nil)
	} else {
		p.events.Tell(p.life, EventAdopted, "", nil)
	}
	metered{p}.begin()
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
	m.claims.Forget(string(p.spec.UID), volumes.ClaimFolders(p.spec))
}

// resume makes the pod of a record, which does not run yet.
func (m *Manager) resume(r *records.Record) *pod {
	p := m.podOf(r)
	close(p.admitted)
	return p
}

// claimKeeper is the keeper of the folders of claims.
func claimKeeper(config Config) *persistent.Keeper {
	if !config.DeleteClaims {
		return &persistent.Keeper{}
	}
	return &persistent.Keeper{Root: config.Volumes.ClaimRoot}
}
