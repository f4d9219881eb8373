package main

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// signalMount is where containers find the folder of the named pipe.
const signalMount = "/bench"

// signals tells when a container's own process has started: its first act is to
// write its name into a named pipe that every container of the bench, plain or
// in a pod, has mounted. So both sides are measured by the same event on one
// monotonic clock, to the microsecond, and nobody polls: a poll every 2 ms would
// take a good part of a small machine's time from the very thing that it measures.
type signals struct {
	dir  string
	pipe *os.File
	done chan struct{}

	mu    sync.Mutex
	waits map[string]chan time.Time
}

func newSignals(dir string) (*signals, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("make the folder of the start signals: %w", err)
	}
	path := filepath.Join(dir, "started")
	if err := unix.Mkfifo(path, 0o666); err != nil {
		return nil, fmt.Errorf("make the pipe of the start signals: %w", err)
	}
	// Open for both, so that it neither blocks nor ends when a writer leaves.
	pipe, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return nil, fmt.Errorf("open the pipe of the start signals: %w", err)
	}
	s := &signals{dir: dir, pipe: pipe, done: make(chan struct{}), waits: map[string]chan time.Time{}}
	go s.read()
	return s, nil
}

func (s *signals) read() {
	defer close(s.done)
	lines := bufio.NewScanner(s.pipe)
	for lines.Scan() {
		now := time.Now()
		s.mu.Lock()
		wait := s.waits[lines.Text()]
		delete(s.waits, lines.Text())
		s.mu.Unlock()
		if wait != nil {
			wait <- now
		}
	}
}

func (s *signals) close() error {
	err := s.pipe.Close()
	<-s.done
	return err
}

// expect returns where the start of the named container will be told. It must
// be called before the container is made.
func (s *signals) expect(name string) <-chan time.Time {
	wait := make(chan time.Time, 1)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.waits[name] = wait
	return wait
}

// startTimeout bounds one start, however long the queue of a burst is.
const startTimeout = 5 * time.Minute

// await returns when the container started.
func await(ctx context.Context, name string, wait <-chan time.Time) (time.Time, error) {
	select {
	case at := <-wait:
		return at, nil
	case <-ctx.Done():
		return time.Time{}, fmt.Errorf("wait for the start of %s: %w", name, ctx.Err())
	case <-time.After(startTimeout):
		return time.Time{}, fmt.Errorf("%s did not start within %s", name, startTimeout)
	}
}

// command is what every container of the bench runs: it tells its start, does
// extra if there is any and tells its end, and itself ends at once when it is
// told to.
func command(name, extra string) []string {
	tell := func(what string) string { return "echo " + what + " >" + signalMount + "/started; " }
	script := "trap 'exit 0' TERM; " + tell(name)
	if extra != "" {
		script += extra + "; " + tell(name+extraDone)
	}
	script += "while :; do sleep 3600 & wait $!; done"
	return []string{"/bin/sh", "-c", script}
}

// extraDone is added to a container's name in the signal that its extra work is done.
const extraDone = "-done"
