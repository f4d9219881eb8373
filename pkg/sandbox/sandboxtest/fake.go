package sandboxtest

import (
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/containerd/errdefs"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/engine"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/initapi"
)

// Fake is a host's engine in memory, for tests with a fake clock. A call that is not to
// work as it does is for Faults.
type Fake struct {
	// Inner are the engines in its sandboxes.
	Inner *Engines

	// Mu guards what follows.
	Mu         sync.Mutex
	before     func(ctx context.Context, call, subject string) error
	Containers map[string]*FakeContainer
	Networks   map[string]engine.Network
	Volumes    []engine.Volume
	created    []time.Time
	made       int
	// Mute hosts start containers in which no engine answers.
	Mute bool
	// Fleeting hosts start containers that end at once.
	Fleeting bool
}

// FakeContainer is a container and what it was made from.
type FakeContainer struct {
	engine.Container
	Spec    engine.Spec
	stopped chan struct{}
}

// NewFake returns one without any container.
func NewFake(inner *Engines) *Fake {
	return &Fake{Inner: inner, Containers: map[string]*FakeContainer{}, Networks: map[string]engine.Network{}}
}

// Faults has before asked ahead of every call with its name and subject, holding no
// lock, so that it may fail, block or look.
func (h *Fake) Faults(before func(ctx context.Context, call, subject string) error) {
	h.Mu.Lock()
	defer h.Mu.Unlock()
	h.before = before
}

// Failing makes one kind of call fail.
func Failing(call string, err error) func(context.Context, string, string) error {
	return func(_ context.Context, now, _ string) error {
		if now == call {
			return err
		}
		return nil
	}
}

func (h *Fake) enter(ctx context.Context, call, subject string) error {
	h.Mu.Lock()
	before := h.before
	h.Mu.Unlock()
	if before == nil {
		return nil
	}
	return before(ctx, call, subject)
}

// Create makes a container.
func (h *Fake) Create(ctx context.Context, spec engine.Spec) (string, error) {
	h.Mu.Lock()
	h.created = append(h.created, time.Now())
	h.Mu.Unlock()
	if err := h.enter(ctx, "Create", spec.Name); err != nil {
		return "", err
	}
	h.Mu.Lock()
	defer h.Mu.Unlock()
	h.made++
	id := fmt.Sprintf("container-%d", h.made)
	_, other, _ := strings.Cut(spec.Network, "container:")
	h.Containers[id] = &FakeContainer{Spec: spec, stopped: make(chan struct{}), Container: engine.Container{
		ID: id, Name: spec.Name, Image: spec.Image, ImageID: "sha256:sandbox", Labels: spec.Labels, Created: time.Now(),
		State: engine.State{Status: engine.StatusCreated}, Bounds: spec.Resources.Bounds(), IPs: map[string]string{spec.Network: ""}, NetworkOf: other}}
	return id, nil
}

// CreateOnce makes one unless one has the name.
func (h *Fake) CreateOnce(ctx context.Context, spec engine.Spec) (string, error) {
	h.Mu.Lock()
	for id, c := range h.Containers {
		if c.Name == spec.Name {
			h.Mu.Unlock()
			return id, nil
		}
	}
	h.Mu.Unlock()
	return h.Create(ctx, spec)
}

// Accepts is nil: it is not being stopped.
func (h *Fake) Accepts(ctx context.Context) error { return h.enter(ctx, "Accepts", "") }

// Start runs a container, and the engine in it if it is a sandbox.
func (h *Fake) Start(ctx context.Context, id string) error {
	if err := h.enter(ctx, "Start", id); err != nil {
		return err
	}
	h.Mu.Lock()
	c := h.Containers[id]
	if c == nil {
		h.Mu.Unlock()
		return errdefs.ErrNotFound
	}
	running := c.State.Status == engine.StatusRunning
	if other := h.Containers[c.NetworkOf]; c.NetworkOf != "" && (other == nil || other.State.Status != engine.StatusRunning) {
		h.Mu.Unlock()
		return fmt.Errorf("cannot join network of a non running container: %w", errdefs.ErrConflict)
	}
	if _, found := h.Networks[c.Spec.Network]; found {
		c.IPs = map[string]string{c.Spec.Network: address(id)}
	}
	if !running {
		c.stopped = make(chan struct{})
		c.State = engine.State{Status: engine.StatusRunning, PID: 4711, StartedAt: time.Now(), FinishedAt: c.State.FinishedAt}
	}
	mute, fleeting := h.Mute, h.Fleeting
	h.Mu.Unlock()
	switch {
	case running:
	case fleeting:
		h.Kill(id)
	case FolderOf(c) != "":
		return h.Inner.boot(FolderOf(c), slices.Contains(c.Spec.Entrypoint, "-standby"), !mute)
	}
	return nil
}

// FolderOf is the folder on the host that a sandbox's init makes its sockets in.
func FolderOf(c *FakeContainer) string {
	at := slices.IndexFunc(c.Spec.Mounts, func(m engine.Mount) bool { return m.Target == initapi.FolderPath })
	if at < 0 {
		return ""
	}
	return c.Spec.Mounts[at].Source
}

// Kill ends a container's process, whatever it was doing.
func (h *Fake) Kill(id string) {
	h.Mu.Lock()
	c := h.Containers[id]
	if c.State.Status != engine.StatusRunning {
		h.Mu.Unlock()
		return
	}
	c.State = engine.State{Status: engine.StatusExited, ExitCode: 137, StartedAt: c.State.StartedAt, FinishedAt: time.Now()}
	h.Mu.Unlock()
	h.Inner.Stop(FolderOf(c))
	close(c.stopped)
}

// Inspect describes a container.
func (h *Fake) Inspect(ctx context.Context, id string) (engine.Container, error) {
	if err := h.enter(ctx, "Inspect", id); err != nil {
		return engine.Container{}, err
	}
	h.Mu.Lock()
	defer h.Mu.Unlock()
	if c := h.Containers[id]; c != nil {
		return c.Container, nil
	}
	return engine.Container{}, errdefs.ErrNotFound
}

func carries(has map[string]string, labels []string) bool {
	for _, label := range labels {
		key, value, valued := strings.Cut(label, "=")
		if got, found := has[key]; !found || valued && got != value {
			return false
		}
	}
	return true
}

// List lists the containers that carry labels.
func (h *Fake) List(ctx context.Context, labels ...string) ([]engine.Container, error) {
	if err := h.enter(ctx, "List", ""); err != nil {
		return nil, err
	}
	h.Mu.Lock()
	defer h.Mu.Unlock()
	var out []engine.Container
	for _, id := range slices.Sorted(maps.Keys(h.Containers)) {
		if c := h.Containers[id]; carries(c.Labels, labels) {
			out = append(out, c.Container)
		}
	}
	return out, nil
}

// Logs writes the last words of an engine.
func (h *Fake) Logs(_ context.Context, _ string, _ engine.LogOptions, w io.Writer) error {
	_, err := io.WriteString(w, "dockerd: no space\nleft on device\n")
	return err
}

// Remove removes a container, whatever it does.
func (h *Fake) Remove(ctx context.Context, id string) error {
	if err := h.enter(ctx, "Remove", id); err != nil {
		return err
	}
	h.Mu.Lock()
	_, found := h.Containers[id]
	h.Mu.Unlock()
	if found {
		h.Kill(id)
	}
	h.Mu.Lock()
	defer h.Mu.Unlock()
	delete(h.Containers, id)
	return nil
}

// UnusedVolumes lists Volumes.
func (h *Fake) UnusedVolumes(ctx context.Context, _ ...string) ([]engine.Volume, error) {
	if err := h.enter(ctx, "UnusedVolumes", ""); err != nil {
		return nil, err
	}
	h.Mu.Lock()
	defer h.Mu.Unlock()
	return slices.Clone(h.Volumes), nil
}

// RemoveVolume removes one of Volumes.
func (h *Fake) RemoveVolume(ctx context.Context, name string) error {
	if err := h.enter(ctx, "RemoveVolume", name); err != nil {
		return err
	}
	h.Mu.Lock()
	defer h.Mu.Unlock()
	h.Volumes = slices.DeleteFunc(h.Volumes, func(v engine.Volume) bool { return v.Name == name })
	return nil
}

// Rename gives a container another name, as a real engine not the one that it has.
func (h *Fake) Rename(ctx context.Context, id, name string) error {
	if err := h.enter(ctx, "Rename", id); err != nil {
		return err
	}
	h.Mu.Lock()
	defer h.Mu.Unlock()
	if h.Containers[id].Name == name {
		return fmt.Errorf("renaming a container with the same name as its current name: %w", errdefs.ErrInvalidArgument)
	}
	h.Containers[id].Name = name
	return nil
}

// Update changes the bounds of a container.
func (h *Fake) Update(ctx context.Context, id string, b engine.Bounds) error {
	if err := h.enter(ctx, "Update", id); err != nil {
		return err
	}
	h.Mu.Lock()
	defer h.Mu.Unlock()
	c := h.Containers[id]
	if c == nil {
		return errdefs.ErrNotFound
	}
	c.Bounds = b
	return nil
}

// Wait returns when a container does not run.
func (h *Fake) Wait(ctx context.Context, id string) (engine.State, error) {
	if err := h.enter(ctx, "Wait", id); err != nil {
		return engine.State{}, err
	}
	h.Mu.Lock()
	c := h.Containers[id]
	if c == nil {
		h.Mu.Unlock()
		return engine.State{}, errdefs.ErrNotFound
	}
	running, stopped := c.State.Status == engine.StatusRunning, c.stopped
	h.Mu.Unlock()
	if running {
		select {
		case <-stopped:
		case <-ctx.Done():
			return engine.State{}, ctx.Err()
		}
	}
	return engine.State{Status: engine.StatusExited}, nil
}

// CreateNetwork makes a network unless its range or name is taken.
func (h *Fake) CreateNetwork(ctx context.Context, spec engine.NetworkSpec) error {
	if err := h.enter(ctx, "CreateNetwork", spec.Name); err != nil {
		return err
	}
	h.Mu.Lock()
	defer h.Mu.Unlock()
	if _, found := h.Networks[spec.Name]; found {
		return fmt.Errorf("network %s exists: %w", spec.Name, errdefs.ErrConflict)
	}
	for _, n := range h.Networks {
		if n.Subnet != "" && n.Subnet == spec.Subnet {
			return fmt.Errorf("pool overlaps with other one on this address space: %w", errdefs.ErrPermissionDenied)
		}
	}
	h.Networks[spec.Name] = engine.Network{ID: spec.Name, Name: spec.Name, Labels: spec.Labels, Subnet: spec.Subnet, Bridge: spec.Bridge,
		Created: time.Now()}
	return nil
}

// Join has an engine give the container an address.
func (h *Fake) Join(ctx context.Context, network, id string) error {
	if err := h.enter(ctx, "Join", id); err != nil {
		return err
	}
	h.Mu.Lock()
	defer h.Mu.Unlock()
	c := h.Containers[id]
	if c == nil {
		return errdefs.ErrNotFound
	}
	if _, found := h.Networks[network]; !found {
		return fmt.Errorf("network %s: %w", network, errdefs.ErrNotFound)
	}
	c.IPs = map[string]string{network: address(id)}
	return nil
}

// RemoveNetwork removes one that nothing running is in.
func (h *Fake) RemoveNetwork(ctx context.Context, name string) error {
	if err := h.enter(ctx, "RemoveNetwork", name); err != nil {
		return err
	}
	h.Mu.Lock()
	defer h.Mu.Unlock()
	for _, c := range h.Containers {
		if _, in := c.IPs[name]; in && c.State.Status == engine.StatusRunning {
			return fmt.Errorf("network %s has active endpoints: %w", name, errdefs.ErrPermissionDenied)
		}
	}
	delete(h.Networks, name)
	return nil
}

// ListNetworks lists the networks that carry labels.
func (h *Fake) ListNetworks(ctx context.Context, labels ...string) ([]engine.Network, error) {
	if err := h.enter(ctx, "ListNetworks", ""); err != nil {
		return nil, err
	}
	h.Mu.Lock()
	defer h.Mu.Unlock()
	var out []engine.Network
	for _, name := range slices.Sorted(maps.Keys(h.Networks)) {
		if n := h.Networks[name]; carries(n.Labels, labels) {
			out = append(out, n)
		}
	}
	return out, nil
}

// Stop ends a container.
func (h *Fake) Stop(ctx context.Context, id string, _ time.Duration) error {
	if err := h.enter(ctx, "Stop", id); err != nil {
		return err
	}
	h.Mu.Lock()
	_, found := h.Containers[id]
	h.Mu.Unlock()
	if found {
		h.Kill(id)
	}
	return nil
}

// address of a container in its network.
func address(id string) string { return "10.0.0." + strings.TrimPrefix(id, "container-") }
