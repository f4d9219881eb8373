package pods

import (
	"context"
	"fmt"

	"github.com/containerd/errdefs"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/engine"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/fault"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/initapi"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/podspec"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/pool"
)

// fitSandbox applies what a pod asks of all its containers together: the
// sandbox is their kernel namespaces. It may be repeated.
func (p *pod) fitSandbox(ctx context.Context, s *pool.Sandbox) error {
	shm, err := podspec.ShmBytes(p.spec, p.m.config.Node)
	if err != nil {
		return err
	}
	if shm > 0 {
		if err := s.Init.ResizeShm(ctx, shm); err != nil {
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
	spec.Name, spec.Hostname, spec.IPCMode = podspec.PauseName(p.spec), podspec.Hostname(p.spec), "host"
	id, err := s.Engine.CreateOnce(ctx, spec)
	if err != nil {
		return err
	}
	fault.Point("pods.pause.created")
	p.containers.PIDNamespace = "container:" + id
	return s.Engine.Start(ctx, id)
}

// portConflict finds a pod that holds one of the ports; the lock is held. One that
// has ended holds none for the scheduler, and lets go of them here with its sandbox.
func (m *Manager) portConflict(wanted []engine.Port) error {
	for uid, other := range m.pods {
		if other.statuses.HasEnded() {
			continue
		}
		for _, held := range podspec.HostPorts(other.spec) {
			for _, port := range wanted {
				if podspec.SamePort(held, port) {
					return fmt.Errorf("hostPort %d/%s is held by pod %s on this node: %w", port.Host, port.Protocol, uid, errdefs.ErrConflict)
				}
			}
		}
	}
	return nil
}
