package images

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/containerd/errdefs"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/engine"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/fault"
)

// An image whose layers a sandbox shares must stay on the host while a pod runs
// on it, whatever people remove or prune there. A container that was made from
// it and never started keeps an engine from dropping its layers.

// holdingHost is what the holders need of the host's engine.
type holdingHost interface {
	List(ctx context.Context, labels ...string) ([]engine.Container, error)
	Create(ctx context.Context, spec engine.Spec) (string, error)
	Remove(ctx context.Context, id string) error
}

// holders are the containers on the host that keep pinned images there.
type holders struct {
	instance string
	host     holdingHost
	pins     *pins
}

// name of the container that holds an image.
func (h *holders) name(hostID string) string {
	_, digest, _ := strings.Cut(hostID, ":")
	return fmt.Sprintf("%s-hold-%s", h.instance, digest[:min(len(digest), 12)])
}

// reconcile makes the containers that hold images those that are wanted, and removes others
// of this instance. It goes on after a failure and returns all of them.
func (h *holders) reconcile(ctx context.Context) error {
	wanted := map[string]string{}
	for id := range h.pins.all() {
		wanted[h.name(id)] = id
	}
	present, err := h.host.List(ctx, engine.LabelInstance+"="+h.instance, engine.LabelHold)
	if err != nil {
		return fmt.Errorf("list held images: %w", err)
	}
	var problems []error
	for _, c := range present {
		if _, keep := wanted[c.Name]; keep {
			delete(wanted, c.Name)
			continue
		}
		problems = append(problems, h.host.Remove(ctx, c.ID))
		fault.Point("images.hold.removed")
	}
	for name, id := range wanted {
		_, err := h.host.Create(ctx, engine.Spec{Name: name, Image: id, Network: "none", Entrypoint: []string{"hold"},
			Labels: map[string]string{engine.LabelInstance: h.instance, engine.LabelHold: id}})
		// Gone already: nothing is left to hold, the sandbox has what it needs open.
		if err != nil && !errdefs.IsNotFound(err) && !errdefs.IsConflict(err) {
			problems = append(problems, err)
		}
		fault.Point("images.hold.made")
	}
	return errors.Join(problems...)
}
