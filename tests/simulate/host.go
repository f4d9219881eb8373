package main

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/engine/enginetest"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/initapi"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/initapi/initapitest"
)

// host is the machine of one docker-sd: its engine and those in the sandboxes, all in memory.
// Containers run until they are stopped.
type host struct {
	engine *enginetest.Engine
	// boot is how long an engine in a sandbox takes to answer; it costs nothing.
	boot time.Duration

	mu sync.Mutex
	// sandboxes are all that ever started, by the id of their container.
	sandboxes map[string]sandbox
	// ends are called by close, the last first.
	ends []func()
	// wrong is what must not have happened.
	wrong []error
}

// sandbox is what is inside of one.
type sandbox struct {
	engine *enginetest.Engine
	init   *initapitest.Init
}

var _ enginetest.T = &host{}

// startHost makes a host that has images of these names. Its engine listens.
func startHost(boot time.Duration, images ...string) *host {
	h := &host{boot: boot, sandboxes: map[string]sandbox{}}
	h.engine = enginetest.Start(h)
	h.engine.Program(initapi.ProgramPath, h.program)
	for _, name := range images {
		h.engine.AddImage(enginetest.Image{Tags: []string{name}})
	}
	return h
}

// program stands for docker-sd's init: the first process of a sandbox, or of the container
// that proves in a new sandbox that containers run.
func (h *host) program(p *enginetest.Process) int {
	if slices.Equal(p.Argv, initapi.TrueCommand()) {
		return 0
	}
	s := sandbox{engine: enginetest.New(h), init: initapitest.New(h)}
	s.engine.Program(initapi.ProgramPath, h.program)
	h.engine.ShareImages(s.engine)
	h.mu.Lock()
	h.sandboxes[p.Container] = s
	h.mu.Unlock()
	at := slices.IndexFunc(p.Mounts, func(m enginetest.Mount) bool { return m.Target == initapi.FolderPath })
	if at < 0 {
		h.Errorf("sandbox %s has no folder", p.Name)
		return 1
	}
	stop, err := s.init.Serve(p.Mounts[at].Source, false, func() error { return nil })
	if err != nil {
		h.Error(err)
		return 1
	}
	defer stop()
	select {
	case <-time.After(h.boot):
		if err := s.engine.Listen(filepath.Join(p.Mounts[at].Source, initapi.EngineSocket)); err != nil {
			h.Error(err)
		}
		p.Signal()
	case <-p.Done().Done():
	}
	s.engine.Down()
	s.engine.Kill(137)
	return 143
}

// census counts what the host has: sandboxes, networks, and containers that run in sandboxes.
func (h *host) census() (sandboxes, networks, running int) {
	now := h.engine.Snapshot()
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, c := range now.Containers {
		s, is := h.sandboxes[c.ID]
		if !is {
			continue
		}
		sandboxes++
		for _, inner := range s.engine.Snapshot().Containers {
			if inner.Status == "running" {
				running++
			}
		}
	}
	return sandboxes, len(now.Networks), running
}

// calls counts what was asked of the host's engine, and of the engines and inits in its
// sandboxes, by place and call.
func (h *host) calls() map[string]int {
	out := map[string]int{}
	count := func(place string, e *enginetest.Engine) {
		for _, call := range e.Snapshot().Calls {
			out[place+kindOf(call)]++
		}
	}
	count(hostPlace, h.engine)
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, s := range h.sandboxes {
		count(sandboxPlace, s.engine)
		for _, op := range []string{initapi.OpStatus, initapi.OpStart, initapi.OpCheck, initapi.OpPin, initapi.OpTmpfs, initapi.OpShm,
			initapi.OpSysctl, initapi.OpMeasure, initapi.OpKill} {
			if n := len(s.init.Requests(op)); n > 0 {
				out[sandboxPlace+"init "+op] += n
			}
		}
	}
	return out
}

// kindOf a call has a star in place of the object's name.
func kindOf(call string) string {
	parts := strings.Split(call, "/")
	if len(parts) > 2 && parts[2] != "json" && parts[2] != "create" {
		parts[2] = "*"
	}
	return strings.Join(parts, "/")
}

// close ends the engines, and tells all that was wrong with them.
func (h *host) close() error {
	if calls := unexpectedCalls(h.calls()); len(calls) > 0 {
		h.Errorf("no pod of these needs %v", calls)
	}
	for {
		h.mu.Lock()
		if len(h.ends) == 0 {
			defer h.mu.Unlock()
			return errors.Join(h.wrong...)
		}
		end := h.ends[len(h.ends)-1]
		h.ends = h.ends[:len(h.ends)-1]
		h.mu.Unlock()
		end()
	}
}

// Helper does nothing.
func (h *host) Helper() {}

// Cleanup has close call f.
func (h *host) Cleanup(f func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ends = append(h.ends, f)
}

// Failed says whether anything was wrong.
func (h *host) Failed() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.wrong) > 0
}

// Error notes what must not happen, such as a call that the engine does not know.
func (h *host) Error(args ...any) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.wrong = append(h.wrong, fmt.Errorf("on an engine: %s", fmt.Sprint(args...)))
}

// Errorf is Error with a format.
func (h *host) Errorf(format string, args ...any) { h.Error(fmt.Sprintf(format, args...)) }

// Fatal ends the program: a host that cannot be made is no part of a simulation.
func (h *host) Fatal(args ...any) { panic(fmt.Sprint(args...)) }

// Fatalf is Fatal with a format.
func (h *host) Fatalf(format string, args ...any) { h.Fatal(fmt.Sprintf(format, args...)) }
