package pool

import (
	"math/rand/v2"
	"testing"
	"time"
)

// TestDemand compares what is remembered of random pods with what counting them all gives.
func TestDemand(t *testing.T) {
	const most = 12
	for seed := range uint64(20) {
		random := rand.New(rand.NewPCG(seed, 1))
		d, now, came := demand{most: most}, time.Unix(0, 0), []time.Time{}
		for range 400 {
			if random.IntN(4) == 0 {
				now = now.Add(time.Duration(random.Int64N(int64(4 * time.Minute))))
			} else {
				now = now.Add(time.Duration(random.Int64N(int64(10 * time.Second))))
			}
			if random.IntN(8) > 0 {
				d.pod(now)
				came = append(came, now)
			}
			if got, want := d.size(now), counted(came, now, most); got != want {
				t.Fatalf("seed %d: after %d pods the size is %d, want %d", seed, len(came), got, want)
			}
			if at := d.changes(); !at.IsZero() && !at.After(now) {
				t.Fatalf("seed %d: the size changes at %s, which is over at %s", seed, at, now)
			}
		}
		if len(d.recent) > most || len(d.peaks) > most {
			t.Errorf("seed %d: %d pods and %d peaks are kept, want no more than %d", seed, len(d.recent), len(d.peaks), most)
		}
	}
}

// counted is the largest number of pods within demandSpan that ended within demandMemory.
func counted(came []time.Time, now time.Time, most int) (largest int) {
	for i, end := range came {
		n := 0
		for _, at := range came[:i+1] {
			if end.Sub(at) <= demandSpan {
				n++
			}
		}
		if now.Sub(end) < demandMemory {
			largest = max(largest, min(n, most))
		}
	}
	return largest
}

func TestNothingIsLearned(t *testing.T) {
	var d demand
	d.pod(time.Now())
	if n, at := d.size(time.Now()), d.changes(); n != 0 || !at.IsZero() || len(d.recent) != 0 {
		t.Errorf("a pool of a fixed size has learned %d until %s from %d pods", n, at, len(d.recent))
	}
}
