package sandbox

import (
	"path/filepath"
	"time"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/engine"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/initapi"
)

func socketPath(dir string) string { return filepath.Join(dir, initapi.EngineSocket) }

// connectEngine returns a client for the engine whose socket is in a folder.
func connectEngine(dir string, calls func(engine.Call)) (*engine.Client, error) {
	if calls == nil {
		return engine.Connect("unix://" + socketPath(dir))
	}
	return engine.Connect("unix://"+socketPath(dir), calls)
}

// readyPoll is how often the socket is tried while a sandbox boots; a refused
// connection costs microseconds.
const readyPoll = 10 * time.Millisecond
