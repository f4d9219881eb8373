package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// role is what a process is to the engine of a folder.
type role int

const (
	roleNone role = iota
	// roleDaemon is dockerd.
	roleDaemon
	// roleRuntime is containerd or the shim of a container.
	roleRuntime
	// rolePayload runs inside a container, or was started by the command of a run.
	rolePayload
)

type process struct {
	pid  int
	argv []string
	// cgroups is the text of /proc/PID/cgroup.
	cgroups string
	environ []string
}

// readProcess reads a process from a proc file system. One that is gone or a
// zombie has no arguments.
func readProcess(proc string, pid int) process {
	p := process{pid: pid}
	dir := filepath.Join(proc, strconv.Itoa(pid))
	cmdline, err := os.ReadFile(filepath.Join(dir, "cmdline"))
	if err != nil || len(cmdline) == 0 {
		return p
	}
	p.argv = strings.Split(string(bytes.TrimSuffix(cmdline, []byte{0})), "\x00")
	// A process that ends between the reads has no cgroups and no environment.
	cgroups, _ := os.ReadFile(filepath.Join(dir, "cgroup"))
	p.cgroups = string(cgroups)
	environ, _ := os.ReadFile(filepath.Join(dir, "environ"))
	p.environ = strings.Split(string(environ), "\x00")
	return p
}

// roleOf tells what a process is to the engine of folder f whose containers
// have the given ids. Processes of other engines, and other programs that only
// name the folder, are roleNone.
func roleOf(p process, f folder, ids map[string]bool) role {
	if len(p.argv) == 0 {
		return roleNone
	}
	inContainer := strings.FieldsFunc(p.cgroups, func(r rune) bool { return r == '/' || r == '\n' })
	if slices.ContainsFunc(inContainer, func(part string) bool { return ids[part] }) {
		return rolePayload
	}
	if slices.Contains(p.environ, f.runVariable()) {
		return rolePayload
	}
	switch program := filepath.Base(p.argv[0]); {
	case program == "dockerd" && slices.ContainsFunc(p.argv[1:], f.names):
		return roleDaemon
	case program == "containerd" && slices.ContainsFunc(p.argv[1:], f.names):
		return roleRuntime
	case strings.HasPrefix(program, "containerd-shim"):
		mine := func(arg string) bool { return f.names(arg) || ids[arg] }
		if slices.ContainsFunc(p.argv[1:], mine) {
			return roleRuntime
		}
	}
	return roleNone
}

// runVariable marks the command of a run, and so whatever the command starts.
func (f folder) runVariable() string {
	return "DOCKER_SD_LAB_RUN=" + string(f)
}

// names tells whether a command line argument, alone or as value of a flag, is
// a path below the folder.
func (f folder) names(arg string) bool {
	if _, value, ok := strings.Cut(arg, "="); ok {
		arg = value
	}
	return strings.HasPrefix(strings.TrimPrefix(arg, "unix://"), string(f)+"/")
}

// processes returns the processes of the folder's engine by role.
func (f folder) processes() (map[role][]int, error) {
	ids, err := f.containerIDs()
	if err != nil {
		return nil, err
	}
	names, err := os.ReadDir("/proc")
	if err != nil {
		return nil, fmt.Errorf("list the processes: %w", err)
	}
	family, err := ancestry("/proc", os.Getpid())
	if err != nil {
		return nil, err
	}
	found := make(map[role][]int)
	for _, name := range names {
		pid, err := strconv.Atoi(name.Name())
		if err != nil || family[pid] {
			continue
		}
		if r := roleOf(readProcess("/proc", pid), f, ids); r != roleNone {
			found[r] = append(found[r], pid)
		}
	}
	return found, nil
}

// ancestry returns a process and its parents, which are never left-overs.
func ancestry(proc string, pid int) (map[int]bool, error) {
	family := make(map[int]bool)
	for pid > 0 && !family[pid] {
		family[pid] = true
		status, err := os.ReadFile(filepath.Join(proc, strconv.Itoa(pid), "status"))
		if err != nil {
			return nil, fmt.Errorf("find the parents of this process: %w", err)
		}
		_, after, _ := strings.Cut(string(status), "\nPPid:")
		line, _, _ := strings.Cut(after, "\n")
		if pid, err = strconv.Atoi(strings.TrimSpace(line)); err != nil {
			return nil, fmt.Errorf("find the parents of this process: %w", err)
		}
	}
	return family, nil
}

// containerIDs returns the ids of the containers that the engine has on disk.
func (f folder) containerIDs() (map[string]bool, error) {
	entries, err := os.ReadDir(filepath.Join(f.data(), "containers"))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("list the engine's containers: %w", err)
	}
	ids := make(map[string]bool)
	for _, e := range entries {
		// Only the full id is unique enough to end a process for.
		if len(e.Name()) == 64 {
			ids[e.Name()] = true
		}
	}
	return ids, nil
}

// daemonPID returns the process that a pidfile of the folder's engine names. It
// is false when the file is empty or damaged, or stale: the process has ended or
// its number has gone to another program.
func daemonPID(pidfile []byte, f folder, read func(pid int) process) (int, bool) {
	pid, err := strconv.Atoi(strings.TrimSpace(string(pidfile)))
	if err != nil || pid <= 0 {
		return 0, false
	}
	return pid, roleOf(read(pid), f, nil) == roleDaemon
}

// daemon returns the process id of the folder's running dockerd.
func (f folder) daemon() (int, bool) {
	content, err := os.ReadFile(f.pidfile())
	if err != nil {
		return 0, false
	}
	return daemonPID(content, f, func(pid int) process { return readProcess("/proc", pid) })
}
