package pods

import (
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// moment is a point in time that outlives docker-sd and that setting the clock
// does not move: how long the host had been up, and which start of the host that was.
type moment struct {
	Boot string        `json:"boot"`
	Up   time.Duration `json:"up"`
}

// now reads the kernel. Where it says nothing, the boot is "".
func now() moment {
	id, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return moment{}
	}
	var up unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &up); err != nil {
		return moment{}
	}
	return moment{Boot: strings.TrimSpace(string(id)), Up: time.Duration(up.Nano())}
}

// age of a pod: by the kernel's time where the record is of this boot, and
// otherwise by the clock, which may have been set meanwhile.
func (r record) age(at moment, clock time.Time) time.Duration {
	if r.Began.Boot != "" && r.Began.Boot == at.Boot {
		return at.Up - r.Began.Up
	}
	return max(clock.Sub(r.Since), 0)
}

// rebooted says that the host was started again since the record was made.
func (r record) rebooted(at moment) bool {
	return r.Began.Boot != "" && at.Boot != "" && r.Began.Boot != at.Boot
}
