// Package podstatus has what is known of a pod's containers, and what is made of that
// for polls and for operators. It asks no engine and touches no file.
package podstatus

import (
	"maps"
	"sync"
	"time"

	v1 "k8s.io/api/core/v1"
)

// Statuses is what is known of a pod's containers. The pod's goroutines write it,
// polls read it; changed lets a reader wait for the next change.
type Statuses struct {
	mu       sync.Mutex
	statuses map[string]v1.ContainerStatus
	// ids are the engine's ids of each container's present instance, and of the
	// one before it.
	ids, previous map[string]string
	// pulls are those that containers wait for.
	pulls map[string]*Pull
	// finished marks containers that ended and will not run again.
	finished map[string]bool
	ended    bool
	changed  chan struct{}
	// ready is when each container that is ready became so.
	ready map[string]time.Time
}

// New returns the statuses of a pod of which nothing runs yet.
func New(pod *v1.Pod) *Statuses {
	s := &Statuses{statuses: map[string]v1.ContainerStatus{}, ids: map[string]string{},
		previous: map[string]string{}, pulls: map[string]*Pull{}, finished: map[string]bool{}, changed: make(chan struct{}), ready: map[string]time.Time{}}
	main := Waiting(ReasonCreating, "")
	if len(pod.Spec.InitContainers) > 0 {
		main = Waiting(ReasonInitializing, "")
	}
	for i := range pod.Spec.InitContainers {
		s.first(&pod.Spec.InitContainers[i], Waiting(ReasonInitializing, ""))
	}
	for i := range pod.Spec.Containers {
		s.first(&pod.Spec.Containers[i], main)
	}
	return s
}

// first sets the status of a container that has not run yet.
func (s *Statuses) first(c *v1.Container, state v1.ContainerState) {
	s.statuses[c.Name] = v1.ContainerStatus{Name: c.Name, Image: c.Image, State: state, Started: new(bool)}
}

// Update changes one container's status; edit must not block.
func (s *Statuses) Update(container string, edit func(*v1.ContainerStatus)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	status := s.statuses[container]
	was := status.Ready
	edit(&status)
	s.statuses[container] = status
	if status.Ready && !was {
		s.ready[container] = time.Now()
	}
	s.broadcast()
}

// ReadySince is when each container became ready the last time, for all that have been.
func (s *Statuses) ReadySince() map[string]time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.ready)
}

// SetPull notes how far the pull is that a container waits for, nil for none. It is no change
// of the container.
func (s *Statuses) SetPull(container string, now *Pull) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pulls[container] = now
}

// broadcast wakes all waiting readers; the lock is held.
func (s *Statuses) broadcast() {
	close(s.changed)
	s.changed = make(chan struct{})
}

// SetInstance notes the engine's id of the instance that runs now.
func (s *Statuses) SetInstance(container, id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ids[container] = id
	s.broadcast()
}

// SetPrevious notes the engine's id of the instance before the present one.
func (s *Statuses) SetPrevious(container, id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.previous[container] = id
}

// MarkFinished marks a container that will not run again.
func (s *Statuses) MarkFinished(container string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.finished[container] = true
	s.broadcast()
}

// Reopen changes the status of a container that may have been marked as finished and will
// run again; edit must not block.
func (s *Statuses) Reopen(container string, edit func(*v1.ContainerStatus)) {
	s.mu.Lock()
	delete(s.finished, container)
	s.mu.Unlock()
	s.Update(container, edit)
}

// MarkEnded marks the pod as ended; ending twice is harmless.
func (s *Statuses) MarkEnded() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ended = true
	s.broadcast()
}

// HasEnded says that the pod has ended.
func (s *Statuses) HasEnded() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ended
}

// Instance is what a log reader needs to know of a container.
type Instance struct {
	// ID and Previous are the engine's ids of the present instance and of the one before
	// it, "" where there is none.
	ID, Previous string
	// Finished says that no other instance will follow.
	Finished bool
	// Changed is closed at the next change of any container of the pod.
	Changed <-chan struct{}
}

// Instance returns what is known of a container's instances; false means that the pod has
// no such container.
func (s *Statuses) Instance(container string) (Instance, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, known := s.statuses[container]
	return Instance{ID: s.ids[container], Previous: s.previous[container],
		Finished: s.finished[container] || s.ended, Changed: s.changed}, known
}

// Snapshot returns a copy that the caller may keep.
func (s *Statuses) Snapshot() (statuses map[string]v1.ContainerStatus, ended bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	statuses = make(map[string]v1.ContainerStatus, len(s.statuses))
	for name, status := range s.statuses {
		statuses[name] = *status.DeepCopy()
	}
	return statuses, s.ended
}

// Restore takes over the statuses of a pod that ended earlier.
func (s *Statuses) Restore(final []v1.ContainerStatus) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, status := range final {
		s.statuses[status.Name] = status
	}
	s.ended = true
	s.broadcast()
}

// RestoreFinished takes over the statuses of containers that ended for good earlier.
func (s *Statuses) RestoreFinished(statuses []v1.ContainerStatus) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, status := range statuses {
		s.statuses[status.Name] = status
		s.finished[status.Name] = true
	}
	s.broadcast()
}

// ForgetInstances drops the engine's ids, which a new sandbox does not know.
func (s *Statuses) ForgetInstances() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.ids)
	clear(s.previous)
	s.broadcast()
}

// RanBefore says whether any container was ever made.
func (s *Statuses) RanBefore() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, status := range s.statuses {
		if status.ContainerID != "" {
			return true
		}
	}
	return false
}

// EndRemaining gives every container that has not ended the state that edit returns: the
// sandbox was lost, a deadline passed, or the pod could not be set up.
func (s *Statuses) EndRemaining(edit func(v1.ContainerStatus) v1.ContainerState) {
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
