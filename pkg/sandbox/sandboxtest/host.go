// Package sandboxtest is a host engine for unit tests in whose sandboxes there is an engine,
// too: both are of pkg/engine/enginetest.
package sandboxtest

import (
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/engine/enginetest"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/initapi"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/initapi/initapitest"
)

// Host is a host's engine. Containers of docker-sd's init are sandboxes.
type Host struct {
	*enginetest.Engine
	t testing.TB

	mu     sync.Mutex
	inside map[string]*Sandbox
	each   []func(*Sandbox)
	faults []*enginetest.Fault
}

// Sandbox is what is inside of one: it outlives a stop of its container, and goes with it.
type Sandbox struct {
	Engine *enginetest.Engine
	Init   *initapitest.Init
	// ID of its container on the host.
	ID string
}

// Start makes a host's engine that listens on a socket of its own.
func Start(t testing.TB) *Host {
	t.Helper()
	h := &Host{Engine: enginetest.Start(t), t: t, inside: map[string]*Sandbox{}}
	h.Engine.Program(initapi.ProgramPath, h.program)
	return h
}

// Each calls f for every sandbox, those to come included, before it boots first.
func (h *Host) Each(f func(*Sandbox)) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.each = append(h.each, f)
	for _, s := range h.inside {
		f(s)
	}
}

// InnerProgram is Program for the engines in all sandboxes.
func (h *Host) InnerProgram(name string, program enginetest.Program) {
	h.Each(func(s *Sandbox) { s.Engine.Program(name, program) })
}

// InjectInside is Inject for the engine in the next sandbox that is made.
func (h *Host) InjectInside(f enginetest.Fault) *enginetest.Fault {
	h.mu.Lock()
	defer h.mu.Unlock()
	out := enginetest.NewFault(h.t, f)
	h.faults = append(h.faults, out)
	return out
}

// Sandbox in the container of that name, which is waited for.
func (h *Host) Sandbox(container string) *Sandbox {
	h.t.Helper()
	var id string
	h.Await("there is sandbox "+container, func(s enginetest.Snapshot) bool {
		id = s.Containers[container].ID
		return id != ""
	})
	return h.sandbox(id)
}

// sandbox that a container is, which is made at its first start.
func (h *Host) sandbox(id string) *Sandbox {
	h.mu.Lock()
	defer h.mu.Unlock()
	s := h.inside[id]
	if s == nil {
		s = &Sandbox{Engine: enginetest.New(h.t), Init: initapitest.New(h.t), ID: id}
		s.Engine.Program(initapi.ProgramPath, h.program)
		for _, f := range h.each {
			f(s)
		}
		for _, f := range h.faults {
			s.Engine.Add(f)
		}
		h.faults = nil
		h.inside[id] = s
	}
	return s
}

// program stands for docker-sd's init.
func (h *Host) program(p *enginetest.Process) int {
	if len(p.Argv) > 1 && p.Argv[1] == initapi.CommandBoot {
		return h.boot(p)
	}
	if slices.Equal(p.Argv, initapi.TrueCommand()) {
		return 0
	}
	p.Signal()
	return 143
}

// boot is a sandbox's first process.
func (h *Host) boot(p *enginetest.Process) int {
	s := h.sandbox(p.Container)
	at := slices.IndexFunc(p.Mounts, func(m enginetest.Mount) bool { return m.Target == initapi.FolderPath })
	if at < 0 {
		h.t.Errorf("sandbox %s has no folder", p.Name)
		return 1
	}
	dir := p.Mounts[at].Source
	stop, err := s.Init.Serve(dir, slices.Contains(p.Argv, "-standby"), func() error {
		if slices.Contains(p.Argv, "-store") {
			h.ShareImages(s.Engine)
		}
		return s.Engine.Listen(filepath.Join(dir, initapi.EngineSocket))
	})
	if stop != nil {
		defer stop()
	}
	if err != nil {
		return 1 // such as a folder that was removed meanwhile
	}
	p.Signal()
	s.Engine.Down()
	s.Engine.Kill(255) // what its engine finds at its next start
	return 143
}
