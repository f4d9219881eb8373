package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/containerd/containerd/log"
	"github.com/containerd/errdefs"
	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/accelerators"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/api"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/config"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/engine"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/eviction"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/gpu"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/images"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/initbinary"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/pods"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/podspec"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/pool"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/retry"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/volumes"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/writeback"
)

// daemon is the parts of docker-sd and the order of their lives.
type daemon struct {
	settings config.Config
	listener net.Listener
	lock     *os.File
	host     *engine.Client
	images   *images.Provider
	ledger   *gpu.Ledger
	devices  accelerators.Config
	server   *api.Server
	node     *node
	observer *observer
	guard    guard

	mu    sync.Mutex
	pool  *pool.Pool
	disks *eviction.Watch
}

// newDaemon binds the listener before anything slow happens: a create that finds
// nobody listening is a failed pod (protocol 1.4).
func newDaemon(ctx context.Context, settings config.Config) (*daemon, error) {
	devices, err := acceleratorsConfig(settings)
	if err != nil {
		return nil, err
	}
	guard, err := newGuard(settings.Access)
	if err != nil {
		return nil, err
	}
	lock, err := lockFolder(settings.DataRootFolder)
	if err != nil {
		return nil, err
	}
	listener, err := api.Listen(settings.Listen())
	if err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	ledger := gpu.NewLedger(devices.Sharing)
	observer, err := newObserver(ctx, settings, ledger)
	if err != nil {
		return nil, errors.Join(err, listener.Close(), lock.Close())
	}
	host, err := engine.Connect(settings.DockerHost, observer.tell.hostCall)
	if err != nil {
		return nil, errors.Join(err, listener.Close(), lock.Close())
	}
	if err := observer.listen(ctx, settings); err != nil {
		return nil, errors.Join(err, host.Close(), listener.Close(), lock.Close())
	}
	d := &daemon{settings: settings, listener: listener, lock: lock, host: host, observer: observer, guard: guard,
		images: images.New(images.Config{Instance: settings.Instance, Timeout: settings.ImagePullTimeout, DockerConfig: settings.DockerConfig,
			Observer: observer.tell, Record: filepath.Join(settings.DataRootFolder, "images.json"),
			Access: filepath.Join(settings.DataRootFolder, "image-access.json"), Verification: images.Verification(settings.ImageVerification)}, host), ledger: ledger, devices: devices}
	d.node = newNode(settings, ledger)
	return d, nil
}

// lockFolder makes the data folder and refuses a second docker-sd in it.
func lockFolder(dir string) (*os.File, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make DataRootFolder: %w", err)
	}
	path := filepath.Join(dir, "lock")
	lock, err := os.OpenFile(path, os.O_CREATE|os.O_RDONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock DataRootFolder: %w", err)
	}
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return nil, errors.Join(fmt.Errorf("another docker-sd uses DataRootFolder %s: stop it or choose another folder: %w", dir, err), lock.Close())
	}
	return lock, nil
}

// run serves until ctx ends. Pods go on without us.
func (d *daemon) run(ctx context.Context) error {
	defer d.lock.Close()
	defer d.host.Close()
	defer d.images.Close()
	log.G(ctx).WithField("address", d.listener.Addr().String()).WithField("version", version).Info("docker-sd is listening")
	d.guard.warn(ctx, d.listener.Addr())

	// The parts are made once the engine has said what it is; calls wait for that.
	gate := newGate()
	d.server = api.New(api.Config{Pods: gate, Ping: d.node.ping, Troubles: d.troubles,
		Alive: func() { gate.Count() }, Observer: d.observer.tell, MaxBody: d.settings.MaxBodyBytes, MaxFollowers: d.settings.MaxLogFollowers,
		MaxCalls: d.settings.Access.MaxRequests, MaxMemory: d.settings.Access.MaxRequestMemory,
		Authorized: d.guard.authorized, TLS: d.guard.tls, Hosts: d.guard.hosts(d.settings)})
	d.observer.readyFrom(d.server.Troubles)
	systemd := d.supervisor()
	systemd.starting(ctx)
	operators, stopOperators := context.WithCancel(context.WithoutCancel(ctx))
	defer stopOperators()
	var group sync.WaitGroup
	group.Go(func() { d.observer.serve(operators, d.settings) })
	served := make(chan error, 1)
	group.Go(func() { served <- d.server.Serve(d.listener) })
	work, stop := context.WithCancel(ctx)
	defer stop()
	worked := make(chan error, 1)
	group.Go(func() { worked <- d.work(work, gate) })

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
	stopOperators()
	group.Wait()
	return err
}

// work takes over earlier pods, lets calls in, and keeps the pool warm.
func (d *daemon) work(ctx context.Context, gate *gate) error {
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
	shares, bounded, err := d.boundSandboxes(ctx, info)
	if err != nil {
		return err
	}
	defer d.unbound(ctx, bounded)
	config := d.poolConfig(ctx, info, shares)
	if config.Init, err = initbinary.Install(filepath.Join(d.settings.DataRootFolder, "init")); err != nil {
		return err
	}
	if wall != nil {
		config.Guard = wall
		defer d.leaveFirewall(ctx)
	}
	sandboxes := pool.New(config, d.host)
	defer sandboxes.Close()
	if config.StoreVolume != "" {
		store, err := pool.NewStore(config, filepath.Join(d.settings.DataRootFolder, "images"), d.host)
		if err != nil {
			return err
		}
		defer store.Close()
		d.images.ShareFrom(store, config.Image, sandboxes.Refresh)
	}
	devices, err := accelerators.Open(ctx, d.devices, d.ledger, d.host, sandboxes)
	if err != nil {
		return err
	}
	defer devices.Close(ctx)
	manager := pods.New(d.podsConfig(info), sandboxes, d.images, devices.Broker())
	defer manager.Close()
	if err := d.checkInstance(ctx, sandboxes); err != nil || ctx.Err() != nil {
		return err
	}
	devices.Refresh(ctx)
	if err := manager.Recover(ctx, sandboxes.Keep); err != nil {
		return err
	}
	devices.Recovered(ctx, manager.OwnerOf)
	disks := d.watchDisks(ctx, info, manager)
	d.show(sandboxes, disks)
	d.observer.watch(manager, sandboxes, info)
	gate.open(manager)
	d.server.Ready()
	systemd := d.supervisor()
	systemd.ready(ctx)
	var group sync.WaitGroup
	defer group.Wait()
	group.Go(func() { systemd.run(ctx) })
	if err := sandboxes.Restore(ctx); err != nil {
		log.G(ctx).WithError(err).Warn("not all that an earlier run left could be cleaned up")
	}
	if wall != nil {
		group.Go(func() { wall.Run(ctx) })
	}
	group.Go(func() { d.images.Run(ctx) })
	group.Go(func() { d.collectImages(ctx, info, manager) })
	group.Go(func() { disks.Run(ctx) })
	group.Go(func() { devices.Run(ctx) })
	group.Go(func() { d.keepBounds(ctx, bounded, shares) })
	if d.settings.WritebackLimit > 0 {
		group.Go(func() { writeback.Run(ctx, info.RootDir, d.settings.WritebackLimit) })
	}
	group.Go(func() { d.followImages(ctx, sandboxes.Refresh) })
	sandboxes.Run(ctx)
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

func (d *daemon) poolConfig(ctx context.Context, info engine.Info, shares shares) pool.Config {
	s := d.settings
	sharing := images.Layers(images.Mode(s.ImageSharing), info)
	log.G(ctx).WithField("sharing", sharing.Root != "" || sharing.Library).Info(sharing.Why)
	d.images.Share(sharing.Root != "")
	volume := ""
	if sharing.Library {
		volume = pool.StoreVolume(s.Instance)
	}
	d.images.PullInside(s.ImageSharing == config.ImageSharingPull)
	image := s.SandboxImageName()
	out := pool.Config{
		Instance: s.Instance, Dir: filepath.Join(s.DataRootFolder, "sandboxes"),
		Image: image, FetchImage: func(ctx context.Context) error { return d.images.Fetch(ctx, image) },
		Size: s.AvailableDinds, Standby: s.Standbys(), Parallel: s.BootParallel(), BootTimeout: s.SandboxBootTimeout, StrayGrace: s.StrayGracePeriod, StrayDryRun: s.StrayDryRun,
		RemoveFolder: volumes.Remove,
		Privileged:   s.SandboxPrivileged, AppArmor: pool.AppArmorFor(os.DirFS("/"), s.AppArmorProfile()), Store: sharing.Root, StoreVolume: volume, Subnets: d.sandboxNetworks(ctx), Mounts: d.hostMounts(ctx),
		Resources: shares.each, Observer: d.observer.tell,
	}
	out.Confine(info)
	return out
}

// hostMounts are the host paths that pods may use. A running sandbox gains no
// mount, so all of them are there from its boot.
func (d *daemon) hostMounts(ctx context.Context) []engine.Mount {
	paths := append([]string{}, d.settings.HostPathPrefixes...)
	for _, path := range d.settings.PersistentVolumeClaims {
		paths = append(paths, path)
	}
	if d.settings.PersistentVolumeClaimsToCVMFS {
		paths = append(paths, cvmfs)
	}
	var out []engine.Mount
	for _, path := range outermost(paths) {
		if _, err := os.Stat(path); err != nil {
			log.G(ctx).WithField("path", path).Info("a host path for pods is not there, pods that ask for it are refused")
			continue
		}
		out = append(out, engine.Mount{Source: path, Target: path, Propagation: propagation(path)})
	}
	return out
}

// outermost drops paths that are below another one.
func outermost(paths []string) []string {
	slices.Sort(paths)
	var out []string
	for _, path := range slices.Compact(paths) {
		below := func(outer string) bool { return strings.HasPrefix(path, strings.TrimSuffix(outer, "/")+"/") }
		if !slices.ContainsFunc(out, below) {
			out = append(out, path)
		}
	}
	return out
}

// propagation lets mounts that the host makes later below a path show in
// sandboxes, as those of /cvmfs do, where the host's own mount allows it.
func propagation(path string) string {
	mounts, err := mountinfo.GetMounts(mountinfo.ParentsFilter(path))
	if err != nil {
		return ""
	}
	innermost := &mountinfo.Info{}
	for _, m := range mounts {
		if len(m.Mountpoint) >= len(innermost.Mountpoint) {
			innermost = m
		}
	}
	if strings.Contains(innermost.Optional, "shared:") || strings.Contains(innermost.Optional, "master:") {
		return "rslave"
	}
	return ""
}

const cvmfs = "/cvmfs"

func (d *daemon) podsConfig(info engine.Info) pods.Config {
	s := d.settings
	policy := volumes.Policy{HostPathPrefixes: s.HostPathPrefixes, Claims: s.PersistentVolumeClaims, Private: s.DataRootFolder,
		Allocatable: d.node.allocatable()}
	if s.PersistentVolumeClaimsToCVMFS {
		policy.ClaimFallback = cvmfs
	}
	return pods.Config{Dir: s.DataRootFolder, MaxPods: s.MaxPods, Tombstones: s.TombstonePeriod, Volumes: policy,
		Node: podspec.Node{PrivilegedSandbox: s.SandboxPrivileged, AllowPrivileged: s.AllowPrivilegedPods, Capabilities: pool.Capabilities,
			TrustAnnotations: s.TrustedAnnotationFlags, CPUs: info.CPUs, Allocatable: policy.Allocatable,
			Log: engine.LogLimits{MaxBytes: s.ContainerLogMaxSize, MaxFiles: s.ContainerLogMaxFiles}},
		Measure: measure, Observer: d.observer.tell}
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
