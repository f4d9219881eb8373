package pods

import (
	"sync"

	v1 "k8s.io/api/core/v1"
)

// state is what is known of a pod's containers. The pod's goroutines write it,
// polls read it; changed lets somebody wait for the next change.
type state struct {
	mu       sync.Mutex
	statuses map[string]v1.ContainerStatus
	// ids are the engine's ids of each container's present instance, and of the
	// one before it.
	ids, previous map[string]string
	// over marks containers that ended and will not run again.
	over    map[string]bool
	ended   bool
	changed chan struct{}
}

func newState(pod *v1.Pod) *state {
	s := &state{statuses: map[string]v1.ContainerStatus{}, ids: map[string]string{},
		previous: map[string]string{}, over: map[string]bool{}, changed: make(chan struct{})}
	main := waiting(reasonCreating, "")
	if len(pod.Spec.InitContainers) > 0 {
		main = waiting(reasonInitializing, "")
	}
	for i := range pod.Spec.InitContainers {
		s.first(&pod.Spec.InitContainers[i], waiting(reasonInitializing, ""))
	}
	for i := range pod.Spec.Containers {
		s.first(&pod.Spec.Containers[i], main)
	}
	return s
}

func (s *state) first(c *v1.Container, state v1.ContainerState) {
	s.statuses[c.Name] = v1.ContainerStatus{Name: c.Name, Image: c.Image, State: state, Started: new(bool)}
}

// update changes one container's status; edit must not block.
func (s *state) update(container string, edit func(*v1.ContainerStatus)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	status := s.statuses[container]
	edit(&status)
	s.statuses[container] = status
	s.broadcast()
}

// broadcast wakes everybody who waits; the lock is held.
func (s *state) broadcast() {
	close(s.changed)
	s.changed = make(chan struct{})
}

// setInstance notes the engine's id of the instance that runs now.
func (s *state) setInstance(container, id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ids[container] = id
	s.broadcast()
}

func (s *state) setPrevious(container, id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.previous[container] = id
}

// finish marks a container that will not run again.
func (s *state) finish(container string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.over[container] = true
	s.broadcast()
}

// end marks the pod as ended; ending twice is harmless.
func (s *state) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ended = true
	s.broadcast()
}

func (s *state) hasEnded() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ended
}

// instance is what a log reader needs to know of a container.
type instance struct {
	id, previous string
	// over says that no other instance will follow.
	over    bool
	changed <-chan struct{}
}

func (s *state) instance(container string) (instance, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, known := s.statuses[container]
	return instance{id: s.ids[container], previous: s.previous[container],
		over: s.over[container] || s.ended, changed: s.changed}, known
}

// snapshot returns a copy that the caller may keep.
func (s *state) snapshot() (statuses map[string]v1.ContainerStatus, ended bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	statuses = make(map[string]v1.ContainerStatus, len(s.statuses))
	for name, status := range s.statuses {
		statuses[name] = *status.DeepCopy()
	}
	return statuses, s.ended
}

// restore takes over the statuses of a pod that ended earlier.
func (s *state) restore(final []v1.ContainerStatus) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, status := range final {
		s.statuses[status.Name] = status
	}
	s.ended = true
	s.broadcast()
}

// restoreOver takes over the statuses of containers that ended for good earlier.
func (s *state) restoreOver(statuses []v1.ContainerStatus) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, status := range statuses {
		s.statuses[status.Name] = status
		s.over[status.Name] = true
	}
	s.broadcast()
}

// forgetInstances drops the engine's ids, which a new sandbox does not know.
func (s *state) forgetInstances() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.ids)
	clear(s.previous)
	s.broadcast()
}

// ranBefore says whether any container was ever made.
func (s *state) ranBefore() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, status := range s.statuses {
		if status.ContainerID != "" {
			return true
		}
	}
	return false
}

// abandon ends every container that has not ended, for one reason: the sandbox
// was lost, a deadline passed, the pod could not be set up.
func (s *state) abandon(edit func(v1.ContainerStatus) v1.ContainerState) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for name, status := range s.statuses {
		if status.State.Terminated != nil {
			continue
		}
		status.State = edit(status)
		status.Ready = false
		s.statuses[name] = status
	}
	s.broadcast()
}
