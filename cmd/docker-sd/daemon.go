package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"time"

	"github.com/containerd/containerd/log"
	"github.com/containerd/errdefs"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/accelerators"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/api"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/config"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/engine"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/eviction"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/firewall"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/gpu"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/pool"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/retry"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/sandbox"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/writeback"
)

// daemon is docker-sd from before its engine answers until it ends.
type daemon struct {
	settings config.Config
	listener net.Listener
	lock     *os.File
	host     *engine.Client
	ledger   *gpu.Ledger
	devices  accelerators.Config
	server   *api.Server
	node     *node
	observer *observer
	guard    guard
	// virtualKubelets is where they call, if they do.
	virtualKubelets virtualKubelets

	mu    sync.Mutex
	pool  *pool.Pool
	disks *eviction.Watch
}

// newDaemon binds the listener before anything slow happens: a create that finds
// nobody listening is a failed pod (protocol 1.4). What is open when it fails is closed.
func newDaemon(ctx context.Context, settings config.Config) (_ *daemon, err error) {
	var opened closers
	defer func() {
		if err != nil {
			err = errors.Join(err, opened.close())
		}
	}()
	d := &daemon{settings: settings}
	if d.devices, err = acceleratorsConfig(settings); err != nil {
		return nil, err
	}
	d.ledger = gpu.NewLedger(d.devices.Sharing)
	d.node = newNode(settings, d.ledger)
	if d.guard, err = newGuard(settings.Access.Callers); err != nil {
		return nil, err
	}
	if d.lock, err = lockFolder(settings.DataRootFolder); err != nil {
		return nil, err
	}
	opened = append(opened, d.lock.Close)
	if root := settings.Storage.Root; root != "" {
		if err = os.MkdirAll(root, 0o700); err != nil {
			return nil, fmt.Errorf("make PersistentVolumeRoot: %w", err)
		}
	}
	if d.listener, err = api.Listen(settings.Listen()); err != nil {
		return nil, err
	}
	opened = append(opened, d.listener.Close)
	if err = shareSocket(settings.SocketShare, d.listener.Addr()); err != nil {
		return nil, err
	}
	if d.virtualKubelets, err = listenForVirtualKubelets(settings); err != nil {
		return nil, err
	}
	opened = append(opened, d.virtualKubelets.close)
	if d.observer, err = newObserver(ctx, settings, d.ledger); err != nil {
		return nil, err
	}
	opened = append(opened, d.observer.close)
	if d.host, err = engine.Connect(settings.DockerHost, d.observer.tell.hostCall); err != nil {
		return nil, err
	}
	opened = append(opened, d.host.Close)
	if err = d.observer.listen(ctx, settings); err != nil {
		return nil, err
	}
	return d, nil
}

// run serves until ctx ends. Pods go on without us.
func (d *daemon) run(ctx context.Context) error {
	defer d.lock.Close()
	defer d.host.Close()
	log.G(ctx).WithField("address", d.listener.Addr().String()).WithField("version", version).Info("docker-sd is listening")
	d.guard.warn(ctx, d.listener.Addr())
	d.virtualKubelets.tell(ctx)

	// The pods are there once the engine has said what it is; calls wait for that.
	d.server = api.New(api.Config{Ping: d.node.ping, Troubles: d.troubles, Observer: d.observer.tell,
		MaxBody: d.settings.MaxBodyBytes, MaxFollowers: d.settings.MaxLogFollowers,
		MaxCalls: d.settings.Access.MaxRequests, MaxMemory: d.settings.Access.MaxRequestMemory,
		Plugin: d.guard.callers(d.settings), Interlink: d.virtualKubelets.guard.callers(d.settings)})
	d.observer.ask(d.server)
	systemd := d.supervisor()
	systemd.starting(ctx)
	operators, stopOperators := context.WithCancel(context.WithoutCancel(ctx))
	defer stopOperators()
	var observing, group sync.WaitGroup
	observing.Go(func() { d.observer.serve(operators, d.settings) })
	served := make(chan error, 2)
	group.Go(func() { served <- d.server.Serve(d.listener) })
	if l := d.virtualKubelets.listener; l != nil {
		group.Go(func() { served <- d.server.ServeInterlink(l) })
	}
	work, stop := context.WithCancel(ctx)
	defer stop()
	worked := make(chan error, 1)
	group.Go(func() { worked <- d.work(work) })

	var err error
	select {
	case <-ctx.Done():
		log.G(ctx).Info("draining; pods go on running")
		systemd.stopping(ctx)
	case err = <-served:
	case err = <-worked:
	}
	drain, cancel := context.WithTimeout(context.Background(), d.settings.ShutdownTimeout)
	defer cancel()
	err = errors.Join(err, d.server.Shutdown(drain))
	stop()
	group.Wait()
	// Last, because the parts of docker-sd report until they have ended.
	stopOperators()
	observing.Wait()
	return err
}

// work takes over earlier pods, lets calls in, and keeps the pool warm.
func (d *daemon) work(ctx context.Context) error {
	info, ok := d.awaitEngine(ctx)
	if !ok {
		return nil
	}
	if err := checkApart(d.settings, info); err != nil {
		return err
	}
	d.node.setEngine(info)
	wall, err := d.raiseFirewall(ctx)
	if err != nil {
		return nil // its context has ended
	}
	shares, group, err := d.boundSandboxes(ctx, info)
	if err != nil {
		return err
	}
	defer d.unbound(ctx, group)
	if wall != nil {
		defer d.leaveFirewall(ctx)
	}
	p, err := d.makeParts(ctx, info, shares, wall)
	if err != nil {
		return err
	}
	defer p.close(ctx)
	if err := d.takeOver(ctx, p); err != nil || ctx.Err() != nil {
		return err
	}
	return d.keep(ctx, p, wall, func(ctx context.Context) { d.keepBounds(ctx, group, shares) })
}

// takeOver has the pods of earlier runs known again and lets calls in.
func (d *daemon) takeOver(ctx context.Context, p *parts) error {
	if err := d.checkInstance(ctx, p.sandboxes); err != nil || ctx.Err() != nil {
		return err
	}
	p.devices.Refresh(ctx)
	if err := p.manager.Recover(ctx, p.sandboxes.Keep); err != nil {
		return err
	}
	p.devices.Recovered(ctx, p.manager.OwnerOf)
	d.show(p.sandboxes, p.disks)
	d.observer.watch(p.manager, p.sandboxes, p.info)
	d.server.Ready(p.manager)
	d.supervisor().ready(ctx)
	return nil
}

// keep runs the parts until ctx ends; bounds is what keeps the bounds of sandboxes.
func (d *daemon) keep(ctx context.Context, p *parts, wall *firewall.Firewall, bounds func(context.Context)) error {
	var group sync.WaitGroup
	defer group.Wait()
	group.Go(func() { d.supervisor().run(ctx) })
	if err := p.images.ShowAll(ctx); err != nil && ctx.Err() == nil {
		log.G(ctx).WithError(err).Warn("the host's images could not be looked through, sandboxes may be replaced later")
	}
	err := p.sandboxes.Restore(ctx)
	if p.snapshots {
		err = errors.Join(err, sandbox.RetireStore(ctx, d.host, d.settings.Instance))
	}
	if err != nil {
		log.G(ctx).WithError(err).Warn("not all that an earlier run left could be cleaned up")
	}
	if wall != nil {
		group.Go(func() { wall.Run(ctx) })
	}
	group.Go(func() { p.images.Run(ctx) })
	group.Go(func() { d.collectImages(ctx, p) })
	group.Go(func() { p.images.KeepOnHost(ctx, d.settings.ImagesToKeep) })
	group.Go(func() { p.disks.Run(ctx) })
	group.Go(func() { p.devices.Run(ctx) })
	group.Go(func() { d.observer.measure(ctx, p.meter, p.manager) })
	group.Go(func() { bounds(ctx) })
	if d.settings.WritebackLimit > 0 {
		group.Go(func() { writeback.Run(ctx, p.info.RootDir, d.settings.WritebackLimit) })
	}
	group.Go(func() { d.followImages(ctx, func() { p.images.Arrived(ctx, p.sandboxes.Refresh) }) })
	p.sandboxes.Run(ctx)
	return nil
}

// awaitEngine waits until the host's engine answers.
func (d *daemon) awaitEngine(ctx context.Context) (engine.Info, bool) {
	tries := retry.New(200*time.Millisecond, 10*time.Second)
	for {
		info, err := d.host.Info(ctx)
		if err == nil {
			tries.Succeeded(ctx, "the Docker engine answers")
			return info, true
		}
		if tries.Failed(ctx, "the Docker engine does not answer, trying again: check DOCKER_HOST and that the engine runs", err) != nil {
			return info, false
		}
	}
}

// checkInstance ends docker-sd when its name is taken. An engine that is away for
// a moment is asked again.
func (d *daemon) checkInstance(ctx context.Context, sandboxes *pool.Pool) error {
	tries := retry.New(time.Second, 10*time.Second)
	for {
		err := sandboxes.CheckInstance(ctx)
		if err == nil || errdefs.IsFailedPrecondition(err) {
			tries.Succeeded(ctx, "the engine was asked for earlier sandboxes")
			return err
		}
		if tries.Failed(ctx, "the engine could not be asked for earlier sandboxes, trying again", err) != nil {
			return nil
		}
	}
}

// imageSettle gathers the events of one pull or of a few in a row.
const imageSettle = 500 * time.Millisecond

// followImages has the pool renewed when images come to the host.
func (d *daemon) followImages(ctx context.Context, arrived func()) {
	tries := retry.New(time.Second, 10*time.Second)
	since := time.Now()
	for {
		err := d.host.WatchImages(ctx, since, imageSettle, arrived)
		for err != nil {
			if tries.Failed(ctx, "the engine's image events broke off, listening again", err) != nil {
				return
			}
			since = time.Now() // none may slip through before the stream begins
			err = d.host.Ping(ctx)
		}
		tries.Succeeded(ctx, "listening to the engine's image events again")
		arrived() // some may have been missed
	}
}

// show lets troubles be told of.
func (d *daemon) show(sandboxes *pool.Pool, disks *eviction.Watch) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.pool, d.disks = sandboxes, disks
}

// troubles are what /readyz shows.
func (d *daemon) troubles() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.pool == nil {
		return []string{"the Docker engine has not answered yet"}
	}
	var out []string
	if err := d.pool.Stats().LastError; err != nil {
		out = append(out, "sandboxes cannot be made: "+err.Error())
	}
	if low := d.disks.Trouble(); low != "" {
		out = append(out, low)
	}
	return out
}
