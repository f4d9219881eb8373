package config

import (
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
)

// Signals of EvictionHard, as kubelet names them.
const (
	SignalNodeAvailable  = "nodefs.available"
	SignalNodeInodes     = "nodefs.inodesFree"
	SignalImageAvailable = "imagefs.available"
	SignalImageInodes    = "imagefs.inodesFree"
)

var signals = []string{SignalNodeAvailable, SignalNodeInodes, SignalImageAvailable, SignalImageInodes}

// Threshold of a disk below which a pod is evicted: a part of it, or an amount of
// bytes or inodes.
type Threshold struct {
	Signal string
	// Percent is 0 where Amount says it.
	Percent float64
	Amount  int64
}

const thresholdRule = "a part of the disk such as 10%, or an amount such as 1Gi"

// Thresholds returns those of EvictionHard that are on, in the order of their names.
func (c Config) Thresholds() []Threshold {
	var out []Threshold
	for _, signal := range slices.Sorted(maps.Keys(c.EvictionHard)) {
		if t, ok := parseThreshold(signal, c.EvictionHard[signal]); ok && (t.Percent > 0 && t.Percent < 100 || t.Amount > 0) {
			out = append(out, t)
		}
	}
	return out
}

// parseThreshold takes what kubelet takes: 0% and 100% are off.
func parseThreshold(signal, text string) (Threshold, bool) {
	if number, percent := strings.CutSuffix(text, "%"); percent {
		part, err := strconv.ParseFloat(number, 64)
		return Threshold{Signal: signal, Percent: part}, err == nil && !math.IsNaN(part) && part >= 0 && part <= 100
	}
	q, ok := parseQuantity(text)
	amount, whole := q.AsInt64()
	return Threshold{Signal: signal, Amount: amount}, ok && whole && amount >= 0
}

func (c Config) validateEvictions() error {
	for _, signal := range slices.Sorted(maps.Keys(c.EvictionHard)) {
		if !slices.Contains(signals, signal) {
			return invalid("EvictionHard", signal, "one of the signals "+strings.Join(signals, ", "))
		}
		if _, ok := parseThreshold(signal, c.EvictionHard[signal]); !ok {
			return invalid("EvictionHard."+signal, c.EvictionHard[signal], thresholdRule)
		}
	}
	return nil
}
