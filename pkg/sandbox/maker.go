package sandbox

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/engine"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/fault"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/initapi"
)

// MakerHost is what a Maker needs of the host's engine.
type MakerHost interface {
	watcherHost
	Create(context.Context, engine.Spec) (string, error)
	Start(context.Context, string) error
	// Accepts is nil unless the engine is being stopped or is away.
	Accepts(context.Context) error
	Inspect(context.Context, string) (engine.Container, error)
	List(ctx context.Context, labels ...string) ([]engine.Container, error)
	Logs(context.Context, string, engine.LogOptions, io.Writer) error
	Rename(ctx context.Context, id, name string) error
	Update(context.Context, string, engine.Bounds) error
}

// Maker makes sandboxes, and connects to those that are there. What it has made when a
// call fails stays until a Remover removes it.
type Maker struct {
	config   Config
	host     MakerHost
	networks *Networks
	watcher  *watcher
}

// NewMaker returns one that has made nothing yet. It calls gone, from a goroutine for
// each sandbox, when the container of a sandbox that it returned does not run any more;
// Close waits for these calls.
func NewMaker(config Config, host MakerHost, networks *Networks, gone func(*Sandbox)) *Maker {
	return &Maker{config: config, host: host, networks: networks, watcher: newWatcher(host, gone)}
}

// Close ends the watching of sandboxes; they go on running.
func (m *Maker) Close() { m.watcher.close() }

// Boot makes a sandbox and returns when its engine answers.
func (m *Maker) Boot(ctx context.Context, spec Spec) (*Sandbox, error) {
	bounded, cancel := context.WithTimeout(ctx, m.config.BootTimeout)
	defer cancel()
	id, err := m.make(ctx, spec, false)
	var s *Sandbox
	if err == nil {
		s, err = m.connect(bounded, spec.Name, id, spec.Holder)
	}
	if err != nil {
		return nil, fmt.Errorf("boot sandbox %s: %w", spec.Name, err)
	}
	fault.Point("sandbox.boot.ready")
	return s, nil
}

// make creates and starts the container. Its calls are not cancelled at once: an
// engine finishes what was asked of it, and what appears after the cleaning up
// would be left behind.
func (m *Maker) make(caller context.Context, s Spec, standby bool) (string, error) {
	ctx, cancel := linger(caller)
	defer cancel()
	if err := os.MkdirAll(podDir(m.config.Folder(s.Name)), 0o700); err != nil {
		return "", err
	}
	fault.Point("sandbox.boot.folder")
	labels := m.config.labels(s.Name, m.config.Generation(s.Hardware))
	spec := m.config.containerSpec(s, standby, labels)
	var network errgroup.Group
	if s.Holder != "" {
		spec.Network = networkOf(s.Holder)
		if err := m.networks.guarded(ctx, s.Name); err != nil {
			return "", err
		}
	} else {
		subnet, err := m.networks.reserve(s.Name)
		if err != nil {
			return "", err
		}
		network.Go(func() error { return m.networks.create(ctx, s.Name, subnet, labels) })
		if spec.Ports = s.Ports; len(s.Ports) == 0 {
			// It is connected later: its network is made while it is made and started.
			spec.Network = "none"
		} else if err := network.Wait(); err != nil {
			return "", err
		}
	}
	id, err := m.config.create(caller, m.host.Create, spec)
	fault.Point("sandbox.boot.created")
	if err == nil && caller.Err() == nil {
		err = m.host.Start(ctx, id)
		fault.Point("sandbox.boot.started")
	}
	err = errors.Join(err, network.Wait())
	if err == nil && standby {
		err = m.networks.join(ctx, s.Name, id)
	}
	return id, errors.Join(err, caller.Err())
}

// Connect returns the sandbox whose container runs, when its engine answers.
func (m *Maker) Connect(ctx context.Context, c engine.Container) (*Sandbox, error) {
	return m.connect(ctx, c.Labels[engine.LabelSandbox], c.ID, c.NetworkOf)
}

// readyPoll is how often the socket is tried while a sandbox boots; a refused
// connection costs microseconds.
const readyPoll = 10 * time.Millisecond

// connect waits until the engine of a started sandbox answers.
// holder is the container that has its network, "" if it has that itself.
func (m *Maker) connect(ctx context.Context, name, id, holder string) (_ *Sandbox, err error) {
	dir := m.config.Folder(name)
	inner, err := connectEngine(dir, m.config.Calls)
	if err != nil {
		return nil, err
	}
	s := &Sandbox{Name: name, ID: id, Dir: dir, Engine: inner, Init: initapi.NewClient(dir), holder: holder}
	s.running, s.end = context.WithCancel(context.Background())
	join, giveUp := context.WithCancel(ctx)
	var joining errgroup.Group
	unwatch := m.watcher.watch(s)
	defer func() {
		giveUp()
		if err != nil {
			unwatch()
			// The removal of the sandbox must not meet a call that is still under way for it.
			_ = joining.Wait() // err says why
			inner.Close()
		}
	}()
	var held engine.Container
	joining.Go(func() (err error) { held, err = m.join(join, name, id, holder); return err })
	if err := m.awaitEngine(ctx, s); err != nil {
		return nil, err
	}
	if err := joining.Wait(); err != nil {
		return nil, err
	}
	seen, err := m.host.Inspect(ctx, id)
	if err != nil {
		return nil, err
	}
	network := NetworkName(name)
	s.IP, s.Booted = cmp.Or(seen.IPs[network], held.IPs[network]), seen.Created
	s.Started, s.Stopped = seen.State.StartedAt, seen.State.FinishedAt
	s.Image, s.hostName = seen.ImageID, seen.Name
	s.bounds = seen.Bounds
	if m.config.StoreVolume != "" {
		s.Image = StoredName(seen.ImageID)
	}
	return s, nil
}

// connectEngine returns a client for the engine whose socket is in a folder.
func connectEngine(dir string, calls func(engine.Call)) (*engine.Client, error) {
	if calls == nil {
		return engine.Connect("unix://" + socketPath(dir))
	}
	return engine.Connect("unix://"+socketPath(dir), calls)
}

// awaitEngine returns when the engine of a sandbox answers.
func (m *Maker) awaitEngine(ctx context.Context, s *Sandbox) error {
	began := time.Now()
	// The socket is there before the engine, and a call waits at it until the engine is.
	asking, ended := context.WithCancel(ctx)
	defer ended()
	defer s.AfterGone(ended)()
	tick := time.NewTicker(readyPoll)
	defer tick.Stop()
	for s.Engine.Ping(asking) != nil {
		select {
		case <-ctx.Done():
			return fmt.Errorf("its engine did not answer within %s: %w%s", time.Since(began).Round(time.Second), ctx.Err(), m.lastWords(ctx, s.ID))
		case <-s.Gone():
			return fmt.Errorf("it ended while booting%s", m.lastWords(ctx, s.ID))
		case <-tick.C:
		}
	}
	return nil
}

// join gives a sandbox its network, unless a holder has it, which it then returns.
// That takes as long as the boot of its engine, and so both are done at once.
func (m *Maker) join(ctx context.Context, name, id, holder string) (held engine.Container, err error) {
	if holder != "" {
		return m.held(ctx, holder)
	}
	return held, m.networks.join(ctx, name, id)
}
