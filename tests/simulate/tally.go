package main

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"
)

// tally counts the calls that a host's engine got, and those of the engines in
// its sandboxes.
type tally struct {
	inside *tally

	mu     sync.Mutex
	counts map[string]int
	wrong  []string
}

func newTally() *tally {
	return &tally{counts: map[string]int{}, inside: &tally{counts: map[string]int{}}}
}

func (t *tally) note(call string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.counts[call]++
}

// unexpected notes what must not happen.
func (t *tally) unexpected(what string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.wrong = append(t.wrong, what)
}

// problems are what should not have happened.
func (t *tally) problems() error {
	var out []error
	for _, each := range []*tally{t, t.inside} {
		each.mu.Lock()
		for _, what := range each.wrong {
			out = append(out, fmt.Errorf("on an engine: %s", what))
		}
		each.mu.Unlock()
	}
	return errors.Join(out...)
}

// take is a copy of the counts, by place and call.
func (t *tally) take() map[string]int {
	out := map[string]int{}
	for place, each := range map[string]*tally{hostPlace: t, "sandbox ": t.inside} {
		each.mu.Lock()
		for call, n := range each.counts {
			out[place+call] = n
		}
		each.mu.Unlock()
	}
	return out
}

const hostPlace = "host "

// sweepPeriod is how often docker-sd looks for strays on its host.
const sweepPeriod = time.Minute

// polledCalls returns which calls between two takes cannot be explained by what
// goes on in the background of a docker-sd: they would have been made for polls.
func polledCalls(before, after map[string]int, took time.Duration) []string {
	sweeps := int(took/sweepPeriod) + 1
	allowed := map[string]int{hostPlace + listCall: sweeps, hostPlace + networksCall: sweeps, hostPlace + volumesCall: sweeps}
	var out []string
	for _, call := range slices.Sorted(maps.Keys(after)) {
		made := after[call] - before[call] - allowed[call]
		if made > 0 && !background(call) {
			out = append(out, fmt.Sprintf("%d x %s", made, call))
		}
	}
	return out
}

// background says that a call's number means nothing: signs of life, and waits,
// which are renewed.
func background(call string) bool {
	for _, place := range []string{hostPlace, "sandbox "} {
		if call == place+pingCall || call == place+waitCall {
			return true
		}
	}
	return false
}
