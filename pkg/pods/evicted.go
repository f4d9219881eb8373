package pods

// evicted ends a pod that used more of something than it may; at once, without its
// grace, if a disk may be full before that is over.
type evicted struct {
	message string
	atOnce  bool
}

// Error is the message of the eviction, for the pod's status.
func (e *evicted) Error() string { return e.message }

// reasonEvicted is kubelet's.
const reasonEvicted = "Evicted"

// wasEvicted says that what the pod has on disks is to go with its end.
func (p *pod) wasEvicted() bool {
	end := p.record.Load().End
	return end != nil && end.Reason == reasonEvicted
}
