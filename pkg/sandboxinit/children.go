package sandboxinit

import (
	"errors"
	"fmt"
	"os"
	"os/signal"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// children are the processes that the init has started. It reaps them and all that is
// orphaned in the sandbox: containers outlive a crash of their engine, and become its
// children.
type children struct {
	mu sync.Mutex
	// ended tells who waits for a process, by its id.
	ended map[int]chan syscall.WaitStatus
}

func newChildren() *children {
	c := &children{ended: map[int]chan syscall.WaitStatus{}}
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, unix.SIGCHLD)
	// For as long as the sandbox lives: the process is its first.
	go func() {
		for range signals {
			c.reap()
		}
	}()
	return c
}

// start runs a program. files are its descriptors from 3 on.
func (c *children) start(argv []string, files ...uintptr) (pid int, ended <-chan syscall.WaitStatus, err error) {
	path, err := lookPath(argv[0])
	if err != nil {
		return 0, nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	pid, err = syscall.ForkExec(path, argv, &syscall.ProcAttr{
		Env: os.Environ(), Files: append([]uintptr{0, 1, 2}, files...), Sys: &syscall.SysProcAttr{Setsid: true}})
	if err != nil {
		return 0, nil, fmt.Errorf("start %s: %w", path, err)
	}
	waiting := make(chan syscall.WaitStatus, 1)
	c.ended[pid] = waiting
	return pid, waiting, nil
}

func (c *children) reap() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for {
		var status syscall.WaitStatus
		pid, err := syscall.Wait4(-1, &status, syscall.WNOHANG, nil)
		if errors.Is(err, syscall.EINTR) {
			continue
		}
		if pid <= 0 {
			return
		}
		if waiting := c.ended[pid]; waiting != nil {
			waiting <- status
			delete(c.ended, pid)
		}
	}
}
