package enginetest

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"time"
)

// event is one message of an engine.
type event struct {
	Type, Action string
	Actor        struct {
		ID         string
		Attributes map[string]string
	}
	Time     int64 `json:"time"`
	TimeNano int64 `json:"timeNano"`
}

// tell of a change; the lock is held.
func (e *Engine) tell(kind, action, id string, attributes map[string]string) {
	at := e.now()
	one := event{Type: kind, Action: action, Time: at.Unix(), TimeNano: at.UnixNano()}
	one.Actor.ID, one.Actor.Attributes = id, attributes
	e.events = append(e.events, one)
	e.broadcast()
}

// selection of events.
type selection struct {
	since, until               time.Time
	types, actions, containers []string
}

// has says whether an event is among those that were asked for.
func (s selection) has(one event) bool {
	at := time.Unix(0, one.TimeNano)
	return !at.Before(s.since) && (s.until.IsZero() || !at.After(s.until)) &&
		(len(s.types) == 0 || slices.Contains(s.types, one.Type)) &&
		(len(s.actions) == 0 || slices.Contains(s.actions, one.Action)) &&
		(len(s.containers) == 0 || slices.Contains(s.containers, one.Actor.ID) || slices.Contains(s.containers, one.Actor.Attributes["name"]))
}

// streamEvents tells of what comes from now on, and of what was since a time if one is
// named.
func (e *Engine) streamEvents(w http.ResponseWriter, r *http.Request) {
	wanted, ok := filters(w, r)
	if !ok {
		return
	}
	s := selection{types: wanted["type"], actions: wanted["event"], containers: wanted["container"]}
	var err, errUntil error
	s.since, err = moment(r.URL.Query().Get("since"))
	s.until, errUntil = moment(r.URL.Query().Get("until"))
	if err != nil || errUntil != nil {
		refuse(w, http.StatusBadRequest, "invalid time")
		return
	}
	ctx := r.Context()
	if !s.until.IsZero() {
		bounded, cancel := context.WithDeadline(ctx, s.until)
		defer cancel()
		ctx = bounded
	}
	e.mu.Lock()
	at := len(e.events)
	if !s.since.IsZero() {
		at = 0
	}
	e.mu.Unlock()
	begin(w, "application/json")
	for {
		e.mu.Lock()
		over := e.until(ctx, func() bool { return len(e.events) > at })
		seen := slices.Clone(e.events[at:])
		e.mu.Unlock()
		for _, one := range seen {
			if s.has(one) {
				_ = json.NewEncoder(w).Encode(one) // to a caller that may have left
			}
		}
		flush(w)
		if at += len(seen); over != nil {
			return
		}
	}
}
