package gpu

import (
	"errors"
	"fmt"

	"github.com/containerd/errdefs"
)

// Reserve gives a pod all that it asks for, or nothing. A second call for the
// same owner returns the same assignment, also after Claim.
//
// Errors: errdefs.ErrResourceExhausted with the numbers if there is not enough,
// errdefs.ErrFailedPrecondition for a privileged container in a pod that does not
// get every device, errdefs.ErrInvalidArgument for a wish that can never be met.
func (l *Ledger) Reserve(owner string, req Request) (Assignment, error) {
	if owner == "" {
		return Assignment{}, fmt.Errorf("reserving accelerators: no owner given: %w", errdefs.ErrInvalidArgument)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if a, has := l.holdings.assigned[owner]; has {
		return a.clone(), nil
	}
	a, err := l.plan(req)
	if err != nil {
		return Assignment{}, err
	}
	if err := l.allowPrivileged(req, a); err != nil {
		return Assignment{}, err
	}
	if a.Empty() {
		return Assignment{}, nil
	}
	l.holdings.take(owner, a)
	return a.clone(), nil
}

// plan chooses devices for a request and takes none. The error has every resource that is
// short; see offer.deal.
func (l *Ledger) plan(req Request) (Assignment, error) {
	a := Assignment{Containers: make(map[string][]string)}
	var errs []error
	for _, resource := range req.Resources() {
		dealt, err := l.offer(resource).deal(req)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		for container, units := range dealt {
			a.Containers[container] = append(a.Containers[container], units...)
		}
	}
	if len(errs) > 0 {
		return Assignment{}, errors.Join(errs...)
	}
	return a, nil
}

// offer is what there is of a resource now. One that the host does not have is empty.
func (l *Ledger) offer(resource string) offer {
	shared := l.sharing.shares(resource)
	o := offer{resource: resource, shared: shared, single: shared && l.sharing.oneEach(),
		states: make(map[State]int), devices: make(Devices), users: make(map[string]int), topology: l.topology}
	for _, d := range l.devices.List() {
		if !l.sharing.publishes(d, resource) {
			continue
		}
		o.devices[d.UUID] = d
		o.users[d.UUID] = l.holdings.users(d.UUID)
		obstacle := l.obstacle(d)
		for _, unit := range l.sharing.units(d) {
			state := obstacle
			if len(l.rivals(d, unit)) > 0 {
				state = StateHeld
			}
			o.states[state]++
			if state == StateFree {
				o.free = append(o.free, unit)
			}
		}
	}
	return o
}

// obstacle tells what keeps a device from being given out, apart from the pods that hold it:
// StateUnhealthy, StateCordoned, StateForeign, or StateFree for nothing.
func (l *Ledger) obstacle(d Device) State {
	state := l.obstacles.state(d)
	if state != StateUnhealthy && len(l.holdings.unknown) > 0 {
		return StateCordoned
	}
	return state
}

// allowPrivileged refuses a privileged container unless its pod holds every
// device of the host: it would see and could use those of other pods. The error is
// errdefs.ErrFailedPrecondition.
func (l *Ledger) allowPrivileged(req Request, a Assignment) error {
	container, privileged := req.privileged()
	if !privileged {
		return nil
	}
	held := a.units()
	var total, missing int
	for _, d := range l.devices {
		if d.Resource == "" {
			continue
		}
		total++
		if len(without(l.sharing.units(d), held)) > 0 {
			missing++
		}
	}
	if missing == 0 {
		return nil
	}
	return fmt.Errorf("container %s is privileged and would see all %d accelerators of this host, of which the pod holds only %d; "+
		"ask for all of them or drop privileged: %w", container, total, total-missing, errdefs.ErrFailedPrecondition)
}
