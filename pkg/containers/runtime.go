package containers

import (
	"context"
	"fmt"
	"slices"

	"github.com/containerd/errdefs"
	"k8s.io/utils/ptr"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/engine"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/podstatus"
)

// runtimeUnknown turns a refusal to make the container into words on the runtime of the
// pod's class, where that is the cause: the operator has to act, not the pod's owner.
func runtimeUnknown(ctx context.Context, r *runner, err error) error {
	if err == nil || r.p.Runtime == "" || errdefs.IsUnavailable(err) {
		return err
	}
	info, unseen := r.s.Engine.Info(ctx)
	if unseen != nil || slices.Contains(info.Runtimes, r.p.Runtime) {
		return err
	}
	return runtimeTrouble(r, podstatus.ReasonCreate, "the engine in the sandbox does not know it", err)
}

// runtimeFails is nil unless the runtime of the pod's class itself is why a container could
// not be started. As with kubelet, such a container waits.
func runtimeFails(r *runner, cause error) error {
	if r.p.Runtime == "" || !engine.RuntimeFails(cause) {
		return nil
	}
	return runtimeTrouble(r, podstatus.ReasonRun, "the engine in the sandbox cannot run its program", cause)
}

func runtimeTrouble(r *runner, reason, what string, cause error) error {
	return &configError{reason: reason, err: fmt.Errorf("runtimeClassName %s is the runtime %s here, and %s: ask the operator of this node to bring it into sandboxes, or to correct RuntimeClasses: %w",
		ptr.Deref(r.p.Spec.Spec.RuntimeClassName, ""), r.p.Runtime, what, cause)}
}

// keepRuntime refuses devices that come by another runtime than that of the pod's class.
func keepRuntime(r *runner, spec engine.Spec) error {
	if r.p.Runtime == "" || spec.Runtime == r.p.Runtime {
		return nil
	}
	return &configError{err: fmt.Errorf("the devices of the container need the runtime %s, and runtimeClassName %s is the runtime %s here: leave one of them out, or ask the operator of this node for another GPUStrategy",
		spec.Runtime, ptr.Deref(r.p.Spec.Spec.RuntimeClassName, ""), r.p.Runtime)}
}
