package pool

import (
	"cmp"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/sandbox"
)

// state of a sandbox, as docker-sd sees it.
type state string

// States of sandboxes. A sandbox that is in none of them, or a stray, has no owner.
const (
	// stateBooting is one that is being made.
	stateBooting state = "booting"
	// stateHolder is one of which there is only its network, made ahead.
	stateHolder state = "holder"
	// stateStandby is one that lacks only its engine, made ahead.
	stateStandby state = "standby"
	// stateWarm is one that waits for a pod.
	stateWarm state = "warm"
	// stateClaimed is a pod's.
	stateClaimed state = "claimed"
	// stateReleased is one of which only the folder is kept, for its ended pod.
	stateReleased state = "released"
	// stateRemoving is one that is being removed.
	stateRemoving state = "removing"
	// stateLeftover is one that could not be removed; the sweep tries again.
	stateLeftover state = "leftover"
	// stateStray is one that carries the labels of this docker-sd and has no owner.
	stateStray state = "stray"
)

// owned says that something answers for a sandbox in this state, so that it is no stray.
func (s state) owned() bool {
	switch s {
	case stateBooting, stateHolder, stateStandby, stateWarm, stateClaimed, stateRemoving:
		return true
	}
	return false
}

// keepsFolder says that the folder of a sandbox in this state has to stay.
func (s state) keepsFolder() bool { return s.owned() || s == stateReleased || s == stateStray }

// shape is what a sandbox is booted with.
type shape struct {
	hardware sandbox.Hardware
	// generation is the digest of all that shapes a sandbox.
	generation string
	// epoch counts changes of the host's images; a sandbox sees those that were there
	// when it booted.
	epoch int
}

// unknownEpoch is that of a sandbox of an earlier run, and never the present one.
const unknownEpoch = -1

// entry is what is known of a sandbox.
type entry struct {
	name  string
	state state
	// turn orders those of one state: the first that came has the lowest.
	turn int
	// id is the container of a holder or a standby.
	id string
	// sandbox is that of a warm one, and nil in all other states.
	sandbox *sandbox.Sandbox
	// generation and epoch that it was booted with.
	generation string
	epoch      int
	// since is when a stray was first seen.
	since time.Time
}

// registry holds all sandboxes that docker-sd knows of, by name, each in one state. Its
// methods change states and never wait.
type registry struct {
	mu      sync.Mutex
	entries map[string]*entry
	turns   int
	// now is what sandboxes are booted with from now on.
	now shape
}

func newRegistry(now shape) *registry { return &registry{entries: map[string]*entry{}, now: now} }

// enter puts a sandbox into a state, as the last one there; the lock is held.
func (r *registry) enter(name string, to state) *entry {
	e := r.entries[name]
	if e == nil {
		e = &entry{name: name}
		r.entries[name] = e
	}
	r.turns++
	e.state, e.turn, e.sandbox = to, r.turns, nil
	return e
}

// in lists the sandboxes in a state, in the order in which they came; the lock is held.
func (r *registry) in(s state) []*entry {
	var out []*entry
	for _, e := range r.entries {
		if e.state == s {
			out = append(out, e)
		}
	}
	slices.SortFunc(out, func(a, b *entry) int { return cmp.Compare(a.turn, b.turn) })
	return out
}

// set puts a sandbox into a state.
func (r *registry) set(name string, to state) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.enter(name, to)
}

// setAll puts many into their states.
func (r *registry) setAll(states map[string]state) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for name, to := range states {
		r.enter(name, to)
	}
}

// forget drops a sandbox that is gone, or was never made.
func (r *registry) forget(name string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.entries, name)
}

// release is for one that is to lose all but its folder, if it has an owner.
func (r *registry) release(name string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if e := r.entries[name]; e != nil && e.state.owned() {
		e.state = stateReleased
	}
}

// state of a sandbox, "" if it is not known.
func (r *registry) state(name string) state {
	r.mu.Lock()
	defer r.mu.Unlock()
	if e := r.entries[name]; e != nil {
		return e.state
	}
	return ""
}

// names of the sandboxes whose state is one of these.
func (r *registry) names(which func(state) bool) []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []string
	for name, e := range r.entries {
		if which(e.state) {
			out = append(out, name)
		}
	}
	return out
}

// count of the sandboxes in a state.
func (r *registry) count(s state) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.in(s))
}

// warm lists the sandboxes that wait for a pod.
func (r *registry) warm() []*sandbox.Sandbox {
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []*sandbox.Sandbox
	for _, e := range r.in(stateWarm) {
		out = append(out, e.sandbox)
	}
	return out
}

// shape returns what sandboxes are booted with from now on.
func (r *registry) shape() shape {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.now
}

// reshape changes what sandboxes are booted with from now on. If that is something else
// than before, the caller has to remove those that wait, which it returns.
func (r *registry) reshape(h sandbox.Hardware, generation string) (outdated []string, changed bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if generation == r.now.generation {
		return nil, false
	}
	r.now.hardware, r.now.generation = h, generation
	for _, e := range slices.Concat(r.in(stateWarm), r.in(stateStandby)) {
		r.enter(e.name, stateRemoving)
		outdated = append(outdated, e.name)
	}
	return outdated, true
}

// imagesChanged begins another epoch.
func (r *registry) imagesChanged() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.now.epoch++
}

// booted notes what a sandbox was booted with, whose engine answers.
func (r *registry) booted(name, generation string, epoch int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	e := r.enter(name, stateBooting)
	e.generation, e.epoch = generation, epoch
}

// fresh counts warm sandboxes that see all of the host's images.
func (r *registry) fresh() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.freshNow()
}

// freshNow is fresh with the lock held.
func (r *registry) freshNow() (n int) {
	for _, e := range r.in(stateWarm) {
		if e.epoch == r.now.epoch {
			n++
		}
	}
	return n
}

// claim makes a booted sandbox a pod's; it does not if the pod would get other hardware
// than it may be given now.
func (r *registry) claim(name string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	e := r.entries[name]
	if e == nil || e.generation != r.now.generation {
		return false
	}
	r.enter(name, stateClaimed)
	return true
}

// stock makes a booted or claimed sandbox warm, unless it is outdated or there are size
// fresh ones.
func (r *registry) stock(s *sandbox.Sandbox, size int) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	e := r.entries[s.Name]
	if e == nil || e.generation != r.now.generation || r.freshNow() >= size {
		return false
	}
	r.enter(s.Name, stateWarm).sandbox = s
	return true
}

// trim takes stale sandboxes out of a pool that has more than size, as it has when some
// were given back. The caller has to remove them.
func (r *registry) trim(size int) (stale []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := r.in(stateWarm)
	for _, e := range all {
		if len(all)-len(stale) > size && e.epoch != r.now.epoch {
			r.enter(e.name, stateRemoving)
			stale = append(stale, e.name)
		}
	}
	return stale
}

// giveUp takes one out of a pool that has more than size, the one that has waited longest.
// It returns "" if there are no more.
func (r *registry) giveUp(size int) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := r.in(stateWarm)
	if len(all) <= size {
		return ""
	}
	r.enter(all[0].name, stateRemoving)
	return all[0].name
}

// takeWarm claims a warm sandbox, the first that sees all images if there is one. It
// returns nil if none is warm.
func (r *registry) takeWarm() *sandbox.Sandbox {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := r.in(stateWarm)
	if len(all) == 0 {
		return nil
	}
	e := all[max(slices.IndexFunc(all, func(e *entry) bool { return e.epoch == r.now.epoch }), 0)]
	taken := e.sandbox
	r.enter(e.name, stateClaimed)
	return taken
}

// lost is for a sandbox whose container has ended: it says whether it was warm, and so
// is the caller's to remove.
func (r *registry) lost(s *sandbox.Sandbox) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	e := r.entries[s.Name]
	if e == nil || e.state != stateWarm || e.sandbox != s {
		return false
	}
	r.enter(s.Name, stateRemoving)
	return true
}

// add puts what was made ahead, or was found, into its state, if it is of the present
// generation and there are fewer than most.
func (r *registry) add(e entry, most int) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if e.state != stateHolder && e.generation != r.now.generation || len(r.in(e.state)) >= most {
		return false
	}
	added := r.enter(e.name, e.state)
	added.id, added.sandbox, added.generation, added.epoch = e.id, e.sandbox, e.generation, e.epoch
	return true
}

// take takes the first of those that were made ahead, to be booted.
func (r *registry) take(from state) (entry, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := r.in(from)
	if len(all) == 0 {
		return entry{}, false
	}
	return *r.enter(all[0].name, stateBooting), true
}

// takeDead takes those of a state whose container is among the dead. The caller has to
// remove them.
func (r *registry) takeDead(from state, dead map[string]bool) (names []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, e := range r.in(from) {
		if dead[e.id] {
			r.enter(e.name, stateRemoving)
			names = append(names, e.name)
		}
	}
	return names
}

// sweepPeriod is how often strays are looked for while docker-sd runs.
const sweepPeriod = time.Minute

// stray returns since when a sandbox has been seen as one without an owner. Its age by
// the wall clock counts for no more than the time between two looks: a clock that was
// set must not make it old.
func (r *registry) stray(name string, created time.Time) time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	e := r.entries[name]
	if e == nil {
		e = r.enter(name, stateStray)
		e.since = time.Now().Add(-min(max(time.Since(created), 0), sweepPeriod))
	}
	return e.since
}

// forgetStrays drops those that are not there any more.
func (r *registry) forgetStrays(present map[string]time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	maps.DeleteFunc(r.entries, func(name string, e *entry) bool {
		_, there := present[name]
		return e.state == stateStray && !there
	})
}
