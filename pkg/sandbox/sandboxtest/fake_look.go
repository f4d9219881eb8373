package sandboxtest

import (
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/engine"
)

// Only returns the one container of a host.
func (h *Fake) Only(t *testing.T) *FakeContainer {
	t.Helper()
	h.Mu.Lock()
	defer h.Mu.Unlock()
	if len(h.Containers) != 1 {
		t.Fatalf("%d containers, want one", len(h.Containers))
	}
	for _, c := range h.Containers {
		return c
	}
	return nil
}

// Names of all containers, sorted.
func (h *Fake) Names() []string {
	h.Mu.Lock()
	defer h.Mu.Unlock()
	var out []string
	for _, c := range h.Containers {
		out = append(out, c.Name)
	}
	slices.Sort(out)
	return out
}

// Network of a name.
func (h *Fake) Network(name string) engine.Network {
	h.Mu.Lock()
	defer h.Mu.Unlock()
	return h.Networks[name]
}

// NetworkNames are sorted.
func (h *Fake) NetworkNames() []string {
	h.Mu.Lock()
	defer h.Mu.Unlock()
	return slices.Sorted(maps.Keys(h.Networks))
}

// Creates is when containers were asked for.
func (h *Fake) Creates() []time.Time {
	h.Mu.Lock()
	defer h.Mu.Unlock()
	return slices.Clone(h.created)
}

// IDOf a container by its name.
func (h *Fake) IDOf(name string) string {
	h.Mu.Lock()
	defer h.Mu.Unlock()
	for id, c := range h.Containers {
		if c.Name == name {
			return id
		}
	}
	return ""
}

// IsRunning says whether a container runs.
func (h *Fake) IsRunning(id string) bool {
	h.Mu.Lock()
	defer h.Mu.Unlock()
	return h.Containers[id].State.Status == engine.StatusRunning
}
