package usage

import (
	"slices"
	"time"
)

const (
	// historyStep is the time between two points of a history, historyLength how many are
	// kept: those of an hour.
	historyStep   = 30 * time.Second
	historyLength = int(time.Hour / historyStep)
)

// Point is what a pod used at one moment. A history of an hour has 120 and takes 2 KB.
type Point struct {
	// Second is Unix time.
	Second int64
	// Cores are those since the point before.
	Cores float32
	// Bytes of the working set, in KiB.
	KiB uint32
}

// history is the last hour of one pod, in a ring.
type history struct {
	points []Point
	next   int
	// last is the processor time at the last point.
	last uint64
}

// add keeps a point, if it is time for one. The first look begins the history.
func (h *history) add(f Figures) {
	now := f.Time.Unix()
	before, known := h.newest()
	if known && f.Time.Sub(time.Unix(before.Second, 0)) < historyStep {
		return
	}
	p := Point{Second: now, KiB: uint32(min(f.WorkingSetBytes>>10, 1<<32-1))}
	if known && f.CPUNanoseconds >= h.last && now > before.Second {
		p.Cores = float32(float64(f.CPUNanoseconds-h.last) / 1e9 / float64(now-before.Second))
	}
	h.last = f.CPUNanoseconds
	if len(h.points) < historyLength {
		h.points = append(h.points, p)
		return
	}
	h.points[h.next] = p
	h.next = (h.next + 1) % historyLength
}

func (h *history) newest() (Point, bool) {
	if len(h.points) == 0 {
		return Point{}, false
	}
	return h.points[(h.next+len(h.points)-1)%len(h.points)], true
}

// list copies the points, the oldest first.
func (h *history) list() []Point {
	return slices.Concat(h.points[h.next:], h.points[:h.next])
}
