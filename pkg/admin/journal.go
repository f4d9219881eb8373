package admin

import (
	"slices"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
)

const (
	// leafEvents are kept of each pod, the last ones, and leafSteps, the first ones: those
	// of its start.
	leafEvents = 64
	leafSteps  = 64
)

// Journal keeps the last events of each pod, and the steps of its start, from Open to Close.
type Journal struct {
	mu     sync.Mutex
	leaves map[types.UID]*leaf
}

// leaf has what is kept of one pod.
type leaf struct {
	events []Event
	steps  []Moment
}

// Open begins to keep what becomes of a pod.
func (j *Journal) Open(uid types.UID) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.leaves == nil {
		j.leaves = map[types.UID]*leaf{}
	}
	if j.leaves[uid] == nil {
		j.leaves[uid] = &leaf{}
	}
}

// Close forgets a pod.
func (j *Journal) Close(uid types.UID) {
	j.mu.Lock()
	defer j.mu.Unlock()
	delete(j.leaves, uid)
}

// Add keeps an event of a pod.
func (j *Journal) Add(e Event) {
	j.mu.Lock()
	defer j.mu.Unlock()
	p := j.leaves[e.PodUID]
	if p == nil {
		return
	}
	if len(p.events) >= leafEvents {
		p.events = slices.Delete(p.events, 0, 1)
	}
	p.events = append(p.events, e)
}

// Begin keeps a step of a pod's start. The function that it returns is called once, with how
// that ended.
func (j *Journal) Begin(uid types.UID, step Moment) func(error) {
	step.State = StepGoesOn
	j.mu.Lock()
	defer j.mu.Unlock()
	p := j.leaves[uid]
	if p == nil || len(p.steps) >= leafSteps {
		return func(error) {}
	}
	at := len(p.steps)
	p.steps = append(p.steps, step)
	return func(err error) {
		j.mu.Lock()
		defer j.mu.Unlock()
		s := &p.steps[at]
		s.Took, s.State = time.Since(s.Time), ""
		if err != nil {
			s.State = StepFailed
		}
	}
}

// Of returns what is kept of a pod: its last events, the newest first, and its first steps.
func (j *Journal) Of(uid types.UID) ([]Event, []Moment) {
	j.mu.Lock()
	defer j.mu.Unlock()
	p := j.leaves[uid]
	if p == nil {
		return nil, nil
	}
	events := slices.Clone(p.events)
	slices.Reverse(events)
	return events, slices.Clone(p.steps)
}
