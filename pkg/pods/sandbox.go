package pods

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/containerd/errdefs"
	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/engine"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/fault"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/initapi"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/pool"
)

// fitSandbox applies what a pod asks of all its containers together: the
// sandbox is their kernel namespaces. It may be repeated.
func (p *pod) fitSandbox(ctx context.Context, s *pool.Sandbox) error {
	flags, err := p.m.config.flags(p.spec)
	if err != nil {
		return err
	}
	if flags.shmBytes > 0 {
		if err := s.Init.ResizeShm(ctx, flags.shmBytes); err != nil {
			return err
		}
	}
	if err := p.setSysctls(ctx, s); err != nil {
		return err
	}
	share := p.spec.Spec.ShareProcessNamespace
	if share == nil || !*share {
		return nil
	}
	return p.startPause(ctx, s)
}

// setSysctls sets them in the sandbox, whose network and IPC namespaces are the
// pod's; an engine refuses them for containers that share a namespace.
func (p *pod) setSysctls(ctx context.Context, s *pool.Sandbox) error {
	if p.spec.Spec.SecurityContext == nil || len(p.spec.Spec.SecurityContext.Sysctls) == 0 {
		return nil
	}
	values := map[string]string{}
	for _, sysctl := range p.spec.Spec.SecurityContext.Sysctls {
		values[sysctl.Name] = sysctl.Value
	}
	if err := s.Init.SetSysctls(ctx, values); err != nil {
		return fmt.Errorf("spec.securityContext.sysctls: %w", err)
	}
	return nil
}

// startPause starts the container that owns the process namespace of a pod with
// shareProcessNamespace.
func (p *pod) startPause(ctx context.Context, s *pool.Sandbox) error {
	spec, err := s.ProgramSpec(ctx, initapi.PauseCommand())
	if err != nil {
		return err
	}
	spec.Name, spec.Hostname, spec.IPCMode = pauseName(p.spec), hostname(p.spec), "host"
	id, err := s.Engine.CreateOnce(ctx, spec)
	if err != nil {
		return err
	}
	fault.Point("pods.pause.created")
	p.pidNamespace = "container:" + id
	return s.Engine.Start(ctx, id)
}

// pauseName cannot be a container's: those are DNS labels.
func pauseName(pod *v1.Pod) string { return containerName(pod, "_pause") }

// hostPorts lists what a pod wants published on the host.
func hostPorts(pod *v1.Pod) []engine.Port {
	var out []engine.Port
	for _, c := range allContainers(pod) {
		for _, port := range c.Ports {
			if port.HostPort == 0 {
				continue
			}
			protocol := strings.ToLower(string(port.Protocol))
			wanted := engine.Port{HostIP: port.HostIP, Host: uint16(port.HostPort),
				Container: uint16(port.ContainerPort), Protocol: orElse(protocol, "tcp")}
			if !slices.Contains(out, wanted) {
				out = append(out, wanted)
			}
		}
	}
	return out
}

// sameHostPort tells whether two cannot be published at the same time.
func sameHostPort(a, b engine.Port) bool {
	anywhere := func(ip string) bool { return ip == "" || ip == "0.0.0.0" || ip == "::" }
	return a.Host == b.Host && a.Protocol == b.Protocol &&
		(a.HostIP == b.HostIP || anywhere(a.HostIP) || anywhere(b.HostIP))
}

// portConflict finds a pod that holds one of the ports; the lock is held. One that
// has ended holds none for the scheduler, and lets go of them here with its sandbox.
func (m *Manager) portConflict(wanted []engine.Port) error {
	for uid, other := range m.pods {
		if other.hasEnded() {
			continue
		}
		for _, held := range hostPorts(other.spec) {
			for _, port := range wanted {
				if sameHostPort(held, port) {
					return fmt.Errorf("hostPort %d/%s is held by pod %s on this node: %w", port.Host, port.Protocol, uid, errdefs.ErrConflict)
				}
			}
		}
	}
	return nil
}

// parseCPUs reads a number as docker run takes it, without exponent; one of a
// thousand digits would be read for seconds.
func parseCPUs(text string) (int64, error) {
	if len(text) > len("1000000.123456789") || strings.ContainsAny(text, "eE") {
		return 0, fmt.Errorf("%s is not a plain number", text)
	}
	quantity, err := resource.ParseQuantity(text)
	if err == nil && (quantity.Sign() <= 0 || quantity.CmpInt64(maxCPUs) > 0) {
		err = fmt.Errorf("%s is not a number of CPUs", text)
	}
	return quantity.MilliValue() * 1e6, err
}
