package pool

import "time"

// The pool learns from the pods of demandMemory how many came within demandSpan, in which
// a pool that was emptied is full again on most machines.
const (
	demandSpan   = time.Minute
	demandMemory = 10 * time.Minute
	// shrinkPause is the least time between two sandboxes that the pool gives up.
	shrinkPause = 30 * time.Second
	// roomPause is the least time between a sandbox that the pool gives up because the host has
	// no room, and the next one above its usual size. The room is the one that was given up.
	roomPause = 5 * time.Minute
)

// demand is what the last pods have asked of the pool. The zero value learns nothing.
type demand struct {
	// most is how many sandboxes are ever wanted for it; what is above is not remembered.
	most int
	// recent are the last pods, at most most of them.
	recent []time.Time
	// peaks are moments with how many pods had come within demandSpan before; each has
	// fewer than the one before it, and is later.
	peaks []peak
}

type peak struct {
	at   time.Time
	pods int
}

// pod notes that one has come.
func (d *demand) pod(now time.Time) {
	if d.most == 0 {
		return
	}
	d.recent = append(d.recent, now)
	for len(d.recent) > d.most || now.Sub(d.recent[0]) > demandSpan {
		d.recent = d.recent[1:]
	}
	for len(d.peaks) > 0 && d.peaks[len(d.peaks)-1].pods <= len(d.recent) {
		d.peaks = d.peaks[:len(d.peaks)-1]
	}
	d.peaks = append(d.peaks, peak{now, len(d.recent)})
}

// size is how many sandboxes should wait: as many as pods came within demandSpan at some
// moment of demandMemory.
func (d *demand) size(now time.Time) int {
	for len(d.peaks) > 0 && now.Sub(d.peaks[0].at) >= demandMemory {
		d.peaks = d.peaks[1:]
	}
	if len(d.peaks) == 0 {
		return 0
	}
	return d.peaks[0].pods
}

// changes is when size gets smaller by itself, the zero time if never.
func (d *demand) changes() time.Time {
	if len(d.peaks) == 0 {
		return time.Time{}
	}
	return d.peaks[0].at.Add(demandMemory)
}
