package containers

import "time"

// RestartDelays are kubelet's: at once, then 10 s doubling to 5 min, from the
// start again after a run of 10 min.
type RestartDelays struct{ last time.Duration }

const (
	firstRestartDelay = 10 * time.Second
	maxRestartDelay   = 5 * time.Minute
	restartReset      = 10 * time.Minute
)

// Next is the delay before the next run, after one that lasted for ran.
func (d *RestartDelays) Next(ran time.Duration) time.Duration {
	delay := d.last
	if ran >= restartReset {
		delay = 0
	}
	d.last = min(max(2*delay, firstRestartDelay), maxRestartDelay)
	return delay
}
