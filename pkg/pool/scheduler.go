package pool

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/sandbox"
)

// Stats is a moment's view of the pool.
type Stats struct {
	Size, Warm, Starting, Waiting, Standby, Holders int
	// Claiming counts pods whose sandbox is being booted for them, or waits for its turn.
	Claiming int
	// LastError is the last failed boot's, nil after one that succeeded.
	LastError error
}

// scheduler decides when sandboxes are booted, and for whom: pods that wait for one go
// first, then the pool, then what is made ahead. Its lock is taken before the registry's.
type scheduler struct {
	config   Config
	registry *registry
	// slots bounds how many boot at the same time.
	slots chan struct{}
	wake  chan struct{}

	mu sync.Mutex
	// starting counts boots for the pool.
	starting int
	// preparing says that a standby is being made, or a holder; no other standby is made
	// before standbyAfter, and no other holder before holderAfter.
	preparing                 bool
	standbyAfter, holderAfter time.Time
	// claiming counts claims whose sandbox is not there yet; they go before refills.
	claiming int
	// waiting are claims that have no sandbox yet, first come first served.
	waiting []chan *sandbox.Sandbox
	// lastErr is that of the last boot.
	lastErr error
	// demand is what pods ask of the pool; full says that the host has no room for more than
	// its usual size, which stays so until roomAfter. No sandbox is given up before shrinkAfter.
	demand                 demand
	full                   bool
	shrinkAfter, roomAfter time.Time
	// unsettled counts pods that are starting in a sandbox from the pool; no
	// replacement is booted meanwhile, until quiet at the latest.
	unsettled int
	quiet     time.Time
}

func newScheduler(config Config, registry *registry) *scheduler {
	s := &scheduler{config: config, registry: registry, slots: make(chan struct{}, max(config.Parallel, 1)), wake: make(chan struct{}, 1)}
	if config.Most > config.Size {
		s.demand.most = config.Most
	}
	return s
}

// signal has Run look at what is missing.
func (s *scheduler) signal() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

func (s *scheduler) stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	return Stats{Size: s.size(), Warm: s.registry.count(stateWarm), Starting: s.starting, Waiting: len(s.waiting),
		Standby: s.registry.count(stateStandby), Holders: s.registry.count(stateHolder), Claiming: s.claiming, LastError: s.lastErr}
}

// size is how many sandboxes should wait ready now; the lock is held.
func (s *scheduler) size() int {
	if s.full {
		return s.config.Size
	}
	return max(s.config.Size, s.demand.size(time.Now()))
}

// room notes whether the host has room for more sandboxes than the pool's usual size.
func (s *scheduler) room(enough bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.full = !enough || time.Now().Before(s.roomAfter)
}

// stock puts a sandbox that was given back into the pool, if one more is wanted there.
func (s *scheduler) stock(back *sandbox.Sandbox) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.registry.stock(back, s.size())
}

// shrink takes one sandbox out of a pool that has become too large, "" if there is none or
// it is not yet time. The caller has to remove it.
func (s *scheduler) shrink() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	if s.demand.most == 0 || s.busy() || now.Before(s.shrinkAfter) {
		return ""
	}
	name := s.registry.giveUp(s.size())
	if name != "" {
		s.shrinkAfter = now.Add(shrinkPause)
	}
	if name != "" && s.full {
		s.roomAfter = now.Add(roomPause)
	}
	return name
}

// reserve takes a warm sandbox for a pod, nil if there is none.
func (s *scheduler) reserve() *sandbox.Sandbox {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.demand.pod(time.Now())
	taken := s.registry.takeWarm()
	if taken != nil {
		s.podStarts()
		s.signal()
	}
	return taken
}

// quietPeriod bounds how long the boot of a replacement waits for a pod that is
// starting. The two at once share the machine's cores, and the pod's user is the
// one who waits: on two cores it doubled the time to running.
const quietPeriod = time.Second

// podStarts counts a pod that starts; the lock is held.
func (s *scheduler) podStarts() {
	s.unsettled++
	s.quiet = time.Now().Add(quietPeriod)
}

// podSettled ends the count of one that has started, or never will.
func (s *scheduler) podSettled() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.unsettled--
	s.signal()
}

// busy says that pods need the machine more than the pool; the lock is held.
func (s *scheduler) busy() bool {
	return s.claiming > 0 || s.unsettled > 0 && time.Now().Before(s.quiet)
}

// untilQuiet is how long Run may sleep.
func (s *scheduler) untilQuiet() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	wait := time.Hour
	next := []time.Time{s.standbyAfter, s.holderAfter, s.demand.changes(), s.shrinkAfter, s.roomAfter}
	if s.unsettled > 0 {
		next = append(next, s.quiet)
	}
	for _, at := range next {
		if left := time.Until(at); left > 0 {
			wait = min(wait, left)
		}
	}
	return wait
}

// claimBegins counts a claim whose sandbox is to be booted.
func (s *scheduler) claimBegins() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.claiming++
}

// claimEnds counts it no more, and its pod as one that starts if starts is true.
func (s *scheduler) claimEnds(starts bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.claiming--
	if starts {
		s.podStarts()
	}
	s.signal()
}

// await has a claim handed the next sandbox that becomes ready for the pool.
func (s *scheduler) await(handed chan *sandbox.Sandbox) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.waiting = append(s.waiting, handed)
}

// withdraw ends a claim's waiting; it returns the sandbox that it was handed at
// the last moment, if any.
func (s *scheduler) withdraw(handed chan *sandbox.Sandbox) *sandbox.Sandbox {
	s.mu.Lock()
	defer s.mu.Unlock()
	if at := slices.Index(s.waiting, handed); at >= 0 {
		s.waiting = slices.Delete(s.waiting, at, at+1)
	}
	select {
	case taken := <-handed:
		return taken
	default:
		return nil
	}
}

// bookRefills counts how many boots are missing and books them. Creates that
// wait for their own sandbox go first.
func (s *scheduler) bookRefills() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.busy() {
		return 0
	}
	missing := max(s.size()-s.registry.fresh()-s.starting, 0)
	if missing == 0 && s.starting == 0 {
		s.lastErr = nil
	}
	if s.lastErr != nil {
		missing = min(missing, 1)
	}
	s.starting += missing
	return missing
}

// refillFailed ends one that was booked.
func (s *scheduler) refillFailed() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.starting--
}

// refilled gives a sandbox that was booted for the pool to the first claim that waits,
// or to the pool. It says whether the sandbox is warm now, and which ones are not needed
// any more.
func (s *scheduler) refilled(ready *sandbox.Sandbox) (warm bool, surplus []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.starting--
	if len(s.waiting) > 0 {
		if !s.registry.claim(ready.Name) {
			return false, []string{ready.Name}
		}
		s.waiting[0] <- ready
		s.waiting = s.waiting[1:]
		return false, nil
	}
	size := s.size()
	if !s.registry.stock(ready, size) {
		return false, []string{ready.Name}
	}
	return true, s.registry.trim(size)
}

// bookStandby books one standby that is missing. They are made one after the
// other and only while nothing needs the machine more.
func (s *scheduler) bookStandby() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.occupied() || s.registry.count(stateStandby) >= s.config.Standby || time.Now().Before(s.standbyAfter) {
		return false
	}
	s.preparing = true
	return true
}

// bookHolder books one holder that is missing. They come after standbys, which save
// more, and are as well made only while nothing needs the machine more.
func (s *scheduler) bookHolder() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.occupied() || s.registry.count(stateStandby) < s.config.Standby || s.registry.count(stateHolder) >= s.config.Holders ||
		time.Now().Before(s.holderAfter) {
		return false
	}
	s.preparing = true
	return true
}

// occupied says that something goes before what is made ahead; the lock is held.
func (s *scheduler) occupied() bool {
	return s.busy() || s.preparing || s.lastErr != nil || s.starting > 0 || s.registry.fresh() < s.size()
}

// prepareRetry is the pause after a standby or a holder that could not be made.
const prepareRetry = 30 * time.Second

// prepared ends the making of a standby or of a holder.
func (s *scheduler) prepared(what state, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.preparing = false
	if err == nil {
		return
	}
	again := time.Now().Add(prepareRetry)
	if what == stateStandby {
		s.standbyAfter = again
	} else {
		s.holderAfter = again
	}
}

// booted remembers how a boot went whose caller is still there.
func (s *scheduler) booted(ctx context.Context, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if ctx.Err() == nil {
		s.lastErr = err
	}
}
