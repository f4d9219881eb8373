package admin

import (
	"slices"
	"sync"
)

// ringSize is how many events are kept: some hours of a quiet node, some minutes
// of a busy one. Logs are for more.
const ringSize = 256

// Ring keeps the last events.
type Ring struct {
	mu   sync.Mutex
	kept []Event
	next int
	last uint64
}

// Add numbers and keeps an event, and drops the oldest when there are too many.
func (r *Ring) Add(e Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.last++
	e.Number = r.last
	if len(r.kept) < ringSize {
		r.kept = append(r.kept, e)
		return
	}
	r.kept[r.next] = e
	r.next = (r.next + 1) % ringSize
}

// List returns the events, the newest first.
func (r *Ring) List() []Event {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := append(append(make([]Event, 0, len(r.kept)), r.kept[r.next:]...), r.kept[:r.next]...)
	slices.Reverse(out)
	return out
}
