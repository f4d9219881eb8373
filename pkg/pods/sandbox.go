package pods

import (
	"context"
	"fmt"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/containers"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/fault"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/initapi"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/podspec"
)

// fitSandbox applies what a pod asks of all its containers together: the
// sandbox is their kernel namespaces. It may be repeated.
func (r *sandboxRun) fitSandbox(ctx context.Context) error {
	shm, err := podspec.ShmBytes(r.p.spec, r.p.node.config.Node)
	if err != nil {
		return err
	}
	if shm > 0 {
		if err := r.stay.Init.ResizeShm(ctx, shm); err != nil {
			return err
		}
	}
	if err := r.setSysctls(ctx); err != nil {
		return err
	}
	if pages := podspec.PodHugePages(r.p.spec, r.p.node.config.Node); pages != nil {
		if err := r.stay.Init.BoundHugePages(ctx, containers.HugePages(pages)); err != nil {
			return fmt.Errorf("spec.containers resources: %w", err)
		}
	}
	if bounds, needed := podspec.GroupBounds(r.p.spec); needed {
		if err := r.stay.Init.MakeGroup(ctx, initapi.Group{MemoryBytes: bounds.MemoryBytes, NanoCPUs: bounds.NanoCPUs}); err != nil {
			return fmt.Errorf("spec.resources.limits: %w", err)
		}
		r.p.containers.CgroupParent = initapi.GroupPath
	}
	share := r.p.spec.Spec.ShareProcessNamespace
	if share == nil || !*share {
		return nil
	}
	return r.startPause(ctx)
}

// setSysctls sets them in the sandbox, whose network and IPC namespaces are the
// pod's; an engine refuses them for containers that share a namespace.
func (r *sandboxRun) setSysctls(ctx context.Context) error {
	if r.p.spec.Spec.SecurityContext == nil || len(r.p.spec.Spec.SecurityContext.Sysctls) == 0 {
		return nil
	}
	values := map[string]string{}
	for _, sysctl := range r.p.spec.Spec.SecurityContext.Sysctls {
		values[sysctl.Name] = sysctl.Value
	}
	if err := r.stay.Init.SetSysctls(ctx, values); err != nil {
		return fmt.Errorf("spec.securityContext.sysctls: %w", err)
	}
	return nil
}

// startPause starts the container that owns the process namespace of a pod with
// shareProcessNamespace.
func (r *sandboxRun) startPause(ctx context.Context) error {
	spec, err := r.stay.ProgramSpec(ctx, initapi.PauseCommand())
	if err != nil {
		return err
	}
	spec.Name, spec.Hostname, spec.IPCMode = podspec.PauseName(r.p.spec), podspec.Hostname(r.p.spec), "host"
	spec.Runtime = r.p.containers.Runtime
	id, err := r.stay.Engine.CreateOnce(ctx, spec)
	if err != nil {
		return err
	}
	fault.Point("pods.pause.created")
	r.p.containers.PIDNamespace = "container:" + id
	return r.stay.Engine.Start(ctx, id)
}
