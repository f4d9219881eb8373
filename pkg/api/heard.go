package api

import (
	"net/http"
	"sync"
	"time"
)

// Heard is what the callers of one address have shown of themselves since the server was made.
// A zero time is never.
type Heard struct {
	// Ping, Poll and Create are the times of the last ones that were understood.
	Ping, Poll, Create time.Time
	// UserAgent is the last caller's.
	UserAgent string
	// Lists says that the last create was a list, as interLink before 0.5.0 sends one.
	Lists bool
}

// maxUserAgent bounds what is kept of a header, in bytes.
const maxUserAgent = 64

// ears hear the callers of one address.
type ears struct {
	mu    sync.Mutex
	heard Heard
}

// note changes what has been heard, by a call that comes now.
func (e *ears) note(r *http.Request, change func(*Heard, time.Time)) {
	agent := r.UserAgent()
	e.mu.Lock()
	defer e.mu.Unlock()
	e.heard.UserAgent = agent[:min(len(agent), maxUserAgent)]
	change(&e.heard, time.Now())
}

func (e *ears) pinged(r *http.Request) { e.note(r, func(h *Heard, now time.Time) { h.Ping = now }) }
func (e *ears) polled(r *http.Request) { e.note(r, func(h *Heard, now time.Time) { h.Poll = now }) }

func (e *ears) created(r *http.Request, list bool) {
	e.note(r, func(h *Heard, now time.Time) { h.Create, h.Lists = now, list })
}

func (e *ears) all() Heard {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.heard
}

// Heard is what interLink's API server has shown of itself, and what Virtual Kubelets have.
func (s *Server) Heard() (plugin, virtualKubelets Heard) {
	return s.pluginEars.all(), s.interlinkEars.all()
}
