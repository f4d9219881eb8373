package snapshots

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/containerd/containerd/api/services/leases/v1"
	"github.com/containerd/errdefs"
	"github.com/containerd/errdefs/pkg/errgrpc"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/engine"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/fault"
)

// labelImage is the id in sandboxes of the image that a lease holds.
const labelImage = "docker-sd.image"

// hold is a lease that keeps the layers of an image while pods run on them, whatever people
// remove from the engine.
type hold struct{ instance, hostID, config, chain string }

// id of the lease.
func (h hold) id() string {
	_, digest, _ := strings.Cut(h.hostID, ":")
	return fmt.Sprintf("%s-hold-%s", h.instance, digest[:min(len(digest), 12)])
}

// holds are the leases of this instance that are known to be complete. A crash may leave
// one without its layers.
type holds map[string]bool

// keep makes the leases of an instance those that are wanted, and returns those that are
// there and complete. A lease stays too if its image is pinned and only the description of it
// has been lost. It goes on after a failure and returns all of them.
func (d *daemon) keep(ctx context.Context, instance string, wanted map[string]hold, pinned map[string]bool, complete holds) (holds, error) {
	present, err := d.held(ctx, instance)
	if err != nil {
		return complete, err
	}
	out := holds{}
	var problems []error
	for _, lease := range present {
		_, keep := wanted[lease.ID]
		switch {
		case keep:
			out[lease.ID] = complete[lease.ID]
		case pinned[lease.Labels[engine.LabelHold]] || pinned[lease.Labels[labelImage]]:
		default:
			problems = append(problems, d.release(ctx, lease.ID))
			fault.Point("snapshots.released")
		}
	}
	for id, h := range wanted {
		if out[id] {
			continue
		}
		err := d.hold(ctx, h)
		problems = append(problems, err)
		out[id] = err == nil
		fault.Point("snapshots.held")
	}
	return out, errors.Join(problems...)
}

// held lists the leases of an instance that hold images.
func (d *daemon) held(ctx context.Context, instance string) ([]*leases.Lease, error) {
	ctx, cancel := d.call(ctx)
	defer cancel()
	answer, err := d.leases.List(ctx, &leases.ListRequest{Filters: []string{
		"labels." + strconv.Quote(engine.LabelInstance) + "==" + strconv.Quote(instance) + ",labels." + strconv.Quote(engine.LabelHold)}})
	if err != nil {
		return nil, fmt.Errorf("list the leases of containerd: %w", errgrpc.ToNative(err))
	}
	return answer.Leases, nil
}

// hold makes the lease unless it is there.
func (d *daemon) hold(ctx context.Context, h hold) error {
	calls, cancel := d.call(ctx)
	defer cancel()
	_, err := d.leases.Create(calls, &leases.CreateRequest{ID: h.id(),
		Labels: map[string]string{engine.LabelInstance: h.instance, engine.LabelHold: h.hostID, labelImage: h.config}})
	if err = errgrpc.ToNative(err); err == nil || errdefs.IsAlreadyExists(err) {
		_, err = d.leases.AddResource(calls, &leases.AddResourceRequest{ID: h.id(),
			Resource: &leases.Resource{ID: h.chain, Type: "snapshots/" + d.snapshotter}})
		err = errgrpc.ToNative(err)
	}
	if err != nil {
		return fmt.Errorf("have containerd keep image %s: %w", h.hostID, err)
	}
	return nil
}

// release ends a lease, and has containerd remove at once what nothing refers to any more.
func (d *daemon) release(ctx context.Context, id string) error {
	ctx, cancel := d.call(ctx)
	defer cancel()
	_, err := d.leases.Delete(ctx, &leases.DeleteRequest{ID: id, Sync: true})
	if err = errgrpc.ToNative(err); err != nil && !errdefs.IsNotFound(err) {
		return fmt.Errorf("have containerd keep an image no more: %w", err)
	}
	return nil
}
