package sandboxinit

import (
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/initapi"
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

// lookPath finds a program in PATH.
func lookPath(name string) (string, error) {
	if strings.Contains(name, "/") {
		return name, nil
	}
	for _, dir := range append(strings.Split(os.Getenv("PATH"), ":"), "/usr/local/bin", "/usr/bin", "/usr/sbin", "/bin", "/sbin") {
		path := dir + "/" + name
		if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0 {
			return path, nil
		}
	}
	return "", fmt.Errorf("the sandbox image has no %s: set SandboxImage to one with a Docker engine", name)
}

// engineAgain is the pause before an engine that ended is started again.
const engineAgain = time.Second

// keep runs a program until over is closed and it has ended.
func (c *children) keep(over <-chan struct{}, argv []string, began func(int), files ...uintptr) {
	for {
		pid, ended, err := c.start(argv, files...)
		if err == nil {
			if began != nil {
				began(pid)
			}
			<-ended
			err = errors.New("it ended")
		}
		select {
		case <-over:
			return
		default:
		}
		fmt.Fprintf(os.Stderr, "docker-sd-init: %s is started again: %v\n", name(argv), err)
		select {
		case <-over:
			return
		case <-time.After(engineAgain):
		}
	}
}

func name(argv []string) string {
	if argv[0] == initapi.ProgramPath {
		return argv[2]
	}
	return argv[0]
}

// process is the one that runs now. A signal reaches the one after it, too, if that has
// been started meanwhile.
type process struct {
	mu   sync.Mutex
	pid  int
	sent syscall.Signal
}

func (p *process) set(pid int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.pid = pid
	p.send()
}

func (p *process) signal(s syscall.Signal) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.sent = s
	p.send()
}

// send has the lock held.
func (p *process) send() {
	if p.pid > 0 && p.sent != 0 {
		_ = unix.Kill(p.pid, p.sent) // it may have ended just now
	}
}
