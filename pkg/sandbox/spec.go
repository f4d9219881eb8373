package sandbox

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"path/filepath"
	"slices"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/engine"
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

// Generation is a digest of all that shapes a sandbox with this hardware. Sandboxes of
// different generations are not exchangeable.
func (c Config) Generation(h Hardware) string {
	shape, err := json.Marshal([]any{c, h, engineFlags, Capabilities})
	if err != nil {
		panic(err) // plain structs of strings and numbers
	}
	sum := sha256.Sum256(shape)
	return hex.EncodeToString(sum[:8])
}

// Spec is what one sandbox is made from.
type Spec struct {
	// Name of the sandbox.
	Name string
	// Ports that it publishes on the host. One with ports has a network of its own.
	Ports []engine.Port
	// Image of the sandbox, "" for that of the configuration.
	Image string
	// Hardware that its pod may be given.
	Hardware Hardware
	// Holder is the container that has its network, "" if there is none yet.
	Holder string
}

// of is the configuration of a sandbox: that of all, or with an image of its own.
func (c Config) of(s Spec) Config {
	if s.Image != "" {
		c.Image = s.Image
	}
	return c
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

// containerSpec is the container of a sandbox, whose engine is left for later in a
// standby. Its network and ports are the caller's to set.
func (c Config) containerSpec(s Spec, standby bool, labels map[string]string) engine.Spec {
	dir := c.Folder(s.Name)
	command := initapi.BootCommand(c.Store != "" || c.StoreVolume != "", standby, slices.Concat(c.runtimeFlags(), c.ulimitFlags(), c.registryFlags(), engineFlags)...)
	spec := c.engineSpec(s.Name, dir, command, labels)
	if standby {
		spec.Name = StandbyName(s.Name)
	}
	spec.Network = NetworkName(s.Name)
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
		if c.StoreLayers != "" {
			spec.Mounts = append(spec.Mounts, engine.Mount{Source: c.StoreLayers, Target: initapi.LayersPath, ReadOnly: true, NonRecursive: true})
		}
	}
	if c.Tunnel != "" {
		spec.Mounts = append(spec.Mounts, engine.Mount{Source: c.Tunnel, Target: initapi.TunnelPath, ReadOnly: true})
		// Named, for runtimes since runc 1.2 allow it to no container by themselves.
		spec.Devices = append(spec.Devices, engine.Device{Host: initapi.TunnelDevice, Container: initapi.TunnelDevice, Permissions: "rw"})
	}
	spec.Mounts = append(append(spec.Mounts, c.Mounts...), append(c.runtimeMounts(), c.registryMounts()...)...)
	if c.Fuse && !c.Privileged { // a privileged one has every device
		spec.Devices = append(spec.Devices, engine.Device{Host: initapi.FuseDevice, Container: initapi.FuseDevice, Permissions: "rw"})
	}
	s.Hardware.apply(&spec)
	return spec
}

// Bounds of a holder, which has one process of the Go runtime that waits for signals.
const (
	holderMemory = 32 << 20
	holderPids   = 32
	nobody       = "65534:65534"
)

// holderSpec uses the sandbox's image, which is there, and no file of it.
func (c Config) holderSpec(name string, labels map[string]string) engine.Spec {
	return engine.Spec{
		Name: HolderName(name), Image: c.Image, Entrypoint: initapi.PauseCommand(), Labels: labels, Network: NetworkName(name),
		User: nobody, WorkingDir: "/", CapDrop: []string{"ALL"}, SecurityOpt: []string{"no-new-privileges"}, ReadonlyRootfs: true,
		// The image may set this variable, for which some engines add devices.
		Env: []string{"NVIDIA_VISIBLE_DEVICES=void"},
		Log: engine.LogLimits{MaxBytes: 1 << 20, MaxFiles: 1},
		// With a tmpfs at the place of the image's volume the engine makes no volume.
		Mounts: []engine.Mount{{Source: c.Init, Target: initapi.ProgramPath, ReadOnly: true}, {Target: initapi.DataPath, Tmpfs: true}},
		Resources: engine.Resources{CPUShares: c.Resources.CPUShares, MemoryBytes: holderMemory, PidsLimit: holderPids,
			OOMScoreAdj: c.Resources.OOMScoreAdj, CgroupParent: c.Resources.CgroupParent},
	}
}
