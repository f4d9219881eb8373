//go:build faults

package fault

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"

	"github.com/containerd/errdefs"
)

// Variable of the environment with the point to die at.
const Variable = "DOCKER_SD_FAULT"

// armed belongs to the process, as its death does.
var armed atomic.Pointer[trap]

// trap is a point, and how many hits of it are left to live.
type trap struct {
	point string
	left  atomic.Int64
}

// Arm has the process end by SIGKILL at a point, given as its name for the first
// hit or as name#n for the n-th. An empty one arms nothing. A point that cannot be
// read is errdefs.ErrInvalidArgument.
func Arm(point string) error {
	if point == "" {
		return nil
	}
	name, count, counted := strings.Cut(point, "#")
	hits := 1
	if counted {
		var err error
		if hits, err = strconv.Atoi(count); err != nil || hits < 1 {
			return fmt.Errorf("%s=%q is no point or point#n: %w", Variable, point, errdefs.ErrInvalidArgument)
		}
	}
	t := &trap{point: name}
	t.left.Store(int64(hits))
	armed.Store(t)
	return nil
}

// Point ends the process if it is armed for this one. The words go to stderr
// first, so that tests can tell this end from any other.
func Point(name string) {
	t := armed.Load()
	if t == nil || t.point != name || t.left.Add(-1) != 0 {
		return
	}
	fmt.Fprintln(os.Stderr, "fault: ending at", name)
	if err := syscall.Kill(os.Getpid(), syscall.SIGKILL); err != nil {
		panic(err) // a process may always kill itself
	}
	select {} // nothing else happens here until the signal is there
}
