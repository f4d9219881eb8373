package enginetest

import (
	"context"
	"net/http"
	"path"
	"strings"
)

// Moment of a call.
type Moment int

// The moments of a call at which a fault comes.
const (
	Never Moment = iota
	// Before the engine does anything.
	Before
	// After it has done all, instead of its answer.
	After
	// During its answer, of which half is sent. The engine has done all. For Cut only.
	During
)

// Fault is what becomes of a call, once.
type Fault struct {
	// Call is a method and a path without version, with names in place of ids, such as
	// "POST /containers/web/start". A star stands for a part between two slashes, or
	// some of it. An image's name counts as one part, its slashes are written as colons.
	Call string
	// Skip so many calls that match.
	Skip int
	// Status other than 0 is the answer, with Message, and nothing is done.
	Status  int
	Message string
	// Cut the connection.
	Cut Moment
	// Hold the call until Release, the end of the engine, or the caller's: one whose
	// caller has left is not carried out.
	Hold Moment

	t       T
	fired   bool
	reached chan struct{}
	release chan struct{}
}

// Inject has a fault come at the next call that matches. A test fails at its end if no
// such call came.
func (e *Engine) Inject(f Fault) *Fault {
	out := NewFault(e.t, f)
	e.Add(out)
	return out
}

// NewFault is one for an engine that may not be there yet; see Add.
func NewFault(t T, f Fault) *Fault {
	f.t, f.reached, f.release = t, make(chan struct{}), make(chan struct{})
	return &f
}

// Add a fault of NewFault to one engine.
func (e *Engine) Add(f *Fault) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.faults = append(e.faults, f)
}

// Fail refuses the next call that matches with a status.
func (e *Engine) Fail(call string, status int, message string) *Fault {
	return e.Inject(Fault{Call: call, Status: status, Message: message})
}

// AwaitCall waits until the call has come.
func (f *Fault) AwaitCall() {
	f.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), Patience)
	defer cancel()
	select {
	case <-f.reached:
	case <-ctx.Done():
		f.t.Fatalf("no call %s came", f.Call)
	}
}

// Release lets a call go on that is held. It is called once.
func (f *Fault) Release() { close(f.release) }

// fault finds the fault for a call and notes the call.
func (e *Engine) fault(call string) *Fault {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.calls = append(e.calls, call)
	e.broadcast()
	for _, f := range e.faults {
		if f.fired || !matches(f.Call, call) {
			continue
		}
		if f.Skip > 0 {
			f.Skip--
			continue
		}
		f.fired = true
		return f
	}
	return nil
}

// matches says whether a call fits a pattern; see Fault.Call.
func matches(pattern, call string) bool {
	matched, err := path.Match(pattern, call)
	return err == nil && matched
}

// handler serves a call with its fault, if there is one.
func (e *Engine) handler(s *server) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !s.enter() {
			cut(w)
			return
		}
		defer s.handlers.Done()
		ctx, cancel := context.WithCancel(context.WithValue(r.Context(), serverKey{}, s))
		defer cancel()
		defer context.AfterFunc(s.gone, cancel)()
		r = r.WithContext(ctx)
		r.URL.Path = versionPrefix.ReplaceAllString(r.URL.Path, "/")
		f := e.fault(e.callOf(r))
		if f == nil {
			e.routes.ServeHTTP(w, r)
			return
		}
		close(f.reached)
		if f.Hold == Before && !f.wait(ctx) {
			cut(w)
			return
		}
		switch {
		case f.Status != 0:
			refuse(w, f.Status, f.Message)
			return
		case f.Cut == Before:
			cut(w)
			return
		case f.Cut == After || f.Cut == During || f.Hold == After:
			kept := &keptAnswer{header: http.Header{}}
			e.routes.ServeHTTP(kept, r)
			if f.Cut == During {
				kept.sendHalf(w)
			}
			if f.Cut == After || !f.wait(ctx) {
				cut(w)
				return
			}
			kept.send(w)
			return
		}
		e.routes.ServeHTTP(w, r)
	})
}

// serverKey marks the context of a request with its server.
type serverKey struct{}

// serverOf a request.
func serverOf(r *http.Request) *server { return r.Context().Value(serverKey{}).(*server) }

// wait until the test lets the call go on; false is that its caller has left.
func (f *Fault) wait(ctx context.Context) bool {
	select {
	case <-f.release:
		return true
	case <-ctx.Done():
		return false
	}
}

// cut breaks off the connection. A part of an answer goes ahead: without a byte of it
// Go's client would send some requests again by itself.
func cut(w http.ResponseWriter) {
	conn, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	_, _ = buffered.WriteString("HTTP/1.1 ")
	_ = buffered.Flush()
	_ = conn.Close()
}

// keptAnswer is one that is not sent, or later.
type keptAnswer struct {
	header http.Header
	code   int
	body   []byte
}

// Header is that of the answer.
func (k *keptAnswer) Header() http.Header { return k.header }

// WriteHeader keeps the first code.
func (k *keptAnswer) WriteHeader(code int) {
	if k.code == 0 {
		k.code = code
	}
}

// Write keeps the bytes.
func (k *keptAnswer) Write(b []byte) (int, error) {
	k.WriteHeader(http.StatusOK)
	k.body = append(k.body, b...)
	return len(b), nil
}

// Flush has nothing to do until the answer is sent.
func (k *keptAnswer) Flush() {}

// send gives the caller the answer.
func (k *keptAnswer) send(w http.ResponseWriter) {
	for name, values := range k.header {
		w.Header()[name] = values
	}
	w.WriteHeader(max(k.code, http.StatusOK))
	_, _ = w.Write(k.body) // to a caller that may have left
}

// sendHalf sends the beginning of an answer and breaks off the connection.
func (k *keptAnswer) sendHalf(w http.ResponseWriter) {
	k.body = k.body[:len(k.body)/2]
	k.send(w)
	_ = http.NewResponseController(w).Flush() // to a caller that may have left
	panic(http.ErrAbortHandler)
}

// callOf a request has the names of objects in place of their ids.
func (e *Engine) callOf(r *http.Request) string {
	parts := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
	e.mu.Lock()
	defer e.mu.Unlock()
	switch {
	case len(parts) < 2:
	case parts[0] == "containers":
		if c := e.find(parts[1]); c != nil {
			parts[1] = c.name
		}
	case parts[0] == "networks":
		if n := e.findNetwork(parts[1]); n != nil {
			parts[1] = n.Name
		}
	case parts[0] == "exec":
		if x := e.execs[parts[1]]; x != nil {
			parts[1] = x.container.name
		}
	case parts[0] == "images" && len(parts) > 2, parts[0] == "distribution":
		last := len(parts)
		if r.Method != http.MethodDelete {
			last--
		}
		parts = append([]string{parts[0], strings.Join(parts[1:last], ":")}, parts[last:]...)
	}
	return r.Method + " /" + strings.Join(parts, "/")
}
