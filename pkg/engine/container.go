package engine

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/filters"
)

// containerAPI is the part of a Client for containers: their life, logs and bounds.
type containerAPI struct {
	*connection
	// asked is how long one wait lasts before it is asked for again.
	asked time.Duration
}

// Create makes a container and returns its id. A container of that name that
// exists already is an ErrConflict or ErrAlreadyExists.
func (c containerAPI) Create(ctx context.Context, spec Spec) (string, error) {
	ctx, cancel := c.patient(ctx)
	defer cancel()
	config, host, err := translate(spec)
	if err != nil {
		return "", fmt.Errorf("create container %s: %w", spec.Name, err)
	}
	created, err := c.sdk(ctx).ContainerCreate(ctx, config, host, nil, nil, spec.Name)
	if err != nil {
		return "", fmt.Errorf("create container %s: %w", spec.Name, classify(ctx, err))
	}
	return created.ID, nil
}

// CreateOnce is Create for a caller that may have asked before and lost the answer:
// a container of that name is the result. An engine takes the name first; while
// it is still at the rest, the error is ErrUnavailable.
func (c containerAPI) CreateOnce(ctx context.Context, spec Spec) (string, error) {
	id, err := c.Create(ctx, spec)
	if !errdefs.IsConflict(err) && !errdefs.IsAlreadyExists(err) {
		return id, err
	}
	made, err := c.Inspect(ctx, spec.Name)
	if errdefs.IsNotFound(err) {
		err = fmt.Errorf("container %s is still being made: %w", spec.Name, errdefs.ErrUnavailable)
	}
	return made.ID, err
}

// Start starts a created or stopped container; one that runs already is
// success.
func (c containerAPI) Start(ctx context.Context, id string) error {
	ctx, cancel := c.patient(ctx)
	defer cancel()
	if err := c.sdk(ctx).ContainerStart(ctx, id, container.StartOptions{}); err != nil {
		return fmt.Errorf("start container: %w", classify(ctx, err))
	}
	return nil
}

// Stop sends the container's stop signal, waits up to grace, then kills. A
// container that is gone or stopped already is success.
func (c containerAPI) Stop(ctx context.Context, id string, grace time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, grace+c.limit)
	defer cancel()
	seconds := int((grace + time.Second - 1) / time.Second)
	err := c.sdk(ctx).ContainerStop(ctx, id, container.StopOptions{Timeout: &seconds})
	if err != nil && !errdefs.IsNotFound(err) && !errdefs.IsNotModified(err) {
		return fmt.Errorf("stop container: %w", classify(ctx, err))
	}
	return nil
}

// Remove kills and removes a container and its anonymous volumes. Gone already,
// or being removed by another caller, is success once it is gone.
func (c containerAPI) Remove(ctx context.Context, id string) error {
	ctx, cancel := c.patient(ctx)
	defer cancel()
	err := c.sdk(ctx).ContainerRemove(ctx, id, container.RemoveOptions{Force: true, RemoveVolumes: true})
	switch {
	case err == nil || errdefs.IsNotFound(err):
		return nil
	case errdefs.IsConflict(err):
		// Removal is in progress already; wait for its end.
		gone, errs := c.sdk(ctx).ContainerWait(ctx, id, container.WaitConditionRemoved)
		select {
		case <-gone:
			return nil
		case err = <-errs:
			if err == nil || errdefs.IsNotFound(err) {
				return nil
			}
		}
	}
	return fmt.Errorf("remove container: %w", classify(ctx, err))
}

// Rename gives a container another name.
func (c containerAPI) Rename(ctx context.Context, id, name string) error {
	ctx, cancel := context.WithTimeout(ctx, c.limit)
	defer cancel()
	if err := c.sdk(ctx).ContainerRename(ctx, id, name); err != nil {
		return fmt.Errorf("rename container to %s: %w", name, classify(ctx, err))
	}
	return nil
}

// Update gives a container other bounds, whether it runs or not.
func (c containerAPI) Update(ctx context.Context, id string, b Bounds) error {
	ctx, cancel := context.WithTimeout(ctx, c.limit)
	defer cancel()
	wanted := Resources{NanoCPUs: b.NanoCPUs, CPUShares: b.CPUShares, MemoryBytes: b.MemoryBytes, PidsLimit: b.PidsLimit}
	_, err := c.sdk(ctx).ContainerUpdate(ctx, id, container.UpdateConfig{Resources: resources(Spec{Resources: wanted})})
	if err != nil {
		return fmt.Errorf("update container: %w", classify(ctx, err))
	}
	return nil
}

// Inspect returns a container by name or id; ErrNotFound if there is none.
func (c containerAPI) Inspect(ctx context.Context, nameOrID string) (Container, error) {
	ctx, cancel := context.WithTimeout(ctx, c.limit)
	defer cancel()
	seen, err := c.sdk(ctx).ContainerInspect(ctx, nameOrID)
	if err != nil {
		return Container{}, fmt.Errorf("inspect container %s: %w", nameOrID, classify(ctx, err))
	}
	return fromInspect(seen), nil
}

// WrittenBytes is the size of a container's writable layer.
func (c containerAPI) WrittenBytes(ctx context.Context, id string) (int64, error) {
	ctx, cancel := context.WithTimeout(ctx, c.limit)
	defer cancel()
	seen, _, err := c.sdk(ctx).ContainerInspectWithRaw(ctx, id, true)
	if err != nil {
		return 0, fmt.Errorf("measure container: %w", classify(ctx, err))
	}
	if seen.ContainerJSONBase == nil || seen.SizeRw == nil {
		return 0, nil
	}
	return *seen.SizeRw, nil
}

// fromInspect translates what the SDK returns. An engine may leave out any part of it, which
// is then zero.
func fromInspect(seen container.InspectResponse) Container {
	out := Container{IPs: map[string]string{}}
	if base := seen.ContainerJSONBase; base != nil {
		out.ID = base.ID
		out.Name = strings.TrimPrefix(base.Name, "/")
		out.ImageID = base.Image
		out.Created = parseTime(base.Created)
		if s := base.State; s != nil {
			out.State = State{
				Status:     Status(s.Status),
				ExitCode:   s.ExitCode,
				OOMKilled:  s.OOMKilled,
				Error:      s.Error,
				StartedAt:  parseTime(s.StartedAt),
				FinishedAt: parseTime(s.FinishedAt),
				PID:        s.Pid,
			}
		}
	}
	if base := seen.ContainerJSONBase; base != nil && base.HostConfig != nil {
		out.Bounds, out.CgroupParent = boundsOf(base.HostConfig.Resources), base.HostConfig.CgroupParent
		out.NetworkOf = base.HostConfig.NetworkMode.ConnectedContainer()
		for _, request := range base.HostConfig.DeviceRequests {
			out.DeviceIDs = append(out.DeviceIDs, request.DeviceIDs...)
		}
	}
	if seen.Config != nil {
		out.Image = seen.Config.Image
		out.Labels = seen.Config.Labels
		out.Env, out.User = seen.Config.Env, seen.Config.User
	}
	if seen.NetworkSettings != nil {
		for name, network := range seen.NetworkSettings.Networks {
			out.IPs[name] = network.IPAddress
		}
	}
	return out
}

// boundsOf reads the bounds from a container's settings.
func boundsOf(r container.Resources) Bounds {
	out := Bounds{NanoCPUs: r.NanoCPUs, CPUShares: r.CPUShares, MemoryBytes: r.Memory}
	if r.PidsLimit != nil {
		out.PidsLimit = max(*r.PidsLimit, 0)
	}
	return out
}

// parseTime reads the engine's time stamps; it writes year 1 for "never".
func parseTime(s string) time.Time {
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil || t.Year() <= 1 {
		return time.Time{}
	}
	return t
}

// List returns every container, running or not, that carries all the labels
// ("key" or "key=value"). Only ID, Name, Image, Labels, Created, NetworkOf and the
// status are filled.
func (c containerAPI) List(ctx context.Context, labels ...string) ([]Container, error) {
	ctx, cancel := context.WithTimeout(ctx, c.limit)
	defer cancel()
	found, err := c.sdk(ctx).ContainerList(ctx, container.ListOptions{All: true, Filters: labelFilter(labels)})
	if err != nil {
		return nil, fmt.Errorf("list containers: %w", classify(ctx, err))
	}
	out := make([]Container, 0, len(found))
	for _, f := range found {
		item := Container{ID: f.ID, Image: f.Image, ImageID: f.ImageID, Labels: maps.Clone(f.Labels),
			Created: time.Unix(f.Created, 0), State: State{Status: Status(f.State)},
			NetworkOf: container.NetworkMode(f.HostConfig.NetworkMode).ConnectedContainer()}
		if len(f.Names) > 0 {
			item.Name = strings.TrimPrefix(f.Names[0], "/")
		}
		out = append(out, item)
	}
	slices.SortFunc(out, func(a, b Container) int { return strings.Compare(a.Name, b.Name) })
	return out, nil
}

// labelFilter selects the objects that carry all the labels, "key" or "key=value" each.
func labelFilter(labels []string) filters.Args {
	args := filters.NewArgs()
	for _, label := range labels {
		args.Add("label", label)
	}
	return args
}

// Wait blocks until the container is not running, then returns how it ended.
// A container that is gone is ErrNotFound; an engine that goes away meanwhile
// is ErrUnavailable, and the caller may ask again.
func (c containerAPI) Wait(ctx context.Context, id string) (State, error) {
	for {
		ended, err := c.waitOnce(ctx, id)
		if ctx.Err() != nil {
			return State{}, ctx.Err()
		}
		if err != nil {
			return State{}, fmt.Errorf("wait for container: %w", err)
		}
		if ended {
			break
		}
	}
	seen, err := c.Inspect(ctx, id)
	if err != nil {
		return State{}, err
	}
	return seen.State, nil
}

// waitPeriod is how long one wait is trusted: an engine that lost the end of a
// container tells of it when it is asked again.
const waitPeriod = 5 * time.Minute

// waitOnce waits for at most a period and tells whether the container has ended.
func (c containerAPI) waitOnce(ctx context.Context, id string) (ended bool, err error) {
	ctx, silence, end := listen(ctx, c.limit)
	// It returns when the engine has accepted the wait, which is at once.
	done, errs := c.sdk(ctx).ContainerWait(ctx, id, container.WaitConditionNotRunning)
	silence.rest()
	period := time.NewTimer(c.asked)
	defer period.Stop()
	answered := true
	defer func() {
		end()
		if !answered {
			// The SDK's goroutine may have the answer by now, and keeps it until it is taken.
			select {
			case <-done:
			case <-errs: //nolint:errcheck // the caller has left
			}
		}
	}()
	select {
	case <-done:
		return true, nil
	case <-period.C:
		answered = false
		return false, nil
	case err = <-errs:
	case <-ctx.Done():
		answered = false
		err = ctx.Err()
	}
	if !errdefs.IsNotFound(err) {
		// The stream broke: the engine restarted or died under us.
		err = errors.Join(errdefs.ErrUnavailable, silent(ctx, err))
	}
	return false, err
}
