package engine

import (
	"bytes"
	"hash/maphash"
	"slices"
)

// replayed leaves out what an engine sends again to a follower when it begins a log file
// anew: engine 20.10 then goes back by some hundred lines, with either log driver. The
// stamps of one stream do not go back by themselves, unless the clock is set, and then they
// are not those of before.
type replayed struct {
	seed maphash.Seed
	// last is the latest stamp of each stream, recent the hashes of its last stamps, oldest
	// first.
	last   [256][]byte
	recent [256][]uint64
	// back says that the stream went back and has not come to last again.
	back [256]bool
	// whole is the hash of the last piece of each stream if it ended its line, 0 otherwise:
	// the pieces of one line have one stamp.
	whole [256]uint64
}

// mostReplayed is how many pieces of a stream are told from those that come again.
const mostReplayed = 1 << 13

func newReplayed() *replayed { return &replayed{seed: maphash.MakeSeed()} }

// has says whether a piece, which begins with its stamp, has come before.
func (r *replayed) has(from byte, text []byte) bool {
	stamp, _, _ := bytes.Cut(text, []byte(" "))
	last := r.last[from]
	order, hash := bytes.Compare(stamp, last), maphash.Bytes(r.seed, stamp)
	switch {
	case order < 0 && slices.Contains(r.recent[from], hash):
		r.back[from] = true
		return true
	case order == 0 && (r.back[from] || r.whole[from] != 0 && r.whole[from] == maphash.Bytes(r.seed, text)):
		return true
	case order > 0:
		r.back[from] = false
	}
	r.whole[from] = 0
	if bytes.HasSuffix(text, []byte("\n")) {
		r.whole[from] = maphash.Bytes(r.seed, text)
	}
	r.last[from] = append(last[:0], stamp...)
	recent := r.recent[from]
	if len(recent) >= 2*mostReplayed {
		recent = append(recent[:0], recent[len(recent)-mostReplayed:]...)
	}
	r.recent[from] = append(recent, hash)
	return false
}
