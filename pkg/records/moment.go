package records

import (
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Moment is a point in time that outlives docker-sd and that setting the clock
// does not move: how long the host had been up, and which start of the host that was.
type Moment struct {
	Boot string        `json:"boot"`
	Up   time.Duration `json:"up"`
}

// Now reads the kernel. Where it says nothing, the boot is "".
func Now() Moment {
	id, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return Moment{}
	}
	var up unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &up); err != nil {
		return Moment{}
	}
	return Moment{Boot: strings.TrimSpace(string(id)), Up: time.Duration(up.Nano())}
}
