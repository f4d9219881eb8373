package images

import (
	"maps"
	"sync"
)

// pins are the images of the host that pods use, by pod.
type pins struct {
	// changed has a value when images were pinned or unpinned since it was read.
	changed chan struct{}

	mu   sync.Mutex
	pods map[string]map[string]bool
}

// newPins makes pins of no pod.
func newPins() *pins {
	return &pins{changed: make(chan struct{}, 1), pods: map[string]map[string]bool{}}
}

// pin keeps an image for a pod until unpin.
func (p *pins) pin(podUID, id string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.pods[podUID] == nil {
		p.pods[podUID] = map[string]bool{}
	}
	if !p.pods[podUID][id] {
		p.pods[podUID][id] = true
		p.signal()
	}
}

// unpin lets go of all images of a pod.
func (p *pins) unpin(podUID string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, known := p.pods[podUID]; known {
		delete(p.pods, podUID)
		p.signal()
	}
}

// signal that something has changed, once for all changes that were not seen yet.
func (p *pins) signal() {
	select {
	case p.changed <- struct{}{}:
	default:
	}
}

// all ids that are pinned.
func (p *pins) all() map[string]bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	out := map[string]bool{}
	for _, ids := range p.pods {
		maps.Copy(out, ids)
	}
	return out
}

// unlessPinned calls do and returns true if none of the ids is pinned. None is pinned
// meanwhile: do must not block.
func (p *pins) unlessPinned(do func(), ids ...string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, pinned := range p.pods {
		for _, id := range ids {
			if pinned[id] {
				return false
			}
		}
	}
	do()
	return true
}
