//go:build e2e

package e2e_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

const groupRoot = "/sys/fs/cgroup"

// knob is a file of a control group, in either version.
type knob struct{ controller, v1, v2 string }

var (
	memoryLimit  = knob{"memory", "memory.limit_in_bytes", "memory.max"}
	memoryUsage  = knob{"memory", "memory.usage_in_bytes", "memory.current"}
	memoryAndAll = knob{"memory", "memory.memsw.limit_in_bytes", ""}
	pidsLimit    = knob{"pids", "pids.max", "pids.max"}
	cpuWeight    = knob{"cpu", "cpu.shares", "cpu.weight"}
)

// group is where all sandboxes of a daemon are.
func (d *daemon) group() string { return "docker-sd-" + d.instance }

// unified says that the host has control groups of version 2 alone.
func unified() bool {
	_, err := os.Stat(filepath.Join(groupRoot, "cgroup.controllers"))
	return err == nil
}

func (k knob) path(group string) string {
	if unified() {
		return filepath.Join(groupRoot, group, k.v2)
	}
	return filepath.Join(groupRoot, k.controller, group, k.v1)
}

// read is a file's number, that of a group without a bound being the largest there is.
func (k knob) read(group string) (int64, error) {
	text, err := os.ReadFile(k.path(group))
	if err != nil {
		return 0, err
	}
	word := strings.TrimSpace(string(text))
	if word == "max" {
		return 1<<63 - 1, nil
	}
	return strconv.ParseInt(word, 10, 64)
}

func (k knob) of(t *testing.T, group string) int64 {
	t.Helper()
	n, err := k.read(group)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// becomes waits for a number that is set while a pod runs already.
func (k knob) becomes(t *testing.T, group string, want int64) {
	t.Helper()
	eventually(t, runLimit, fmt.Sprintf("%s is %d", k.path(group), want), func() bool {
		got, err := k.read(group)
		return err == nil && got == want
	}, func() string { got, err := k.read(group); return fmt.Sprint(got, err) })
}

// weight is the number that stands for shares.
func weight(shares int64) int64 {
	if unified() {
		return 1 + (shares-2)*9999/262142
	}
	return shares
}

// inGroup is the control group of a pod's sandbox.
func (p *podRun) inGroup() string {
	p.t.Helper()
	return filepath.Join(p.d.group(), p.sandbox().ID)
}

// groupFolders are those of all hierarchies that are there.
func (d *daemon) groupFolders() []string {
	var out []string
	for _, pattern := range []string{filepath.Join(groupRoot, d.group()), filepath.Join(groupRoot, "*", d.group())} {
		found, _ := filepath.Glob(pattern) // the pattern is a good one
		out = append(out, found...)
	}
	return out
}

// removeGroups removes a group with those below it, which an engine leaves that was
// killed. What is in use keeps the groups above it.
func removeGroups(dir string) error {
	entries, _ := os.ReadDir(dir) // one that is gone has none
	for _, entry := range entries {
		if entry.IsDir() {
			_ = removeGroups(filepath.Join(dir, entry.Name())) // the end tells
		}
	}
	return unix.Rmdir(dir)
}

// removeGroup removes what a docker-sd leaves while it has sandboxes. A group is busy
// for a moment after what was in it.
func (d *daemon) removeGroup() error {
	deadline := time.Now().Add(runLimit)
	for _, dir := range d.groupFolders() {
		for {
			err := removeGroups(dir)
			if err == nil || errors.Is(err, unix.ENOENT) {
				break
			}
			if !errors.Is(err, unix.EBUSY) || time.Now().After(deadline) {
				return fmt.Errorf("remove %s: %w", dir, err)
			}
			<-time.After(tickPeriod)
		}
	}
	return nil
}
