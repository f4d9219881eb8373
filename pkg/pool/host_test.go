package pool_test

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
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/pool"
)

// fakeHost is a host engine in memory. before is asked ahead of every call with
// its name and subject, holding no lock, so that it may fail, block or look.
type fakeHost struct {
	inner *innerEngines

	mu         sync.Mutex
	before     func(ctx context.Context, call, subject string) error
	containers map[string]*fakeContainer
	networks   map[string]engine.Network
	volumes    []engine.Volume
	created    []time.Time
	made       int
	// mute hosts start containers in which no engine answers.
	mute bool
	// fleeting hosts start containers that end at once.
	fleeting bool
}

type fakeContainer struct {
	engine.Container
	spec    engine.Spec
	stopped chan struct{}
}

var _ pool.Host = &fakeHost{}

func newHost(inner *innerEngines) *fakeHost {
	return &fakeHost{inner: inner, containers: map[string]*fakeContainer{}, networks: map[string]engine.Network{}}
}

func (h *fakeHost) faults(before func(ctx context.Context, call, subject string) error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.before = before
}

// failing makes one kind of call fail.
func failing(call string, err error) func(context.Context, string, string) error {
	return func(_ context.Context, now, _ string) error {
		if now == call {
			return err
		}
		return nil
	}
}

func (h *fakeHost) enter(ctx context.Context, call, subject string) error {
	h.mu.Lock()
	before := h.before
	h.mu.Unlock()
	if before == nil {
		return nil
	}
	return before(ctx, call, subject)
}

func (h *fakeHost) Create(ctx context.Context, spec engine.Spec) (string, error) {
	h.mu.Lock()
	h.created = append(h.created, time.Now())
	h.mu.Unlock()
	if err := h.enter(ctx, "Create", spec.Name); err != nil {
		return "", err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.made++
	id := fmt.Sprintf("container-%d", h.made)
	_, other, _ := strings.Cut(spec.Network, "container:")
	h.containers[id] = &fakeContainer{spec: spec, stopped: make(chan struct{}), Container: engine.Container{
		ID: id, Name: spec.Name, Image: spec.Image, ImageID: "sha256:sandbox", Labels: spec.Labels, Created: time.Now(),
		State: engine.State{Status: engine.StatusCreated}, Bounds: spec.Resources.Bounds(), IPs: map[string]string{spec.Network: ""}, NetworkOf: other}}
	return id, nil
}

func (h *fakeHost) CreateOnce(ctx context.Context, spec engine.Spec) (string, error) {
	h.mu.Lock()
	for id, c := range h.containers {
		if c.Name == spec.Name {
			h.mu.Unlock()
			return id, nil
		}
	}
	h.mu.Unlock()
	return h.Create(ctx, spec)
}

func (h *fakeHost) Accepts(ctx context.Context) error { return h.enter(ctx, "Accepts", "") }

func (h *fakeHost) Start(ctx context.Context, id string) error {
	if err := h.enter(ctx, "Start", id); err != nil {
		return err
	}
	h.mu.Lock()
	c := h.containers[id]
	if c == nil {
		h.mu.Unlock()
		return errdefs.ErrNotFound
	}
	running := c.State.Status == engine.StatusRunning
	if other := h.containers[c.NetworkOf]; c.NetworkOf != "" && (other == nil || other.State.Status != engine.StatusRunning) {
		h.mu.Unlock()
		return fmt.Errorf("cannot join network of a non running container: %w", errdefs.ErrConflict)
	}
	if _, found := h.networks[c.spec.Network]; found {
		c.IPs = map[string]string{c.spec.Network: address(id)}
	}
	if !running {
		c.stopped = make(chan struct{})
		c.State = engine.State{Status: engine.StatusRunning, PID: 4711, StartedAt: time.Now(), FinishedAt: c.State.FinishedAt}
	}
	mute, fleeting := h.mute, h.fleeting
	h.mu.Unlock()
	switch {
	case running:
	case fleeting:
		h.kill(id)
	case folderOf(c) != "":
		return h.inner.boot(folderOf(c), slices.Contains(c.spec.Entrypoint, "-standby"), !mute)
	}
	return nil
}

// folderOf is the folder on the host that a sandbox's init makes its sockets in.
func folderOf(c *fakeContainer) string {
	at := slices.IndexFunc(c.spec.Mounts, func(m engine.Mount) bool { return m.Target == initapi.FolderPath })
	if at < 0 {
		return ""
	}
	return c.spec.Mounts[at].Source
}

// kill ends a container's process, whatever it was doing.
func (h *fakeHost) kill(id string) {
	h.mu.Lock()
	c := h.containers[id]
	if c.State.Status != engine.StatusRunning {
		h.mu.Unlock()
		return
	}
	c.State = engine.State{Status: engine.StatusExited, ExitCode: 137, StartedAt: c.State.StartedAt, FinishedAt: time.Now()}
	h.mu.Unlock()
	h.inner.stop(folderOf(c))
	close(c.stopped)
}

func (h *fakeHost) Inspect(ctx context.Context, id string) (engine.Container, error) {
	if err := h.enter(ctx, "Inspect", id); err != nil {
		return engine.Container{}, err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if c := h.containers[id]; c != nil {
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

func (h *fakeHost) List(ctx context.Context, labels ...string) ([]engine.Container, error) {
	if err := h.enter(ctx, "List", ""); err != nil {
		return nil, err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	var out []engine.Container
	for _, id := range slices.Sorted(maps.Keys(h.containers)) {
		if c := h.containers[id]; carries(c.Labels, labels) {
			out = append(out, c.Container)
		}
	}
	return out, nil
}

func (h *fakeHost) Logs(_ context.Context, _ string, _ engine.LogOptions, w io.Writer) error {
	_, err := io.WriteString(w, "dockerd: no space\nleft on device\n")
	return err
}

func (h *fakeHost) Remove(ctx context.Context, id string) error {
	if err := h.enter(ctx, "Remove", id); err != nil {
		return err
	}
	h.mu.Lock()
	_, found := h.containers[id]
	h.mu.Unlock()
	if found {
		h.kill(id)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.containers, id)
	return nil
}

func (h *fakeHost) UnusedVolumes(ctx context.Context, _ ...string) ([]engine.Volume, error) {
	if err := h.enter(ctx, "UnusedVolumes", ""); err != nil {
		return nil, err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.volumes), nil
}

func (h *fakeHost) RemoveVolume(ctx context.Context, name string) error {
	if err := h.enter(ctx, "RemoveVolume", name); err != nil {
		return err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.volumes = slices.DeleteFunc(h.volumes, func(v engine.Volume) bool { return v.Name == name })
	return nil
}

func (h *fakeHost) Rename(ctx context.Context, id, name string) error {
	if err := h.enter(ctx, "Rename", id); err != nil {
		return err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.containers[id].Name == name {
		return fmt.Errorf("renaming a container with the same name as its current name: %w", errdefs.ErrInvalidArgument)
	}
	h.containers[id].Name = name
	return nil
}

func (h *fakeHost) Update(ctx context.Context, id string, b engine.Bounds) error {
	if err := h.enter(ctx, "Update", id); err != nil {
		return err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	c := h.containers[id]
	if c == nil {
		return errdefs.ErrNotFound
	}
	c.Bounds = b
	return nil
}

func (h *fakeHost) Wait(ctx context.Context, id string) (engine.State, error) {
	if err := h.enter(ctx, "Wait", id); err != nil {
		return engine.State{}, err
	}
	h.mu.Lock()
	c := h.containers[id]
	if c == nil {
		h.mu.Unlock()
		return engine.State{}, errdefs.ErrNotFound
	}
	running, stopped := c.State.Status == engine.StatusRunning, c.stopped
	h.mu.Unlock()
	if running {
		select {
		case <-stopped:
		case <-ctx.Done():
			return engine.State{}, ctx.Err()
		}
	}
	return engine.State{Status: engine.StatusExited}, nil
}

func (h *fakeHost) CreateNetwork(ctx context.Context, spec engine.NetworkSpec) error {
	if err := h.enter(ctx, "CreateNetwork", spec.Name); err != nil {
		return err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if _, found := h.networks[spec.Name]; found {
		return fmt.Errorf("network %s exists: %w", spec.Name, errdefs.ErrConflict)
	}
	for _, n := range h.networks {
		if n.Subnet != "" && n.Subnet == spec.Subnet {
			return fmt.Errorf("pool overlaps with other one on this address space: %w", errdefs.ErrPermissionDenied)
		}
	}
	h.networks[spec.Name] = engine.Network{ID: spec.Name, Name: spec.Name, Labels: spec.Labels, Subnet: spec.Subnet, Bridge: spec.Bridge,
		Created: time.Now()}
	return nil
}

// Join has an engine give the container an address.
func (h *fakeHost) Join(ctx context.Context, network, id string) error {
	if err := h.enter(ctx, "Join", id); err != nil {
		return err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	c := h.containers[id]
	if c == nil {
		return errdefs.ErrNotFound
	}
	if _, found := h.networks[network]; !found {
		return fmt.Errorf("network %s: %w", network, errdefs.ErrNotFound)
	}
	c.IPs = map[string]string{network: address(id)}
	return nil
}

func (h *fakeHost) RemoveNetwork(ctx context.Context, name string) error {
	if err := h.enter(ctx, "RemoveNetwork", name); err != nil {
		return err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, c := range h.containers {
		if _, in := c.IPs[name]; in && c.State.Status == engine.StatusRunning {
			return fmt.Errorf("network %s has active endpoints: %w", name, errdefs.ErrPermissionDenied)
		}
	}
	delete(h.networks, name)
	return nil
}

func (h *fakeHost) ListNetworks(ctx context.Context, labels ...string) ([]engine.Network, error) {
	if err := h.enter(ctx, "ListNetworks", ""); err != nil {
		return nil, err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	var out []engine.Network
	for _, name := range slices.Sorted(maps.Keys(h.networks)) {
		if n := h.networks[name]; carries(n.Labels, labels) {
			out = append(out, n)
		}
	}
	return out, nil
}

// names of all containers, sorted.
func (h *fakeHost) names() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	var out []string
	for _, c := range h.containers {
		out = append(out, c.Name)
	}
	slices.Sort(out)
	return out
}

// networkNames are sorted.
func (h *fakeHost) network(name string) engine.Network {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.networks[name]
}

func (h *fakeHost) networkNames() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Sorted(maps.Keys(h.networks))
}

// creates is when containers were asked for.
func (h *fakeHost) creates() []time.Time {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.created)
}

// idOf a container by its name.
func (h *fakeHost) idOf(name string) string {
	h.mu.Lock()
	defer h.mu.Unlock()
	for id, c := range h.containers {
		if c.Name == name {
			return id
		}
	}
	return ""
}
