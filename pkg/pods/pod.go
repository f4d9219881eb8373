package pods

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"sync/atomic"

	"github.com/containerd/errdefs"
	v1 "k8s.io/api/core/v1"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/containers"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/engine"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/joining"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/lifecycle"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/podlogs"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/podstatus"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/pool"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/records"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/sandbox"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/usage"
)

// Why a pod's goroutine was told to stop.
var (
	errDeleted       = errors.New("the pod was deleted")
	errShutdown      = errors.New("docker-sd is shutting down")
	errSandboxExited = errors.New("the pod's sandbox stopped")
	errDeadline      = errors.New("the pod was active longer than its activeDeadlineSeconds")
)

// pod is one pod and the goroutine that owns its life.
type pod struct {
	statuses *podstatus.Statuses
	node     *shared
	// forget takes the pod out of the node's table, once nothing of it is left.
	forget func()
	spec   *v1.Pod
	// claim is nil as long as this run of docker-sd has claimed no sandbox for the pod.
	claim *pool.Claim
	// admitted is closed once the pod is on disk, or refused with admitErr.
	admitted chan struct{}
	admitErr error
	// adopted is closed once the containers of an earlier run have been looked up.
	adopted chan struct{}
	// located is closed once their logs can be read, too.
	located chan struct{}
	// cancel tells the goroutine why to stop; done is closed when it has.
	cancel context.CancelCauseFunc
	done   chan struct{}
	// life is the context of all that is done for the pod; a delete does not end it.
	life context.Context
	// running ends StepStart; it may be called more than once.
	running func(error)

	// logs are read from the sandbox, which stays while one reads, or from files.
	logs *podlogs.Logs
	// containers runs the pod's containers.
	containers *containers.Pod
	// events tells what becomes of the pod.
	events reporter
	// sandbox is set once the pod has been placed.
	sandbox atomic.Pointer[sandbox.Sandbox]
	// storage is what was measured last of the pod's disk usage, nil before that.
	storage atomic.Pointer[usage.Storage]

	// evict ends the pod while its containers are served, nil otherwise.
	evict atomic.Pointer[context.CancelCauseFunc]
	// released is closed once the pod has given up its sandbox, or docker-sd ends.
	released chan struct{}

	// start is closed when the first container runs, or the pod's start is over
	// otherwise.
	start   chan struct{}
	started sync.Once

	record *records.Entry
	// network is nil for a pod that joins none.
	network *joining.Joining
}

// settled tells the pool, and what waits for it here, that this pod's start is over.
func (p *pod) settled() {
	p.started.Do(func() { close(p.start) })
	if p.claim != nil {
		p.claim.Settled()
	}
}

// lookedUp lets the pod's status be told.
func (p *pod) lookedUp() {
	if !closed(p.adopted) {
		close(p.adopted)
	}
}

// locate lets the pod's logs be read as well. The status of a pod that has ended
// is known from its record, its logs may still be in a sandbox that is away.
func (p *pod) locate() {
	p.lookedUp()
	if !closed(p.located) {
		close(p.located)
	}
}

// Started ends StepStart with the first main container that runs, and lets what waits
// for the pod's start go on.
func (p *pod) Started(init bool) {
	if !init {
		p.running(nil)
	}
	p.settled()
}

// Inject adds the devices that a container of the pod holds to its spec.
func (p *pod) Inject(container string, imageEnv []string, spec *engine.Spec) error {
	return p.node.accelerators.Inject(p.record.Load().Devices, container, imageEnv, spec)
}

// FinishedBefore is how a container ended for good in a sandbox that was lost since: it
// does not run again only because the others do.
func (p *pod) FinishedBefore(container string) *v1.ContainerStateTerminated {
	for _, status := range p.record.Load().Ended {
		if status.Name == container {
			return status.State.Terminated
		}
	}
	return nil
}

var errNeverRan = errors.New("no main container ever ran")

// begin opens StepStart for a pod that is new.
func (p *pod) begin(ctx context.Context, seen lifecycle.Observation) context.Context {
	if seen != lifecycle.SeenClaimed {
		p.running = func(error) {}
		return ctx
	}
	ctx, done := p.events.Step(ctx, StepStart)
	var once sync.Once
	p.running = func(err error) { once.Do(func() { done(err) }) }
	return ctx
}

// engine of the pod's sandbox, which exists once an instance does.
func (p *pod) engine() (*engine.Client, error) {
	s := p.sandbox.Load()
	if s == nil {
		return nil, fmt.Errorf("the sandbox of pod %s is not there: %w", p.spec.UID, errdefs.ErrUnavailable)
	}
	return s.Engine, nil
}

// link is where operators look for a pod's files (protocol 8.1); the files are
// in the sandbox's folder, so that no sandbox sees another pod's.
func (p *pod) link() string {
	return filepath.Join(p.node.config.Dir, p.spec.Namespace+"-"+string(p.spec.UID))
}
