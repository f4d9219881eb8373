package usage

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/cgroup"
)

// mostOfFile is how much of a file is read. What is looked for comes first: a pod that
// makes thousands of network interfaces makes the list of them long, and not this work.
const mostOfFile = 16 << 10

// reader reads files of the kernel into one buffer. It makes the three system calls for a
// file itself: os.File also registers each with the poller, for half as much again. One
// goroutine uses it at a time.
type reader struct{ buffer [mostOfFile]byte }

// file reads a file that the kernel writes in one piece, as it does those of control groups.
// The text stays until the next call.
func (r *reader) file(path string) ([]byte, error) { return r.pieces(path, 1) }

// list is file for one with many lines, which the kernel writes in pieces of a page.
func (r *reader) list(path string) ([]byte, error) { return r.pieces(path, mostOfFile) }

// pieces reads a file until its end, or until there is no room or this many pieces are read.
func (r *reader) pieces(path string, most int) ([]byte, error) {
	fd, err := again(func() (int, error) {
		return unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	})
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	defer unix.Close(fd)
	filled := 0
	for range most {
		n, err := again(func() (int, error) { return unix.Read(fd, r.buffer[filled:]) })
		if err != nil {
			return nil, &fs.PathError{Op: "read", Path: path, Err: err}
		}
		if filled += n; n == 0 || filled == len(r.buffer) {
			break
		}
	}
	return r.buffer[:filled], nil
}

// again makes a system call until no signal interrupts it.
func again(call func() (int, error)) (int, error) {
	for {
		n, err := call()
		if !errors.Is(err, unix.EINTR) {
			return n, err
		}
	}
}

// number reads a file that has one.
func (r *reader) number(dir, name string) (uint64, error) {
	text, err := r.file(filepath.Join(dir, name))
	if err != nil {
		return 0, err
	}
	n, err := parse(bytes.TrimSpace(text))
	if err != nil {
		return 0, fmt.Errorf("%s: %w", filepath.Join(dir, name), err)
	}
	return n, nil
}

// fields reads some lines of a file of names and numbers. One that is not there is 0.
func (r *reader) fields(dir, file string, want map[string]*uint64) error {
	text, err := r.file(filepath.Join(dir, file))
	if err != nil {
		return err
	}
	for line := range bytes.Lines(text) {
		name, value, _ := bytes.Cut(bytes.TrimSpace(line), []byte(" "))
		at, wanted := want[string(name)]
		if !wanted {
			continue
		}
		if *at, err = parse(value); err != nil {
			return fmt.Errorf("%s: %s: %w", filepath.Join(dir, file), name, err)
		}
	}
	return nil
}

// parse reads a number; max is the word of version 2 for no bound.
func parse(text []byte) (uint64, error) {
	if string(text) == "max" {
		return math.MaxUint64, nil
	}
	return strconv.ParseUint(string(text), 10, 64)
}

// cpu is the processor time of a group in nanoseconds.
func (r *reader) cpu(t cgroup.Tree) (uint64, error) {
	if !t.V2 {
		return r.number(t.CPU, "cpuacct.usage")
	}
	var micros uint64
	err := r.fields(t.CPU, "cpu.stat", map[string]*uint64{"usage_usec": &micros})
	return micros * 1000, err
}

// peak is the most memory that a group ever had, in bytes; 0 where the kernel does not
// keep it (version 2 does since Linux 5.19).
func (r *reader) peak(t cgroup.Tree) uint64 {
	name := "memory.max_usage_in_bytes"
	if t.V2 {
		name = "memory.peak"
	}
	n, err := r.number(t.Memory, name)
	if err != nil {
		return 0
	}
	return n
}

// figures of a group, without the time and what is made of it.
func (r *reader) figures(t cgroup.Tree) (Figures, error) {
	var f Figures
	var err error
	if f.CPUNanoseconds, err = r.cpu(t); err != nil {
		return f, err
	}
	usage, idle, rss, cache := "memory.usage_in_bytes", "total_inactive_file", "total_rss", "total_cache"
	if t.V2 {
		usage, idle, rss, cache = "memory.current", "inactive_file", "anon", "file"
	}
	if f.MemoryBytes, err = r.number(t.Memory, usage); err != nil {
		return f, err
	}
	var inactive uint64
	err = r.fields(t.Memory, "memory.stat", map[string]*uint64{idle: &inactive, rss: &f.RSSBytes, cache: &f.CacheBytes})
	f.WorkingSetBytes = f.MemoryBytes - min(inactive, f.MemoryBytes)
	return f, err
}
