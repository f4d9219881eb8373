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

	"github.com/cenkalti/backoff/v5"
	"github.com/containerd/containerd/log"
	"github.com/google/uuid"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/engine"
)

// nameSuffix of a sandbox's pool name (contract 8.1).
const nameSuffix = "_dind"

// Host is what the pool needs of the host's engine.
type Host interface {
	Create(context.Context, engine.Spec) (string, error)
	Start(context.Context, string) error
	Inspect(context.Context, string) (engine.Container, error)
	List(context.Context, ...string) ([]engine.Container, error)
	Logs(context.Context, string, engine.LogOptions, io.Writer) error
	Remove(context.Context, string) error
	Rename(context.Context, string, string) error
	Wait(context.Context, string) (engine.State, error)
	CreateNetwork(ctx context.Context, name, subnet string, labels map[string]string) error
	RemoveNetwork(context.Context, string) error
	ListNetworks(context.Context, ...string) ([]engine.Network, error)
}

// Config of a pool.
type Config struct {
	// Instance names this docker-sd; it labels all that the pool makes.
	Instance string
	// Dir holds one folder per sandbox.
	Dir string
	// Image of a sandbox: any image with a shell and dockerd.
	Image string
	// RemoveFolder removes a sandbox's folder and all that pods put there.
	RemoveFolder func(string) error `json:"-"`
	// FetchImage brings Image to the host's engine when it is not there.
	FetchImage func(context.Context) error `json:"-"`
	// Size is how many sandboxes wait ready (AVAILABLEDINDS).
	Size int
	// Parallel bounds how many boot at the same time.
	Parallel int
	// BootTimeout bounds one boot.
	BootTimeout time.Duration
	// StrayGrace is the age from which a sandbox that nobody knows is removed.
	StrayGrace time.Duration
	// Privileged gives a sandbox every capability and device of the host.
	Privileged bool
	// Runtime is the host engine's container runtime, "" for its default.
	Runtime string
	// Store is the host engine's data root if its image layers are to be shared.
	Store string
	// Subnets are the parents of the sandboxes' networks; none lets the engine choose.
	Subnets []netip.Prefix
	// Mounts are host paths that pods may use; a running sandbox gains none.
	Mounts []engine.Mount
	// Devices that pods may use, for the same reason.
	Devices []engine.Device
	// Resources bound a whole sandbox.
	Resources engine.Resources
}

// Pool of sandboxes. Its mutex guards the fields below it and is never held
// while an engine is asked.
type Pool struct {
	config     Config
	generation string
	host       Host
	subnets    *subnets
	slots      chan struct{}
	wake       chan struct{}
	watchers   sync.WaitGroup
	life       context.Context
	end        context.CancelFunc

	mu       sync.Mutex
	warm     []*Sandbox
	starting int
	// known are the sandboxes that somebody answers for: being made, warm, or a
	// pod's. Whatever else carries our label is a stray.
	known map[string]bool
	// waiting are claims that have no sandbox yet, first come first served.
	waiting []chan *Sandbox
	lastErr error
	// unsettled counts pods that are starting in a sandbox from the pool; no
	// replacement is booted meanwhile, until quiet at the latest.
	unsettled int
	quiet     time.Time
}

// New makes a pool that does nothing until Restore and Run.
func New(config Config, host Host) *Pool {
	life, end := context.WithCancel(context.Background())
	return &Pool{
		config: config, generation: generation(config), host: host, subnets: newSubnets(config.Subnets),
		slots: make(chan struct{}, max(config.Parallel, 1)),
		wake:  make(chan struct{}, 1), life: life, end: end, known: map[string]bool{},
	}
}

// generation is a digest of all that shapes a sandbox.
func generation(c Config) string {
	c.Size, c.Parallel, c.BootTimeout, c.StrayGrace = 0, 0, 0, 0
	shape, err := json.Marshal([]any{c, bootScript, engineFlags, Capabilities})
	if err != nil {
		panic(err) // plain structs of strings and numbers
	}
	sum := sha256.Sum256(shape)
	return hex.EncodeToString(sum[:8])
}

// Stats is a moment's view of the pool.
type Stats struct {
	Size, Warm, Starting, Waiting int
	// LastError is the last failed boot's, nil after one that succeeded.
	LastError error
}

// Stats returns how many sandboxes are in which state.
func (p *Pool) Stats() Stats {
	p.mu.Lock()
	defer p.mu.Unlock()
	return Stats{Size: p.config.Size, Warm: len(p.warm), Starting: p.starting, Waiting: len(p.waiting), LastError: p.lastErr}
}

// Run keeps the pool full until ctx ends and returns when every boot that it
// began has ended. Sandboxes stay as they are.
func (p *Pool) Run(ctx context.Context) {
	var refills sync.WaitGroup
	defer refills.Wait()
	refills.Go(func() { p.sweepEvery(ctx) })
	delays := backoff.NewExponentialBackOff()
	delays.InitialInterval, delays.MaxInterval = time.Second, time.Minute
	for {
		for range p.startRefills() {
			refills.Go(func() { p.refill(ctx) })
		}
		if p.Stats().LastError == nil {
			delays.Reset()
		}
		select {
		case <-ctx.Done():
			return
		case <-p.wake:
		case <-time.After(p.untilQuiet()):
		}
		if p.Stats().LastError != nil {
			select {
			case <-ctx.Done():
				return
			case <-time.After(delays.NextBackOff()):
			}
		}
	}
}

// startRefills counts how many boots are missing and books them. Creates that
// wait for their own sandbox go first.
func (p *Pool) startRefills() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.waiting) > 0 || p.unsettled > 0 && time.Now().Before(p.quiet) {
		return 0
	}
	missing := max(p.config.Size-len(p.warm)-p.starting, 0)
	if missing == 0 && p.starting == 0 {
		p.lastErr = nil
	}
	if p.lastErr != nil {
		missing = min(missing, 1)
	}
	p.starting += missing
	return missing
}

func (p *Pool) refill(ctx context.Context) {
	defer p.signal()
	select {
	case p.slots <- struct{}{}:
	case <-ctx.Done():
		p.count(&p.starting, -1)
		return
	}
	s, err := p.bootNoted(ctx, newName(), nil)
	if err == nil && p.Stats().Waiting == 0 {
		if err := s.prime(ctx); err != nil {
			log.G(ctx).WithField("sandbox", s.Name).WithError(err).Debug("sandbox not primed, its first container will start slower")
		}
	}
	<-p.slots
	if err != nil {
		p.count(&p.starting, -1)
		if ctx.Err() == nil {
			log.G(ctx).WithError(err).Error("a warm sandbox could not be made")
		}
		return
	}
	p.mu.Lock()
	p.starting--
	if len(p.waiting) > 0 {
		p.waiting[0] <- s
		p.waiting = p.waiting[1:]
		p.mu.Unlock()
		return
	}
	p.warm = append(p.warm, s)
	p.mu.Unlock()
	log.G(ctx).WithField("sandbox", s.Name).Debug("sandbox warm")
	// It may have died between its first answer and its entry in the list.
	select {
	case <-s.gone:
		p.lost(s)
	default:
	}
}

// bootNoted boots and remembers how that went. The caller holds a slot.
func (p *Pool) bootNoted(ctx context.Context, name string, ports []engine.Port) (*Sandbox, error) {
	s, err := p.boot(ctx, name, ports)
	p.mu.Lock()
	if ctx.Err() == nil {
		p.lastErr = err
	}
	p.mu.Unlock()
	return s, err
}

func (p *Pool) signal() {
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// lost drops a warm sandbox that died and has it replaced. One that a pod holds
// is the pod's business.
func (p *Pool) lost(s *Sandbox) {
	p.mu.Lock()
	at := slices.Index(p.warm, s)
	if at >= 0 {
		p.warm = slices.Delete(p.warm, at, at+1)
	}
	p.mu.Unlock()
	if at < 0 {
		return
	}
	log.L.WithField("sandbox", s.Name).Warn("a warm sandbox died, it is replaced")
	ctx, cancel := context.WithTimeout(p.life, time.Minute)
	defer cancel()
	if err := p.Destroy(ctx, s.Name); err != nil {
		log.L.WithField("sandbox", s.Name).WithError(err).Warn("a dead sandbox could not be removed")
	}
	p.signal()
}

func newName() string { return uuid.NewString() + nameSuffix }

// Claim is one sandbox for one pod: taken warm, or still to be booted.
type Claim struct {
	// Name of the sandbox, known before it exists.
	Name string

	pool    *Pool
	warm    *Sandbox
	ports   []engine.Port
	again   bool
	settled sync.Once
}

// Reserve takes a warm sandbox, or names the one that Claim.Sandbox will boot.
// It never blocks, and no two claims get the same sandbox. One that publishes
// ports on the host has to be booted with them.
func (p *Pool) Reserve(ports []engine.Port) *Claim {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.warm) == 0 || len(ports) > 0 {
		return &Claim{Name: newName(), pool: p, ports: ports}
	}
	s := p.warm[0]
	p.warm = p.warm[1:]
	p.unsettled++
	p.quiet = time.Now().Add(quietPeriod)
	p.signal()
	return &Claim{Name: s.Name, pool: p, warm: s}
}

// quietPeriod bounds how long the boot of a replacement waits for a pod that is
// starting. The two at once share the machine's cores, and the pod's user is the
// one who waits: on two cores it doubled the time to running.
const quietPeriod = time.Second

// Settled says that the pod has started, or never will: the sandbox that it took
// may be replaced. It may be called more than once.
func (c *Claim) Settled() {
	if c.warm == nil {
		return
	}
	c.settled.Do(func() {
		c.pool.count(&c.pool.unsettled, -1)
		c.pool.signal()
	})
}

// untilQuiet is how long Run may sleep.
func (p *Pool) untilQuiet() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	if wait := time.Until(p.quiet); p.unsettled > 0 && wait > 0 {
		return wait
	}
	return time.Hour
}

// Rebook names the sandbox of an earlier run that died before it existed.
func (p *Pool) Rebook(name string, ports []engine.Port) *Claim {
	return &Claim{Name: name, pool: p, ports: ports, again: true}
}

// Warm says whether the sandbox existed when it was claimed.
func (c *Claim) Warm() bool { return c.warm != nil }

// Sandbox returns the claimed sandbox. If it was not warm, it is booted, unless
// one that was being made for the pool is ready first, which then has a name of
// its own. One that died in the meantime is returned all the same; see Gone.
func (c *Claim) Sandbox(ctx context.Context) (*Sandbox, error) {
	if c.warm != nil {
		return c.warm, nil
	}
	p := c.pool
	if c.again {
		// A boot that a crash cut short may have left any part of it.
		if err := p.Destroy(ctx, c.Name); err != nil {
			return nil, err
		}
	}
	defer p.signal()
	handed := make(chan *Sandbox, 1)
	if len(c.ports) == 0 {
		p.mu.Lock()
		p.waiting = append(p.waiting, handed)
		p.mu.Unlock()
	}
	select {
	case s := <-handed:
		return s, nil
	case p.slots <- struct{}{}:
		defer func() { <-p.slots }()
	case <-ctx.Done():
	}
	if s := p.withdraw(handed); s != nil {
		return s, nil
	}
	if ctx.Err() != nil {
		return nil, fmt.Errorf("wait for a turn to boot sandbox %s: %w", c.Name, ctx.Err())
	}
	return p.bootNoted(ctx, c.Name, c.ports)
}

// withdraw ends a claim's waiting; it returns the sandbox that it was handed at
// the last moment, if any.
func (p *Pool) withdraw(handed chan *Sandbox) *Sandbox {
	p.mu.Lock()
	defer p.mu.Unlock()
	if at := slices.Index(p.waiting, handed); at >= 0 {
		p.waiting = slices.Delete(p.waiting, at, at+1)
	}
	select {
	case s := <-handed:
		return s
	default:
		return nil
	}
}

func (p *Pool) count(n *int, by int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	*n += by
}

// Assign gives a sandbox's container its pod's name (contract 8.1), for people
// who look at the host engine.
func (p *Pool) Assign(ctx context.Context, s *Sandbox, podUID string) error {
	return p.host.Rename(ctx, s.ID, AssignedName(podUID))
}

// AssignedName is the name of the sandbox container of a pod (contract 8.1).
func AssignedName(podUID string) string { return podUID + nameSuffix }

// Destroy removes a sandbox's container, network and folder, whichever of them
// exist. It may be repeated.
func (p *Pool) Destroy(ctx context.Context, name string) error {
	var problems []error
	found, err := p.host.List(ctx, engine.LabelInstance+"="+p.config.Instance, engine.LabelSandbox+"="+name)
	problems = append(problems, err)
	for _, container := range found {
		problems = append(problems, p.host.Remove(ctx, container.ID))
	}
	// Whoever fails to destroy it need not come back: the sweep takes strays.
	defer p.disown(name)
	if err := errors.Join(problems...); err != nil {
		// Its files and network are in use until the container is gone.
		return fmt.Errorf("destroy sandbox %s: %w", name, err)
	}
	if err := p.host.RemoveNetwork(ctx, NetworkName(name)); err != nil {
		problems = append(problems, err)
	} else {
		p.subnets.give(name)
	}
	problems = append(problems, p.config.RemoveFolder(p.folder(name)))
	if err := errors.Join(problems...); err != nil {
		return fmt.Errorf("destroy sandbox %s: %w", name, err)
	}
	return nil
}

// Return puts a claimed sandbox back that nothing was done with.
func (p *Pool) Return(c *Claim) {
	c.Settled()
	if c.warm == nil {
		return
	}
	p.mu.Lock()
	p.warm = append(p.warm, c.warm)
	p.mu.Unlock()
	select {
	case <-c.warm.gone:
		p.lost(c.warm)
	default:
	}
}

func (p *Pool) disown(name string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.known, name)
}

// know notes that somebody answers for a sandbox.
func (p *Pool) know(name string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.known[name] = true
}

// Close ends the watching of sandboxes; they go on running.
func (p *Pool) Close() {
	p.end()
	p.watchers.Wait()
}

func isPoolName(name string) bool {
	id, found := strings.CutSuffix(name, nameSuffix)
	return found && uuid.Validate(id) == nil
}
