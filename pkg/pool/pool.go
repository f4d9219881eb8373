// Package pool keeps Docker-in-Docker sandboxes warm and hands each out once.
package pool

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/containerd/errdefs"
	"github.com/google/uuid"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/engine"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/fault"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/retry"
)

// nameSuffix of a sandbox's pool name (protocol 8.1).
const nameSuffix = "_dind"

// Host is what the pool needs of the host's engine.
type Host interface {
	Create(context.Context, engine.Spec) (string, error)
	CreateOnce(context.Context, engine.Spec) (string, error)
	Start(context.Context, string) error
	// Accepts is nil unless the engine is being stopped or is away.
	Accepts(context.Context) error
	Stop(ctx context.Context, id string, grace time.Duration) error
	Inspect(context.Context, string) (engine.Container, error)
	List(context.Context, ...string) ([]engine.Container, error)
	Logs(context.Context, string, engine.LogOptions, io.Writer) error
	Remove(context.Context, string) error
	Rename(context.Context, string, string) error
	Update(context.Context, string, engine.Bounds) error
	Wait(context.Context, string) (engine.State, error)
	CreateNetwork(context.Context, engine.NetworkSpec) error
	Join(ctx context.Context, network, id string) error
	RemoveNetwork(context.Context, string) error
	ListNetworks(context.Context, ...string) ([]engine.Network, error)
	UnusedVolumes(context.Context, ...string) ([]engine.Volume, error)
	RemoveVolume(context.Context, string) error
}

// Guard keeps what comes from sandboxes' networks from where it should not go.
type Guard interface {
	// Bridge names the host's interface of a sandbox's network.
	Bridge(sandbox string) string
	// Guarded is nil if a sandbox may use a network that was made with such an interface.
	Guarded(ctx context.Context, bridge string) error
}

// Config of a pool.
type Config struct {
	// Instance names this docker-sd; it labels all that the pool makes.
	Instance string
	// Dir holds one folder per sandbox.
	Dir string
	// Image of a sandbox: any image with dockerd.
	Image string
	// Init is the program that is the first process of a sandbox, on the host.
	Init string
	// RemoveFolder removes a sandbox's folder and all that pods put there.
	RemoveFolder func(context.Context, string) error `json:"-"`
	// FetchImage brings Image to the host's engine when it is not there.
	FetchImage func(context.Context) error `json:"-"`
	// Size is how many sandboxes wait ready (AVAILABLEDINDS).
	Size int
	// Standby is how many more are made but not started, for bursts.
	Standby int
	// Holders is how many networks are made ahead, for boots without a standby.
	Holders int
	// Parallel bounds how many boot at the same time.
	Parallel int
	// BootTimeout bounds one boot.
	BootTimeout time.Duration
	// StrayGrace is the age from which a sandbox that nobody knows is removed.
	StrayGrace time.Duration
	// StrayDryRun has strays named in the log and left alone.
	StrayDryRun bool
	// Privileged gives a sandbox every capability and device of the host.
	Privileged bool
	// Seccomp says that the host's engine can filter system calls, CgroupsV1 that the
	// host has control groups of version 1.
	Seccomp, CgroupsV1 bool
	// AppArmor is the profile of a sandbox without privileges; "" is none.
	AppArmor string
	// Store is the host engine's data root if its image layers are to be shared.
	Store string
	// StoreVolume is that of a Store if its image layers are to be shared instead.
	StoreVolume string
	// Subnets are the parents of the sandboxes' networks; none lets the engine choose.
	Subnets []netip.Prefix
	// Mounts are host paths that pods may use; a running sandbox gains none.
	Mounts []engine.Mount
	// Resources bound a whole sandbox.
	Resources engine.Resources
	// Observer is told what becomes of sandboxes; nil means nobody is.
	Observer Observer `json:"-"`
	// Guard of the sandboxes' networks; nil means that there is none.
	Guard Guard `json:"-"`
}

// Pool of sandboxes. Its mutex guards the fields below it and is never held
// while an engine is asked.
type Pool struct {
	config   Config
	host     Host
	subnets  *subnets
	slots    chan struct{}
	wake     chan struct{}
	watchers sync.WaitGroup
	// volumes is held while unused volumes are removed.
	volumes sync.Mutex
	life    context.Context
	end     context.CancelFunc

	mu sync.Mutex
	// hardware of the sandboxes that boot from now on, and the digest of all that
	// shapes them.
	hardware   Hardware
	generation string
	warm       []*Sandbox
	starting   int
	// standbys wait to be woken; preparing says that one is being made, or a holder, and
	// no other standby is before standbyAfter.
	standbys     []*standby
	preparing    bool
	standbyAfter time.Time
	// holders wait for a sandbox; no other is made before holderAfter.
	holders     []*holder
	holderAfter time.Time
	// known are the sandboxes that somebody answers for: being made, warm, or a
	// pod's. Whatever else carries our label is a stray. Those with false are
	// retired: only their folder is kept.
	known map[string]bool
	// strays are those that were seen, since when.
	strays map[string]time.Time
	// condemned are those that could not be destroyed when they were to be.
	condemned map[string]bool
	// spared are strays that a dry run has told of.
	spared map[string]bool
	// claiming counts claims whose sandbox is not there yet; they go before refills.
	claiming int
	// waiting are claims that have no sandbox yet, first come first served.
	waiting []chan *Sandbox
	lastErr error
	// epoch counts changes of the host's images; a sandbox sees those that were
	// there when it booted.
	epoch int
	// unsettled counts pods that are starting in a sandbox from the pool; no
	// replacement is booted meanwhile, until quiet at the latest.
	unsettled int
	quiet     time.Time
}

// New makes a pool that does nothing until Restore and Run.
func New(config Config, host Host) *Pool {
	if config.Observer == nil {
		config.Observer = unobserved{}
	}
	life, end := context.WithCancel(context.Background())
	return &Pool{
		config: config, generation: generation(config, Hardware{}), host: host, subnets: newSubnets(config.Subnets),
		slots: make(chan struct{}, max(config.Parallel, 1)),
		wake:  make(chan struct{}, 1), life: life, end: end, known: map[string]bool{}, strays: map[string]time.Time{}, spared: map[string]bool{},
		condemned: map[string]bool{},
	}
}

// generation is a digest of all that shapes a sandbox.
func generation(c Config, h Hardware) string {
	c.Size, c.Standby, c.Holders, c.Parallel, c.BootTimeout, c.StrayGrace, c.StrayDryRun = 0, 0, 0, 0, 0, 0, false
	// Where an address comes from makes it no other sandbox, and the default range
	// may be another one at each start.
	c.Subnets = nil
	shape, err := json.Marshal([]any{c, h, engineFlags, Capabilities})
	if err != nil {
		panic(err) // plain structs of strings and numbers
	}
	sum := sha256.Sum256(shape)
	return hex.EncodeToString(sum[:8])
}

// Stats is a moment's view of the pool.
type Stats struct {
	Size, Warm, Starting, Waiting, Standby, Holders int
	// Claiming counts pods whose sandbox is being booted for them, or waits for its turn.
	Claiming int
	// LastError is the last failed boot's, nil after one that succeeded.
	LastError error
}

// Stats returns how many sandboxes are in which state.
func (p *Pool) Stats() Stats {
	p.mu.Lock()
	defer p.mu.Unlock()
	return Stats{Size: p.config.Size, Warm: len(p.warm), Starting: p.starting, Waiting: len(p.waiting),
		Standby: len(p.standbys), Holders: len(p.holders), Claiming: p.claiming, LastError: p.lastErr}
}

// Warm lists the sandboxes that wait for a pod.
func (p *Pool) Warm() []*Sandbox {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.warm)
}

// Run keeps the pool full until ctx ends and returns when every boot that it
// began has ended. Sandboxes stay as they are.
func (p *Pool) Run(ctx context.Context) {
	var refills sync.WaitGroup
	defer refills.Wait()
	refills.Go(func() { p.sweepEvery(ctx) })
	tries := retry.New(time.Second, 30*time.Second)
	for {
		for range p.startRefills() {
			refills.Go(func() { p.refill(ctx) })
		}
		if p.startStandby() {
			refills.Go(func() { p.prepare(ctx) })
		}
		if p.startHolder() {
			refills.Go(func() { p.prepareHolder(ctx) })
		}
		if p.Stats().LastError == nil {
			tries.Succeeded(ctx, "sandboxes can be made again")
		}
		select {
		case <-ctx.Done():
			return
		case <-p.wake:
		case <-time.After(p.untilQuiet()):
		}
		if err := p.Stats().LastError; err != nil && tries.Failed(ctx, "a sandbox could not be made, trying again", err) != nil {
			return
		}
	}
}

func newName() string { return uuid.NewString() + nameSuffix }

func (p *Pool) count(n *int, by int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	*n += by
}

// Assign gives a sandbox's container its pod's name (protocol 8.1), for people
// who look at the host engine. A sandbox that has it already keeps it.
func (p *Pool) Assign(ctx context.Context, s *Sandbox, podUID string) error {
	if s.hostName == AssignedName(podUID) {
		return nil
	}
	return p.host.Rename(ctx, s.ID, AssignedName(podUID))
}

// AssignedName is the name of the sandbox container of a pod (protocol 8.1).
func AssignedName(podUID string) string { return podUID + nameSuffix }

// Named returns the sandbox whose container Assign gave a pod's name, "" if there
// is none.
func (p *Pool) Named(ctx context.Context, podUID string) (string, error) {
	found, err := p.host.List(ctx, engine.LabelInstance+"="+p.config.Instance, engine.LabelSandbox)
	if err != nil {
		return "", fmt.Errorf("find the sandbox of pod %s: %w", podUID, err)
	}
	for _, c := range found {
		if c.Name == AssignedName(podUID) {
			return c.Labels[engine.LabelSandbox], nil
		}
	}
	return "", nil
}

// Destroy removes a sandbox's containers, network and folder, whichever of them
// exist. It may be repeated.
func (p *Pool) Destroy(ctx context.Context, name string) error {
	if !IsName(name) {
		// Its folder would be that of all sandboxes.
		return fmt.Errorf("destroy sandbox %q: %w", name, errdefs.ErrInvalidArgument)
	}
	err := p.Retire(ctx, name)
	if err == nil {
		if err = p.config.RemoveFolder(ctx, p.folder(name)); err != nil {
			err = fmt.Errorf("destroy sandbox %s: %w", name, err)
		}
	}
	if err == nil {
		fault.Point("pool.destroy.folder")
	}
	// Whoever fails to destroy it need not come back: the sweep does.
	p.disown(name, err != nil)
	return err
}

// Retire removes a sandbox's containers and network and keeps its folder, where
// the volumes of its ended pod are. It may be repeated; what it fails to remove,
// the sweep takes.
func (p *Pool) Retire(ctx context.Context, name string) error {
	p.mu.Lock()
	if p.known[name] {
		p.known[name] = false
	}
	p.mu.Unlock()
	return p.dismantle(ctx, name)
}

// clear removes what a crash has left of a sandbox that is made once more under its
// name. The name stays known: until there is something of the new one, and while there
// is something of both, nobody else may take it for a stray.
func (p *Pool) clear(ctx context.Context, name string) error {
	if !IsName(name) {
		// Its folder would be that of all sandboxes.
		return fmt.Errorf("clear sandbox %q: %w", name, errdefs.ErrInvalidArgument)
	}
	p.know(name)
	if err := p.dismantle(ctx, name); err != nil {
		return err
	}
	if err := p.config.RemoveFolder(ctx, p.folder(name)); err != nil {
		return fmt.Errorf("clear sandbox %s: %w", name, err)
	}
	return nil
}

// dismantle removes a sandbox's container and network.
func (p *Pool) dismantle(ctx context.Context, name string) error {
	var problems []error
	found, err := p.host.List(ctx, engine.LabelInstance+"="+p.config.Instance, engine.LabelSandbox+"="+name)
	problems = append(problems, err)
	// What holds its network goes after what is in it.
	holders, others := divide(found)
	for _, container := range others {
		problems = append(problems, p.host.Remove(ctx, container.ID))
	}
	fault.Point("pool.retire.sandbox")
	for _, container := range holders {
		problems = append(problems, p.host.Remove(ctx, container.ID))
	}
	if err := errors.Join(problems...); err != nil {
		// Its files and network are in use until the container is gone.
		return fmt.Errorf("remove sandbox %s: %w", name, err)
	}
	fault.Point("pool.retire.container")
	if len(found) > 0 {
		// What this cannot remove the sweep tries again, and tells of.
		_ = p.sweepVolumes(ctx)
	}
	// By id: an engine that was asked twice, once before a crash and once after,
	// may have made two networks of one name.
	networks, err := p.host.ListNetworks(ctx, engine.LabelInstance+"="+p.config.Instance, engine.LabelSandbox+"="+name)
	problems = append(problems, err)
	for _, network := range networks {
		problems = append(problems, p.host.RemoveNetwork(ctx, network.ID))
	}
	if err := errors.Join(problems...); err != nil {
		return fmt.Errorf("remove sandbox %s: %w", name, err)
	}
	fault.Point("pool.retire.network")
	p.subnets.give(name)
	return nil
}

func (p *Pool) disown(name string, again bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.known, name)
	if delete(p.condemned, name); again {
		p.condemned[name] = true
	}
}

// know notes that somebody answers for a sandbox.
func (p *Pool) know(name string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.known[name] = true
	delete(p.condemned, name)
}

// Close ends the watching of sandboxes; they go on running.
func (p *Pool) Close() {
	p.end()
	p.watchers.Wait()
}

// IsName says whether a text can be a sandbox's name.
func IsName(name string) bool {
	id, found := strings.CutSuffix(name, nameSuffix)
	return found && uuid.Validate(id) == nil
}
