package enginetest

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"slices"
	"sync"
)

// execution is one process beside a container's own.
type execution struct {
	id        string
	container *container
	argv      []string
	process   *Process
	// pid is that of its process, 0 before that began.
	pid, code int
}

// firstPID of those that stand for processes.
const firstPID = 1000

// createExec answers POST /containers/{id}/exec; nothing runs until it is started.
func (e *Engine) createExec(c *container, r *http.Request) http.HandlerFunc {
	var body struct{ Cmd []string }
	return func(w http.ResponseWriter, _ *http.Request) {
		if !read(w, r, &body) {
			return
		}
		e.mu.Lock()
		x := &execution{id: e.newID("exec"), container: c, argv: body.Cmd}
		status := c.state.status
		if status == "running" && len(body.Cmd) > 0 {
			e.execs[x.id] = x
		}
		e.mu.Unlock()
		switch {
		case len(body.Cmd) == 0:
			refuse(w, http.StatusBadRequest, "No exec command specified")
		case status == "paused":
			refuse(w, http.StatusConflict, "Container "+c.id+" is paused, unpause the container before exec")
		case status != "running":
			refuse(w, http.StatusConflict, "Container "+c.id+" is not running")
		default:
			answer(w, http.StatusCreated, map[string]string{"Id": x.id})
		}
	}
}

// startExec turns the connection into the stream of a process that it starts.
func (e *Engine) startExec(w http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body) // nothing in it matters here
	e.mu.Lock()
	x := e.execs[r.PathValue("id")]
	if x == nil || x.container.state.status != "running" {
		e.mu.Unlock()
		if x == nil {
			refuse(w, http.StatusNotFound, "No such exec instance: "+r.PathValue("id"))
			return
		}
		refuse(w, http.StatusConflict, "Container "+x.container.id+" is not running")
		return
	}
	p := e.newProcess(x.container, slices.Clone(x.argv))
	x.process, x.pid = p, firstPID+len(e.execs)
	program := e.programOf(x.argv)
	e.broadcast()
	e.mu.Unlock()
	conn, stream, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	defer conn.Close()
	_, _ = stream.WriteString("HTTP/1.1 101 UPGRADED\r\nContent-Type: application/vnd.docker.multiplexed-stream\r\n" +
		"Connection: Upgrade\r\nUpgrade: tcp\r\n\r\n")
	_ = stream.Flush()
	both := &framed{to: stream.Writer, conn: conn}
	p.Stdout, p.Stderr = &frameWriter{both, 1}, &frameWriter{both, 2}
	ended := make(chan int, 1)
	e.programs.Go(func() {
		code := notRunnable
		if program == nil {
			_, _ = io.WriteString(p.Stdout, "OCI runtime exec failed: exec failed: exec: \""+p.Argv[0]+"\": executable file not found in $PATH: unknown\r\n")
		} else {
			code = program(p)
		}
		e.mu.Lock()
		if p.forced != nil {
			code = *p.forced
		}
		p.kill()
		x.process, x.code = nil, code
		e.broadcast()
		e.mu.Unlock()
		ended <- code
	})
	select {
	case <-ended:
	case <-r.Context().Done(): // the engine is down: the process goes on
	}
}

// inspectExec answers GET /exec/{id}/json.
func (e *Engine) inspectExec(w http.ResponseWriter, r *http.Request) {
	e.mu.Lock()
	x := e.execs[r.PathValue("id")]
	var body map[string]any
	if x != nil {
		body = map[string]any{"ID": x.id, "ContainerID": x.container.id, "Pid": x.pid, "Running": x.process != nil, "ExitCode": x.code}
	}
	e.mu.Unlock()
	if x == nil {
		refuse(w, http.StatusNotFound, "No such exec instance: "+r.PathValue("id"))
		return
	}
	answer(w, http.StatusOK, body)
}

// framed is a connection that two streams share.
type framed struct {
	mu   sync.Mutex
	to   *bufio.Writer
	conn net.Conn
}

// frameWriter writes one of the two streams of an exec.
type frameWriter struct {
	framed *framed
	stream byte
}

// Write sends the bytes as one frame.
func (f *frameWriter) Write(b []byte) (int, error) {
	f.framed.mu.Lock()
	defer f.framed.mu.Unlock()
	if _, err := f.framed.to.Write(frame(f.stream, b)); err != nil {
		return 0, err
	}
	return len(b), f.framed.to.Flush()
}
