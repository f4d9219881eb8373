package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sys/unix"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/accelerators"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/admin"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/cgroup"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/cli"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/config"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/engine"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/gpu"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/gpu/nvml"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/hostnet"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/images"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/initbinary"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/pool"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/preflight"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/sandbox"
)

// examination gathers the facts that checks judge. It makes sandboxes as docker-sd does.
type examination struct {
	settings config.Config
	host     *engine.Client
	client   *admin.Client
	running  preflight.Running
}

func newExamination(settings config.Config) (*examination, error) {
	host, err := engine.Connect(settings.DockerHost)
	if err != nil {
		return nil, err
	}
	return &examination{settings: settings, host: host, client: admin.NewClient(settings.DataRootFolder)}, nil
}

func (p *examination) close() {
	p.client.Close()
	p.host.Close()
}

// look makes all checks.
func (p *examination) look(ctx context.Context, r *preflight.Report, boot bool) {
	s := p.settings
	p.findRunning(ctx)
	r.Add(preflight.Daemon(p.running), ownUser())
	info, err := p.host.Info(ctx)
	r.Add(preflight.Engine(p.engineAddress(), info, err))
	if err == nil {
		p.lookAtEngine(ctx, r, info)
	}
	root := os.DirFS("/")
	r.Add(preflight.Kernel(root, preflight.Load{Sandboxes: p.sandboxes(), CgroupVersion: info.CgroupVersion, OpenFiles: openFiles()})...)
	space, spaceErr := preflight.SpaceAt(s.DataRootFolder)
	r.Add(preflight.Disk("data disk", "DataRootFolder", s.DataRootFolder, space, spaceErr))
	r.Add(preflight.Folder(s.DataRootFolder, p.running, preflight.Holder(os.DirFS("/proc"), filepath.Join(s.DataRootFolder, "lock"))))
	r.Add(p.ports()...)
	r.Add(p.hostPaths(info)...)
	if s.TrustedAnnotationFlags {
		r.Add(preflight.TrustedFlags())
	}
	if s.FuseMounts {
		r.Add(preflight.Fuse(hasFuse(s)))
	}
	if s.PrivilegedPodsMayMount {
		r.Add(preflight.MayMount())
	}
	if s.GPUEnabled {
		r.Add(p.gpuLines(ctx, info)...)
	}
	if err == nil {
		p.lookAtClassImages(ctx, r)
		p.lookAtSandbox(ctx, r, info, boot)
	}
}

// findRunning asks for the docker-sd that runs with this configuration.
func (p *examination) findRunning(ctx context.Context) {
	info, err := p.client.Info(ctx)
	if err != nil {
		return
	}
	p.running = preflight.Running{Described: fmt.Sprintf("%s runs as instance %s for %s", info.Version, info.Instance, cli.Age(info.Started, time.Now())),
		Address: info.Address, Interlink: info.InterlinkAPI, Admin: info.Admin != "", Troubles: info.Troubles}
}

// ownUser judges that of this process, as docker-sd's.
func ownUser() preflight.Line {
	groups, err := os.Getgroups()
	if err != nil {
		groups = nil // as without any
	}
	return preflight.User(os.Geteuid(), append(groups, os.Getegid()))
}

func (p *examination) engineAddress() string {
	if p.settings.DockerHost == "" {
		return "the default socket /var/run/docker.sock"
	}
	return p.settings.DockerHost
}

// sandboxes is how many there may be at once.
func (p *examination) sandboxes() int {
	return p.settings.MaxPods + p.settings.AvailableDinds + p.settings.Standbys() + p.settings.Holders()
}

func openFiles() uint64 {
	var limit unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &limit) != nil {
		return 0
	}
	return limit.Max // Go raises its own to this
}

// lookAtEngine adds what there is to say of an engine that answers.
func (p *examination) lookAtEngine(ctx context.Context, r *preflight.Report, info engine.Info) {
	s := p.settings
	sharing := images.Layers(images.Mode(s.ImageSharing), info)
	wanted := s.ImageSharing == config.ImageSharingAuto || s.ImageSharing == config.ImageSharingShared
	r.Add(preflight.Sharing(info, sharing.Root != "", wanted, sharing.Why), preflight.LiveRestore(info), preflight.Cgroups(info))
	profiles, seen := sandbox.AppArmorProfiles(os.DirFS("/"))
	r.Add(preflight.AppArmor(preflight.Confinement{Engine: info.AppArmor, Seen: seen, Profiles: profiles,
		Setting: s.SandboxAppArmorProfile, Privileged: s.SandboxPrivileged, Ours: sandbox.AppArmorSandbox}))
	if len(s.AppArmorProfiles) > 0 {
		r.Add(preflight.PodProfiles(s.AppArmorProfiles, sandbox.PodProfiles(profiles), sandbox.AppArmorNamespace, info.AppArmor && seen && !s.SandboxPrivileged))
	}
	sandboxes := p.sandboxConfig(ctx, info, shares{})
	known := pool.New(sandboxes, p.host)
	defer known.Close()
	watch, unseen := newDiskWatch(s, info, nil, nil)
	low, err := watch.Low()
	r.Add(preflight.DiskWatch(len(s.Thresholds()), low, errors.Join(unseen, err)))
	r.Add(preflight.Instance(s.Instance, known.CheckInstance(ctx)), p.networks(ctx, sandboxes.Subnets),
		preflight.MTU(cmp.Or(sandboxes.MTU, defaultMTU), hostnet.UplinkMTU()), p.firewallLine(ctx),
		preflight.ClusterNetwork(s.ClusterNetwork.On(), tunDevice()))
	if _, err := os.Stat(info.RootDir); err == nil {
		space, err := preflight.SpaceAt(info.RootDir)
		r.Add(preflight.Disk("engine disk", "the engine's data", info.RootDir, space, err))
	} else {
		r.Add(preflight.Line{Name: "engine disk", Verdict: preflight.Warn, Found: fmt.Sprintf("%s, the engine's data, cannot be seen from here: %v", info.RootDir, err)})
	}
}

// sandboxConfig is how docker-sd would make sandboxes. The check fetches no image.
func (p *examination) sandboxConfig(ctx context.Context, info engine.Info, shares shares) pool.Config {
	return sandboxConfig(ctx, p.settings, p.host, info, images.Layers(images.Mode(p.settings.ImageSharing), info), shares.each)
}

// defaultMTU is the engine's.
const defaultMTU = 1500

// networks judges the ranges of the sandboxes' networks by the host's routes and the engine's
// networks.
func (p *examination) networks(ctx context.Context, parents []netip.Prefix) preflight.Line {
	n := preflight.Networks{Parents: parents, Configured: len(p.settings.DockerNetworkSubnet) > 0, Cut: sandbox.Subnets(parents), Wanted: p.sandboxes()}
	foreign, found, err := hostnet.Foreign(ctx, p.host, parents)
	if err != nil {
		return preflight.Line{Name: "networks", Verdict: preflight.Fail, Found: err.Error(), Do: "see whether the engine is well"}
	}
	for _, network := range found {
		prefix, err := netip.ParsePrefix(network.Subnet)
		switch {
		case err != nil:
		case network.Labels[engine.LabelInstance] == p.settings.Instance:
			n.Own = append(n.Own, prefix)
		default:
			n.Others = append(n.Others, prefix)
		}
	}
	n.Routes = foreign
	return n.Judge()
}

// dialTimeout is long for this host.
const dialTimeout = 2 * time.Second

func dial(network, address string) error {
	conn, err := net.DialTimeout(network, address, dialTimeout)
	if err != nil {
		return err
	}
	return conn.Close()
}

// bind listens for a moment; a socket's folder is looked at only.
func bind(network, address string) error {
	if network != "unix" {
		listener, err := net.Listen(network, address)
		if err != nil {
			return err
		}
		return listener.Close()
	}
	if info, err := os.Lstat(address); err == nil && info.Mode().Type() != os.ModeSocket {
		return fmt.Errorf("%s exists and is not a socket", address)
	}
	if err := unix.Access(filepath.Dir(address), unix.W_OK|unix.X_OK); err != nil {
		return &os.PathError{Op: "write to", Path: filepath.Dir(address), Err: err}
	}
	return nil
}

// ports judges the addresses that docker-sd listens on, and what callers have to bring along.
func (p *examination) ports() []preflight.Line {
	s, runs := p.settings, p.running.Described != ""
	network, address := s.Listen()
	calls := preflight.Port{Name: "listen address", Network: network, Address: address, Served: runs && p.running.Address == address, Taken: preflight.Fail}
	if preflight.IsWide(network, address) {
		calls.Wide = preflight.WideCalls(s.Access.TokenFile != "", s.Access.TLS(), s.Access.ClientCAFile != "")
	}
	lines := []preflight.Line{calls.Judge(dial, bind)}
	if network == "unix" && s.SocketShare.Group != "" {
		lines = append(lines, socketGroup(s.SocketShare.Group, address))
	}
	guard, err := newGuard(s.Access.Callers)
	if err != nil {
		lines = append(lines, preflight.Line{Name: "access", Verdict: preflight.Fail, Found: err.Error(), Do: "see docs/security.md"})
	}
	if names := guard.hosts(s); network == "tcp" && names != nil {
		lines = append(lines, preflight.Names(slices.Sorted(maps.Keys(names))))
	}
	lines = append(lines, p.virtualKubelets()...)
	operators, on := s.Admin()
	if !on {
		return lines
	}
	port := preflight.Port{Name: "admin address", Network: "tcp", Address: operators, Served: p.running.Admin, Taken: preflight.Fail}
	if operators == config.DefaultAdminAddress {
		port.Taken = preflight.Warn // docker-sd starts without it
	}
	if preflight.IsWide("tcp", operators) {
		port.Wide = preflight.WideAdmin()
	}
	return append(lines, port.Judge(dial, bind))
}

// hostPaths judges the folders of the host that pods may use.
func (p *examination) hostPaths(info engine.Info) []preflight.Line {
	if err := checkApart(p.settings, info); err != nil {
		return []preflight.Line{{Name: "host paths", Verdict: preflight.Fail, Found: err.Error(), Do: "docker-sd does not start with it: choose other folders for pods"}}
	}
	why := map[string]string{}
	for claim, path := range p.settings.PersistentVolumeClaims {
		why[path] = "PersistentVolumeClaims " + claim
	}
	if p.settings.PersistentVolumeClaimsToCVMFS {
		why[cvmfs] = "PersistentVolumeClaimsToCVMFS"
	}
	for _, path := range p.settings.HostPathPrefixes {
		why[path] = "HostPathPrefixes"
	}
	var paths []string
	for path := range why {
		paths = append(paths, path)
	}
	var lines []preflight.Line
	for _, path := range outermost(paths) {
		lines = append(lines, preflight.HostPath(path, why[path], propagation(path) != ""))
	}
	if root := p.settings.SeccompProfileRoot; root != "" {
		lines = append(lines, preflight.Profiles(root))
	}
	if path := p.settings.AccountingFile; path != "" {
		lines = append(lines, preflight.Accounting(path))
	}
	if servers := p.settings.Storage.NFSServers; len(servers) > 0 {
		lines = append(lines, preflight.NFS(servers, hasNFS(), p.settings.PodFirewall == config.PodFirewallDisabled))
	}
	if root := p.settings.Storage.Root; root != "" {
		space, err := preflight.SpaceAt(root)
		lines = append(lines, preflight.Claims(root, p.settings.Storage.Reclaim == config.ReclaimDelete, space, err))
	}
	return lines
}

// gpuLines judges the driver, the sharing and the ways into containers. It loads the driver
// for that.
func (p *examination) gpuLines(ctx context.Context, info engine.Info) []preflight.Line {
	driver, err := nvml.Open(nvml.Options{LibraryPath: p.settings.GPU.LibraryPath})
	if err != nil {
		return []preflight.Line{preflight.GPUs(gpu.Inventory{}, err)}
	}
	defer driver.Close()
	inventory, err := driver.Inventory(ctx)
	lines := []preflight.Line{preflight.GPUs(inventory, err)}
	c, sharingErr := acceleratorsConfig(p.settings)
	if sharingErr != nil {
		return append(lines, preflight.Line{Name: "gpu sharing", Verdict: preflight.Fail, Found: sharingErr.Error(), Do: "correct GPUSharing"})
	}
	if err != nil || len(inventory.Devices) == 0 {
		return lines
	}
	return append(lines, preflight.Ways(accelerators.Ways(c.Strategy, c.Specs, info, inventory.Devices)))
}

// checkSuffix of the instance that a check's sandbox belongs to: docker-sd takes
// it for another's.
const checkSuffix = "-check"

// tryShares bounds sandboxes as docker-sd would, in a group of the check's own. The
// function that it returns removes that group again and judges.
func (p *examination) tryShares(info engine.Info) (shares, *cgroup.Group, *preflight.Shares, func() preflight.Line) {
	own := p.settings
	own.Instance += checkSuffix
	s, err := sharesOf(own, info, hostPids("/proc"))
	found := &preflight.Shares{Group: cgroup.ParentOf(info.CgroupDriver, p.settings.Instance), Memory: s.all.MemoryBytes, Pids: s.all.Pids,
		PidsOfOne: s.each.PidsLimit, Err: err}
	var group *cgroup.Group
	if err == nil {
		group, found.Unbound = s.bound()
	}
	return s, group, found, func() preflight.Line {
		if group != nil {
			found.Unbound = errors.Join(found.Unbound, group.Remove())
		}
		return found.Judge()
	}
}

// lookAtSandbox judges the sandbox image and, with boot, boots a sandbox of it under another
// instance. It removes all that it made.
func (p *examination) lookAtSandbox(ctx context.Context, r *preflight.Report, info engine.Info, boot bool) {
	shares, group, found, judge := p.tryShares(info)
	defer func() { r.Add(judge()) }()
	ref := p.settings.SandboxImageName()
	image, err := p.host.Image(ctx, ref)
	if err != nil || !boot {
		r.Add(preflight.Image(ref, image, err, false, "", nil))
		return
	}
	config := p.sandboxConfig(ctx, info, shares)
	dir, remove, err := preflight.OwnFolder(p.settings.DataRootFolder)
	if err != nil {
		r.Add(preflight.Image(ref, image, nil, false, "", nil), preflight.Booted(preflight.Times{}, err))
		return
	}
	if config.Init, err = initbinary.Install(filepath.Join(dir, "init")); err != nil {
		r.Add(preflight.Booted(preflight.Times{}, errors.Join(err, remove())))
		return
	}
	config.Instance, config.Dir = p.settings.Instance+checkSuffix, filepath.Join(dir, "s")
	config.StoreVolume = "" // docker-sd's own, which the check neither makes nor fills
	config.Size, config.Standby, config.Holders, config.Parallel, config.StrayDryRun = 0, 0, 0, 1, false
	version, problem := p.dockerdOf(ctx, ref, config)
	line := preflight.Image(ref, image, nil, true, version, problem)
	r.Add(line)
	if line.Verdict == preflight.Fail {
		if err := remove(); err != nil {
			r.Add(preflight.Booted(preflight.Times{}, err))
		}
		return
	}
	times, err := preflight.Boot(ctx, config, p.host, func(ctx context.Context, into *engine.Client) (string, error) {
		return p.host.CopyImage(ctx, into, ref)
	}, func(s *sandbox.Sandbox) { found.Elsewhere = group != nil && !group.Holds(s.ID) }, p.lookAtRuntimes(ctx, r))
	err = errors.Join(err, remove())
	r.Add(preflight.Booted(times, err))
	if err == nil {
		r.Boot = &times
	}
}

// dockerdOf has the dockerd of an image say its version. Its container is one
// that a later check would take for a sandbox that was left behind.
func (p *examination) dockerdOf(ctx context.Context, ref string, sandboxes pool.Config) (string, error) {
	name := sandbox.AssignedName(uuid.NewString())
	return preflight.Output(ctx, p.host, engine.Spec{Name: name, Image: ref, Entrypoint: []string{"/bin/sh", "-c", "exec dockerd --version"},
		Network: "none", CapDrop: []string{"ALL"}, ReadonlyRootfs: true,
		Labels: map[string]string{engine.LabelInstance: sandboxes.Instance, engine.LabelSandbox: name, engine.LabelFolder: sandboxes.Dir}})
}
