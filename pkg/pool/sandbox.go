package pool

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/containerd/containerd/log"
	"github.com/containerd/errdefs"
	"golang.org/x/sync/errgroup"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/engine"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/fault"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/initapi"
)

// Capabilities are what a sandbox holds unless it is made privileged: what a
// Docker engine needs to run containers with host networking, and what pods may
// ask for. Loading modules, raw I/O, rebooting, setting the clock and raising
// resource limits are not among them.
var Capabilities = []string{
	"AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "IPC_LOCK", "IPC_OWNER",
	"KILL", "LEASE", "MKNOD", "NET_ADMIN", "NET_BIND_SERVICE", "NET_RAW", "SETFCAP", "SETGID",
	"SETPCAP", "SETUID", "SYS_ADMIN", "SYS_CHROOT", "SYS_NICE", "SYS_PTRACE",
}

// engineFlags make the inner engine small and quick: no bridge and no packet
// rules, because a pod's containers share the sandbox's own network; overlay2,
// because that is the layout in which layers are shared; and containers that
// outlive a crash of their engine.
var engineFlags = []string{
	"--bridge=none", "--iptables=false", "--ip6tables=false", "--ip-forward=false",
	"--storage-driver=overlay2", "--live-restore", "--exec-opt=native.cgroupdriver=cgroupfs", "--log-level=warn",
}

// Sandbox is one Docker-in-Docker container with its own network: the place of
// one pod. It is used once.
type Sandbox struct {
	// Name is the pool name, <uuid>_dind (protocol 8.1). It stays the sandbox's
	// identity in labels and records after the container was renamed for a pod.
	Name string
	// ID is the container's id on the host engine.
	ID string
	// IP is the sandbox's address on its network, which is the pod's address.
	IP string
	// Dir is this sandbox's folder on the host, at the same path inside.
	Dir string
	// Booted is when the sandbox's container was made, Started when it was started
	// last, and Stopped when it stopped before that, zero if it never did. All that ran in
	// it before Started has ended.
	Booted, Started, Stopped time.Time
	// Engine is the engine inside, Init the first process.
	Engine *engine.Client
	Init   *initapi.Client
	// Image that it was made from, by the name that it has inside where layers are
	// shared.
	Image string
	// epoch of the host's images that it was booted with.
	epoch int
	// generation is the digest of all else that it was booted with.
	generation string
	// bounds that its container has.
	bounds engine.Bounds
	// hostName of the container when it was found: the pool name or a pod's.
	hostName string

	// running ends, by a call of end, when the container does not run any more.
	running context.Context
	end     context.CancelFunc
	// holder is the container that has its network, "" if it has that itself.
	holder string
}

// Gone is closed when the sandbox's container does not run any more, which nobody
// watches of one that no pool made.
func (s *Sandbox) Gone() <-chan struct{} {
	if s.running == nil {
		return nil
	}
	return s.running.Done()
}

// AfterGone calls f, which must not block, once the sandbox is gone, unless stop is
// called before. Unlike a goroutine that waits for Gone it costs no stack till then.
func (s *Sandbox) AfterGone(f func()) (stop func() bool) { return context.AfterFunc(s.running, f) }

// PodDir is the folder for the pod's volumes, at the same path inside.
func (s *Sandbox) PodDir() string { return podDir(s.Dir) }

func podDir(dir string) string { return filepath.Join(dir, "pod") }

// EngineStarted is when the sandbox's engine was started last, which its init notes at
// the socket.
func (s *Sandbox) EngineStarted() (time.Time, error) {
	info, err := os.Stat(socketPath(s.Dir))
	if err != nil {
		return time.Time{}, err
	}
	return info.ModTime(), nil
}

// NetworkName of a sandbox (protocol 8.1).
func NetworkName(sandbox string) string { return sandbox + "_network" }

// folder is short because a socket's path below it may have 107 bytes.
func (p *Pool) folder(name string) string {
	key := strings.ReplaceAll(strings.TrimSuffix(name, nameSuffix), "-", "")
	return filepath.Join(p.config.Dir, key[:min(len(key), 16)])
}

func socketPath(dir string) string { return filepath.Join(dir, initapi.EngineSocket) }

// boot makes a sandbox, from a standby or with a holder if there is one, which has a
// name of its own, and returns when its engine answers. What a failed boot made is removed
// again.
func (p *Pool) boot(ctx context.Context, m making) (*Sandbox, error) {
	for len(m.ports) == 0 {
		from := p.takeStandby()
		if from == nil {
			break
		}
		s, err := p.rouse(ctx, from, m.anew)
		if err == nil || ctx.Err() != nil {
			return s, err
		}
		log.G(ctx).WithField("sandbox", from.name).WithError(err).Warn("a standby sandbox could not be woken, another one is made")
	}
	if len(m.ports) == 0 {
		if from := p.takeHolder(ctx); from != nil {
			m.name, m.holder = from.name, from.id
		}
	}
	m.shape = p.currentShape()
	return p.bootShaped(ctx, m)
}

// making is what a sandbox's container is made from.
type making struct {
	name  string
	ports []engine.Port
	// holder is the container that has the sandbox's network, "" if there is none yet.
	holder string
	shape  shape
	// standby leaves its engine for later.
	standby bool
	// anew wants the host's images as they are now: the pool may not have heard of
	// the last one yet.
	anew bool
}

func (p *Pool) bootShaped(ctx context.Context, m making) (*Sandbox, error) {
	bounded, cancel := context.WithTimeout(ctx, p.config.BootTimeout)
	defer cancel()
	name, shape := m.name, m.shape
	id, err := p.make(ctx, m)
	var s *Sandbox
	if err == nil {
		s, err = p.connect(bounded, name, id, m.holder)
	}
	if err == nil {
		fault.Point("pool.boot.ready")
		s.epoch, s.generation = shape.epoch, shape.generation
		return s, nil
	}
	clean, cancelClean := context.WithTimeout(context.WithoutCancel(ctx), cleanTimeout)
	defer cancelClean()
	return nil, errors.Join(fmt.Errorf("boot sandbox %s: %w", name, err), p.Destroy(clean, name))
}

// cleanTimeout bounds the removal of what a failed boot made. The sweep takes
// what an engine that hangs leaves.
const cleanTimeout = 20 * time.Second

// lingerPeriod is how long a call goes on whose caller has left. It bounds how
// long an engine that hangs holds up the end of docker-sd.
const lingerPeriod = 10 * time.Second

// linger derives a context that ends lingerPeriod after its parent.
func linger(parent context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(parent))
	stop := context.AfterFunc(parent, func() {
		timer := time.NewTimer(lingerPeriod)
		defer timer.Stop()
		select {
		case <-timer.C:
			cancel()
		case <-ctx.Done():
		}
	})
	return ctx, func() { stop(); cancel() }
}

// make creates and starts the container. Its calls are not cancelled at once: an
// engine finishes what was asked of it, and what appears after the cleaning up
// would be left behind.
func (p *Pool) make(ctx context.Context, m making) (string, error) {
	name, shape := m.name, m.shape
	caller := ctx
	ctx, cancel := linger(ctx)
	defer cancel()
	p.know(name)
	dir := p.folder(name)
	if err := os.MkdirAll(podDir(dir), 0o700); err != nil {
		return "", err
	}
	fault.Point("pool.boot.folder")
	labels := p.labels(name, shape.generation)
	spec := p.spec(m, dir, labels)
	var network errgroup.Group
	if m.holder != "" {
		spec.Network = networkOf(m.holder)
		if err := p.guarded(ctx, p.bridge(name)); err != nil {
			return "", err
		}
	} else {
		subnet, err := p.subnets.take(name)
		if err != nil {
			return "", err
		}
		network.Go(func() error { return p.makeNetwork(ctx, name, subnet, labels) })
		if spec.Ports = m.ports; len(m.ports) == 0 {
			// It is connected later: its network is made while it is made and started.
			spec.Network = "none"
		} else if err := network.Wait(); err != nil {
			return "", err
		}
	}
	if m.standby {
		spec.Name = standbyName(name)
	}
	shape.hardware.apply(&spec)
	id, err := p.config.create(caller, p.host.Create, spec)
	fault.Point("pool.boot.created")
	if err == nil && caller.Err() == nil {
		err = p.host.Start(ctx, id)
		fault.Point("pool.boot.started")
	}
	err = errors.Join(err, network.Wait())
	if err == nil && m.standby {
		_, err = p.join(ctx, name, id, "")
	}
	return id, errors.Join(err, caller.Err())
}

// create makes the container, fetching its image when the host has none.
func (c Config) create(ctx context.Context, create func(context.Context, engine.Spec) (string, error), spec engine.Spec) (string, error) {
	lingering, cancel := linger(ctx)
	defer cancel()
	id, err := create(lingering, spec)
	if errdefs.IsNotFound(err) && c.FetchImage != nil {
		if err := c.FetchImage(ctx); err != nil {
			return "", fmt.Errorf("the sandbox image %s is missing: set SandboxImage to one that this host has or can pull: %w", spec.Image, err)
		}
		id, err = create(lingering, spec)
	}
	return id, err
}

// engineSpec is a container that runs an engine, with its socket in dir.
func (c Config) engineSpec(name, dir string, command []string, labels map[string]string) engine.Spec {
	spec := engine.Spec{
		Name:                   name,
		Image:                  c.Image,
		Entrypoint:             command,
		Labels:                 labels,
		Privileged:             c.Privileged,
		PrivateCgroupNamespace: true,
		Resources:              c.Resources,
		Log:                    engine.LogLimits{MaxBytes: 1 << 20, MaxFiles: 1},
		Mounts: []engine.Mount{{Source: c.Init, Target: initapi.ProgramPath, ReadOnly: true},
			{Source: dir, Target: initapi.FolderPath}},
	}
	if !c.Privileged {
		spec.CapAdd, spec.CapDrop = Capabilities, []string{"ALL"}
		spec.SecurityOpt = c.confinement()
	}
	return spec
}

// spec of a sandbox's container.
func (p *Pool) spec(m making, dir string, labels map[string]string) engine.Spec {
	c := p.config
	command := initapi.BootCommand(c.Store != "" || c.StoreVolume != "", m.standby, engineFlags...)
	spec := c.engineSpec(m.name, dir, command, labels)
	spec.Network = NetworkName(m.name)
	spec.Mounts = append(spec.Mounts, engine.Mount{Source: podDir(dir), Target: podDir(dir)},
		engine.Mount{Target: initapi.DataPath, Volume: true, Instance: c.Instance})
	switch {
	case c.StoreVolume != "":
		spec.Mounts = append(spec.Mounts, engine.Mount{Source: c.StoreVolume, Target: initapi.StorePath, Volume: true, ReadOnly: true,
			Instance: c.Instance})
	case c.Store != "":
		for _, part := range []string{"overlay2", "image"} {
			// Not recursive: below overlay2 the roots of running containers are mounted.
			spec.Mounts = append(spec.Mounts, engine.Mount{Source: filepath.Join(c.Store, part),
				Target: filepath.Join(initapi.StorePath, part), ReadOnly: true, NonRecursive: true})
		}
	}
	spec.Mounts = append(spec.Mounts, c.Mounts...)
	return spec
}

// readyPoll is how often the socket is tried while a sandbox boots; a refused
// connection costs microseconds.
const readyPoll = 10 * time.Millisecond

// connect waits until the engine of a started sandbox answers.
// holder is the container that has its network, "" if it has that itself.
func (p *Pool) connect(ctx context.Context, name, id, holder string) (_ *Sandbox, err error) {
	dir := p.folder(name)
	inner, err := engine.Connect("unix://"+socketPath(dir), p.config.Observer.Call)
	if err != nil {
		return nil, err
	}
	s := &Sandbox{Name: name, ID: id, Dir: dir, Engine: inner, Init: initapi.NewClient(dir), holder: holder}
	s.running, s.end = context.WithCancel(context.Background())
	watch, stop := context.WithCancel(p.life)
	join, giveUp := context.WithCancel(ctx)
	var joining errgroup.Group
	defer func() {
		giveUp()
		if err != nil {
			stop()
			// Who removes the sandbox must not meet a call that is still under way for it.
			_ = joining.Wait() // err says why
			inner.Close()
		}
	}()
	began := time.Now()
	p.watch(watch, stop, s)
	var held engine.Container
	joining.Go(func() (err error) { held, err = p.join(join, name, id, holder); return err })
	// The socket is there before the engine, and a call waits at it until the engine is.
	asking, ended := context.WithCancel(ctx)
	defer ended()
	defer s.AfterGone(ended)()
	tick := time.NewTicker(readyPoll)
	defer tick.Stop()
	for inner.Ping(asking) != nil {
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("its engine did not answer within %s: %w%s", time.Since(began).Round(time.Second), ctx.Err(), p.lastWords(ctx, id))
		case <-s.Gone():
			return nil, fmt.Errorf("it ended while booting%s", p.lastWords(ctx, id))
		case <-tick.C:
		}
	}
	if err := joining.Wait(); err != nil {
		return nil, err
	}
	seen, err := p.host.Inspect(ctx, id)
	if err != nil {
		return nil, err
	}
	network := NetworkName(name)
	s.IP, s.Booted = cmp.Or(seen.IPs[network], held.IPs[network]), seen.Created
	s.Started, s.Stopped = seen.State.StartedAt, seen.State.FinishedAt
	s.Image, s.hostName = seen.ImageID, seen.Name
	s.bounds = seen.Bounds
	if p.config.StoreVolume != "" {
		s.Image = StoredName(seen.ImageID)
	}
	return s, nil
}
