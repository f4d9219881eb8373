package enginetest

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// sigkilled is the exit code of a process that SIGKILL ended, sigtermed of SIGTERM.
const (
	sigkilled = 137
	sigtermed = 143
	// notFound is the exit code of a container whose command is not there, startRefused
	// that of one that its engine could not start otherwise, and notRunnable that of an
	// exec of a command that is not there.
	notFound     = 127
	startRefused = 128
	notRunnable  = 126
)

// Program stands for what runs in a container or an exec, in a goroutine of its own. It
// returns the exit code, and it returns soon once the process is done.
type Program func(p *Process) int

// Process is one run of a Program.
type Process struct {
	// Container is the id of the process's container, Name what it was called at the start.
	Container, Name string
	Argv, Env       []string
	Mounts          []Mount
	// Stdout and Stderr go to the container's log, or to the caller of the exec.
	Stdout, Stderr io.Writer

	done    context.Context
	signals chan string
	// kill ends done; forced is the exit code then.
	kill   context.CancelFunc
	forced *int
}

// Done ends when the process is killed, or told by the test to exit.
func (p *Process) Done() context.Context { return p.done }

// Program has processes whose first argument is name run one. None (nil) is a file that
// is not there: a container of it does not start. Commands without a program run until
// they get a signal, and these are built in: "true", "false", "exit N", "echo WORDS",
// and "ignore", which only SIGKILL ends.
func (e *Engine) Program(name string, program Program) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.program[name] = program
}

// builtIn are the programs that every engine has; see Engine.Program.
func builtIn() map[string]Program {
	return map[string]Program{
		"true":  func(*Process) int { return 0 },
		"false": func(*Process) int { return 1 },
		"exit": func(p *Process) int {
			code, _ := strconv.Atoi(p.Argv[len(p.Argv)-1])
			return code
		},
		"echo": func(p *Process) int {
			_, _ = io.WriteString(p.Stdout, strings.Join(p.Argv[1:], " ")+"\n")
			return 0
		},
		"ignore": func(p *Process) int {
			<-p.done.Done()
			return sigkilled
		},
	}
}

// Signal waits for the next one; SIGKILL is the end of the process.
func (p *Process) Signal() string {
	select {
	case name := <-p.signals:
		return name
	case <-p.done.Done():
		return "SIGKILL"
	}
}

// untilSignal is the program of commands that have none.
func untilSignal(p *Process) int {
	if p.Signal() == "SIGKILL" {
		return sigkilled
	}
	return sigtermed
}

// programOf a command; the lock is held.
func (e *Engine) programOf(argv []string) Program {
	if program, known := e.program[argv[0]]; known {
		return program
	}
	return untilSignal
}

// newProcess makes a process in a container, which is not started yet; the lock is held.
func (e *Engine) newProcess(c *container, argv []string) *Process {
	p := &Process{Container: c.id, Name: c.name, Argv: argv, Env: c.config.Env, Mounts: c.view().Mounts, signals: make(chan string, 8)}
	p.done, p.kill = context.WithCancel(context.Background())
	return p
}

// exit has a process end with a code; the lock is held.
func (p *Process) exit(code int) {
	if p.forced == nil {
		p.forced = &code
	}
	p.kill()
}

// startContainer answers POST /containers/{id}/start; one that runs is not modified.
func (e *Engine) startContainer(c *container, _ *http.Request) http.HandlerFunc {
	if c.alive() {
		return says(http.StatusNotModified)
	}
	program, code := e.programOf(c.argv()), startRefused
	status, problem := e.joinAll(c)
	if status == 0 && program == nil {
		status, code = http.StatusBadRequest, notFound
		problem = "OCI runtime create failed: exec: \"" + c.argv()[0] + "\": executable file not found in $PATH: unknown"
	}
	if status != 0 {
		c.state.code, c.state.problem = code, problem
		e.leaveAll(c)
		e.broadcast()
		return refuses(status, "%s", problem)
	}
	e.made++
	c.state = state{status: "running", pid: 1000 + e.made, started: e.now(), finished: c.state.finished}
	p := e.newProcess(c, c.argv())
	p.Stdout, p.Stderr = &logWriter{e, c, 1}, &logWriter{e, c, 2}
	c.process = p
	e.tell("container", "start", c.id, map[string]string{"name": c.name})
	e.programs.Go(func() {
		code := program(p)
		e.mu.Lock()
		defer e.mu.Unlock()
		if p.forced != nil {
			code = *p.forced
		}
		e.ended(c, code)
	})
	return says(http.StatusNoContent)
}

// ended notes the end of a container's process; the lock is held.
func (e *Engine) ended(c *container, code int) {
	c.process.kill()
	c.process = nil
	c.state.status, c.state.code, c.state.pid, c.state.finished = "exited", code, 0, e.now()
	e.leaveAll(c)
	for _, x := range e.execs {
		if x.container == c && x.process != nil {
			x.process.exit(sigkilled)
		}
	}
	e.tell("container", "die", c.id, map[string]string{"name": c.name, "exitCode": strconv.Itoa(code)})
}

// Exit ends a container's process with a code and returns when it has; one that does
// not run is left as it is.
func (e *Engine) Exit(nameOrID string, code int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if c := e.find(nameOrID); c != nil {
		e.exit(c, code)
	}
}

// exit waits for the end of the process that the container has now; the lock is held,
// but not while it waits.
func (e *Engine) exit(c *container, code int) {
	p := c.process
	if p == nil {
		return
	}
	p.exit(code)
	ctx, cancel := context.WithTimeout(context.Background(), Patience)
	defer cancel()
	if e.until(ctx, func() bool { return c.process != p }) != nil {
		e.t.Errorf("the program of %q does not look at its Done, and so container %s cannot be ended", p.Argv, c.name)
	}
}

// RunOutOfMemory ends a container as the kernel does. told says that the engine's state
// of it has that, too, and not only its events.
func (e *Engine) RunOutOfMemory(nameOrID string, told bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	c := e.find(nameOrID)
	if c == nil || c.process == nil {
		return
	}
	c.state.oom = told
	e.tell("container", "oom", c.id, map[string]string{"name": c.name})
	e.exit(c, sigkilled)
}

// Pause freezes a container that runs, and thaws one that is frozen.
func (e *Engine) Pause(nameOrID string, frozen bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	c := e.find(nameOrID)
	if c == nil || c.process == nil {
		return
	}
	c.state.status = "running"
	if frozen {
		c.state.status = "paused"
	}
	e.broadcast()
}

// signal a process; the lock is held.
func (p *Process) signal(name string) {
	if name == "SIGKILL" || name == "KILL" || name == "9" {
		p.exit(sigkilled)
		return
	}
	select {
	case p.signals <- name:
	default: // as pending signals of one kind are one
	}
}

// killContainer answers POST /containers/{id}/kill with the signal that is asked for.
func (e *Engine) killContainer(c *container, r *http.Request) http.HandlerFunc {
	if c.process == nil {
		return refuses(http.StatusConflict, "Cannot kill container: %s: Container %s is not running", c.name, c.id)
	}
	signal := r.URL.Query().Get("signal")
	if signal == "" {
		signal = "SIGKILL"
	}
	c.process.signal(signal)
	return says(http.StatusNoContent)
}

// stopContainer answers POST /containers/{id}/stop: the stop signal, the grace period, then SIGKILL.
func (e *Engine) stopContainer(c *container, r *http.Request) http.HandlerFunc {
	p := c.process
	if p == nil {
		return says(http.StatusNotModified)
	}
	seconds, err := strconv.Atoi(r.URL.Query().Get("t"))
	if err != nil {
		seconds = 10
	}
	signal := c.config.StopSignal
	if signal == "" {
		signal = "SIGTERM"
	}
	p.signal(signal)
	return func(w http.ResponseWriter, r *http.Request) {
		// An engine goes on with a stop whose caller has left, but not when it dies itself.
		gone := serverOf(r).gone
		ctx, cancel := context.WithTimeout(gone, time.Duration(seconds)*time.Second)
		defer cancel()
		e.mu.Lock()
		if e.until(ctx, func() bool { return c.process != p }) != nil && gone.Err() == nil {
			e.exit(c, sigkilled)
		}
		e.mu.Unlock()
		w.WriteHeader(http.StatusNoContent)
	}
}

// waitContainer answers at once that it waits, and what it has waited for when that is so.
func (e *Engine) waitContainer(c *container, r *http.Request) http.HandlerFunc {
	over := func() bool { return !c.alive() || c.removed }
	p := c.process
	switch r.URL.Query().Get("condition") {
	case "", "not-running":
	case "removed":
		over = func() bool { return c.removed }
	case "next-exit":
		over = func() bool { return c.removed || p != nil && c.process != p }
	default:
		return refuses(http.StatusBadRequest, "invalid condition: %q", r.URL.Query().Get("condition"))
	}
	return func(w http.ResponseWriter, r *http.Request) {
		begin(w, "application/json")
		e.mu.Lock()
		err := e.until(r.Context(), over)
		code := c.state.code
		e.mu.Unlock()
		if err == nil {
			_ = json.NewEncoder(w).Encode(map[string]any{"StatusCode": code})
		}
	}
}
