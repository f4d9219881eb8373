package pool

import (
	"errors"
	"testing"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/sandbox"
)

// TestSchedulerOrder: pods that wait go first, then the pool, then standbys, then
// networks; one thing at a time is made ahead.
func TestSchedulerOrder(t *testing.T) {
	r := registryWith("a", "b")
	s := newScheduler(Config{Size: 2, Standby: 1, Holders: 1}, r)
	want := func(what string, refills int, standby, holder bool) {
		t.Helper()
		n, ahead, network := s.bookRefills(), s.bookStandby(), s.bookHolder()
		if n != refills || ahead != standby || network != holder {
			t.Errorf("%s: %d refills, a standby: %t, a holder: %t, want %d, %t, %t", what, n, ahead, network, refills, standby, holder)
		}
	}
	s.claimBegins()
	want("a pod waits", 0, false, false)
	s.claimEnds(true)
	want("a pod starts", 0, false, false)
	s.podSettled()
	want("nothing goes on", 2, false, false)
	for _, name := range []string{"a", "b"} {
		if warm, surplus := s.refilled(&sandbox.Sandbox{Name: name}); !warm || surplus != nil {
			t.Errorf("%s is warm: %t, removed are %q", name, warm, surplus)
		}
	}
	want("the pool is full", 0, true, false)
	want("a standby is being made", 0, false, false)
	r.add(entry{name: "c", state: stateStandby, generation: "now"}, 1)
	s.prepared(stateStandby, nil)
	want("a standby is there", 0, false, true)
	s.prepared(stateHolder, errors.New("no space left on device"))
	want("a holder could not be made", 0, false, false)
	if wait := s.untilQuiet(); wait <= 0 || wait > prepareRetry {
		t.Errorf("Run sleeps for %s, want until another is tried", wait)
	}
	s.booted(t.Context(), errors.New("no such runtime"))
	for range 2 {
		s.reserve()
	}
	s.podSettled()
	s.podSettled()
	want("boots fail", 1, false, false)
}

// TestSchedulerHandsOver: what becomes ready goes to the claim that waits longest, unless
// it gave up or the sandbox has other hardware.
func TestSchedulerHandsOver(t *testing.T) {
	r := registryWith("a", "b", "c")
	s := newScheduler(Config{Size: 1}, r)
	first, second, third := make(chan *sandbox.Sandbox, 1), make(chan *sandbox.Sandbox, 1), make(chan *sandbox.Sandbox, 1)
	for _, claim := range []chan *sandbox.Sandbox{first, second, third} {
		s.await(claim)
	}
	if got := s.withdraw(first); got != nil {
		t.Errorf("a claim that gave up was handed %s", got.Name)
	}
	if warm, surplus := s.refilled(&sandbox.Sandbox{Name: "a"}); warm || surplus != nil {
		t.Errorf("a sandbox that a claim waits for is warm: %t, removed are %q", warm, surplus)
	}
	wantState(t, r, "a", stateClaimed)
	if got := s.withdraw(second); got == nil || got.Name != "a" {
		t.Errorf("the second claim got %+v", got)
	}
	r.reshape(sandbox.Hardware{Runtime: "nvidia"}, "next")
	if warm, surplus := s.refilled(&sandbox.Sandbox{Name: "b"}); warm || len(surplus) != 1 {
		t.Errorf("a sandbox of other hardware is warm: %t, removed are %q", warm, surplus)
	}
	if got := s.withdraw(third); got != nil || s.stats().Waiting != 0 {
		t.Errorf("the third claim got %+v, %d wait", got, s.stats().Waiting)
	}
}
