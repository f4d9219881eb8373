package sandbox

import (
	"context"
	"io"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/engine"
)

// MakerHost is what a Maker needs of the host's engine.
type MakerHost interface {
	watcherHost
	Create(context.Context, engine.Spec) (string, error)
	Start(context.Context, string) error
	// Accepts is nil unless the engine is being stopped or is away.
	Accepts(context.Context) error
	Inspect(context.Context, string) (engine.Container, error)
	List(ctx context.Context, labels ...string) ([]engine.Container, error)
	Logs(context.Context, string, engine.LogOptions, io.Writer) error
	Rename(ctx context.Context, id, name string) error
	Update(context.Context, string, engine.Bounds) error
}

// Maker makes sandboxes, and connects to those that are there. What it has made when a
// call fails stays until a Remover removes it.
type Maker struct {
	config   Config
	host     MakerHost
	networks *Networks
	watcher  *watcher
}

// NewMaker returns one that has made nothing yet. It calls gone, from a goroutine for
// each sandbox, when the container of a sandbox that it returned does not run any more;
// Close waits for these calls.
func NewMaker(config Config, host MakerHost, networks *Networks, gone func(*Sandbox)) *Maker {
	return &Maker{config: config, host: host, networks: networks, watcher: newWatcher(host, gone)}
}

// Close ends the watching of sandboxes; they go on running.
func (m *Maker) Close() { m.watcher.close() }
