package wstunnel

import (
	"sync"
	"time"
)

// Status of a tunnel.
type Status struct {
	// Connected says that the server has the tunnel.
	Connected bool
	// Since is when Connected last changed.
	Since time.Time
	// Err is the last failure, in words for the pod's user; nil if there was none.
	Err error
	// Connections to the server so far that could be used.
	Connections int
}

// line is the status of a tunnel while it changes.
type line struct {
	// changed is called after a change, without a lock; nil means nothing is.
	changed func()

	mu     sync.Mutex
	status Status
}

// Status of the tunnel now.
func (l *line) Status() Status {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.status
}

func (l *line) connected() {
	l.mu.Lock()
	l.set(true)
	l.status.Connections++
	l.mu.Unlock()
	l.tell()
}

// failed notes an error; down says that the server does not have the tunnel any more.
func (l *line) failed(err error, down bool) {
	l.mu.Lock()
	l.status.Err = err
	if down {
		l.set(false)
	}
	l.mu.Unlock()
	l.tell()
}

// set is called with mu held.
func (l *line) set(connected bool) {
	if l.status.Connected != connected {
		l.status.Connected, l.status.Since = connected, time.Now()
	}
}

func (l *line) tell() {
	if l.changed != nil {
		l.changed()
	}
}
