package engine

import (
	"fmt"
	"strconv"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/mount"
	"github.com/docker/go-connections/nat"
	"github.com/docker/go-units"
)

// translate turns a Spec into the SDK's two parts.
func translate(spec Spec) (*container.Config, *container.HostConfig, error) {
	exposed, bindings, err := portMaps(spec.Ports)
	if err != nil {
		return nil, nil, err
	}
	config := &container.Config{
		Hostname:     spec.Hostname,
		User:         spec.User,
		Image:        spec.Image,
		Env:          spec.Env,
		Entrypoint:   spec.Entrypoint,
		Cmd:          spec.Cmd,
		WorkingDir:   spec.WorkingDir,
		Labels:       spec.Labels,
		Tty:          spec.TTY,
		OpenStdin:    spec.Stdin,
		StdinOnce:    spec.StdinOnce,
		StopSignal:   spec.StopSignal,
		ExposedPorts: exposed,
		// Probes are ours (Kubernetes); an image's HEALTHCHECK is not run by kubelet.
		Healthcheck: &container.HealthConfig{Test: []string{"NONE"}},
	}
	host := &container.HostConfig{
		NetworkMode:    container.NetworkMode(spec.Network),
		DNS:            spec.DNS,
		DNSSearch:      spec.DNSSearch,
		DNSOptions:     spec.DNSOptions,
		PortBindings:   bindings,
		Mounts:         mounts(spec.Mounts),
		CapAdd:         spec.CapAdd,
		CapDrop:        spec.CapDrop,
		Privileged:     spec.Privileged,
		ReadonlyRootfs: spec.ReadonlyRootfs,
		SecurityOpt:    spec.SecurityOpt,
		GroupAdd:       spec.GroupAdd,
		PidMode:        container.PidMode(spec.PIDMode),
		IpcMode:        container.IpcMode(spec.IPCMode),
		OomScoreAdj:    spec.Resources.OOMScoreAdj,
		LogConfig:      logConfig(spec.Log),
		Runtime:        spec.Runtime,
		Resources:      resources(spec),
	}
	if spec.UnmaskedSystemPaths {
		// An empty list, not nil: nil means the engine's own masks.
		host.MaskedPaths, host.ReadonlyPaths = []string{}, []string{}
	}
	// Said in either case: an engine may be told to put its init before every process
	// ("init": true), and a sandbox's own has to be the first and alone in its group.
	host.Init = &spec.Init
	if spec.PrivateCgroupNamespace {
		host.CgroupnsMode = container.CgroupnsModePrivate
	}
	return config, host, nil
}

// resources are the limits, devices and CDI devices of a spec, in the engine's words.
func resources(spec Spec) container.Resources {
	r := spec.Resources
	out := container.Resources{
		NanoCPUs:     r.NanoCPUs,
		CPUShares:    r.CPUShares,
		Memory:       r.MemoryBytes,
		CgroupParent: r.CgroupParent,
	}
	if r.MemoryBytes > 0 {
		// Without this the engine allows as much swap again as memory; kubelet allows none.
		out.MemorySwap = r.MemoryBytes
	}
	if r.PidsLimit > 0 {
		out.PidsLimit = &r.PidsLimit
	}
	for _, limit := range r.Ulimits {
		out.Ulimits = append(out.Ulimits, &units.Ulimit{Name: limit.Name, Soft: limit.Soft, Hard: limit.Hard})
	}
	for _, d := range spec.Devices {
		out.Devices = append(out.Devices, container.DeviceMapping{
			PathOnHost: d.Host, PathInContainer: d.Container, CgroupPermissions: d.Permissions})
	}
	if len(spec.CDIDevices) > 0 {
		out.DeviceRequests = []container.DeviceRequest{{Driver: "cdi", DeviceIDs: spec.CDIDevices}}
	}
	return out
}

// logConfig is the log driver with its files bounded. The driver local keeps the bytes of a
// line as they were written; json-file puts U+FFFD in place of those that are not UTF-8, is
// a third larger and takes longer to write and to read. It is left where nothing is bounded,
// as local cannot be without a bound.
func logConfig(limits LogLimits) container.LogConfig {
	if limits.MaxBytes <= 0 {
		return container.LogConfig{Type: "json-file"}
	}
	return container.LogConfig{Type: "local", Config: map[string]string{
		"max-size": strconv.FormatInt(limits.MaxBytes, 10) + "b",
		"max-file": strconv.Itoa(max(limits.MaxFiles, 1)),
		"compress": "false",
	}}
}

// mounts are the bind mounts and volumes of a spec, in the engine's words. A volume that the
// engine makes for one gets the label of its instance.
func mounts(in []Mount) []mount.Mount {
	out := make([]mount.Mount, 0, len(in))
	for _, m := range in {
		item := mount.Mount{Type: mount.TypeBind, Source: m.Source, Target: m.Target, ReadOnly: m.ReadOnly}
		switch {
		case m.Volume:
			item.Type = mount.TypeVolume
			if m.Instance != "" {
				item.VolumeOptions = &mount.VolumeOptions{Labels: map[string]string{LabelInstance: m.Instance}}
			}
		case m.Tmpfs:
			item.Type, item.Source = mount.TypeTmpfs, ""
		case m.Propagation != "" || m.NonRecursive:
			item.BindOptions = &mount.BindOptions{
				Propagation: mount.Propagation(m.Propagation), NonRecursive: m.NonRecursive}
		}
		out = append(out, item)
	}
	return out
}

// portMaps are the published ports in the two forms that an engine wants. A protocol or port
// that it does not know is an error.
func portMaps(ports []Port) (nat.PortSet, nat.PortMap, error) {
	if len(ports) == 0 {
		return nil, nil, nil
	}
	exposed, bindings := nat.PortSet{}, nat.PortMap{}
	for _, p := range ports {
		port, err := nat.NewPort(p.Protocol, strconv.Itoa(int(p.Container)))
		if err != nil {
			return nil, nil, fmt.Errorf("port %d/%s: %w: %w", p.Container, p.Protocol, errdefs.ErrInvalidArgument, err)
		}
		exposed[port] = struct{}{}
		bindings[port] = append(bindings[port], nat.PortBinding{HostIP: p.HostIP, HostPort: strconv.Itoa(int(p.Host))})
	}
	return exposed, bindings, nil
}
