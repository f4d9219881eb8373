package cgroups

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/moby/sys/mountinfo"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/initapi"
)

// quotaPeriod of a control group's CPU time in microseconds, the kernel's own.
const quotaPeriod = 100_000

// setting is a file of a control group and what is written to it. An optional one is left
// out where the kernel has no such file: it does not account for swap.
type setting struct {
	file, value string
	optional    bool
}

// MakePodGroup makes the control group of the pod's containers in each hierarchy that bounds
// something of it. It may be repeated.
func MakePodGroup(g initapi.Group) error {
	found, err := hierarchies()
	if err != nil {
		return err
	}
	left := map[string]bool{"memory": g.MemoryBytes > 0, "cpu": g.NanoCPUs > 0}
	for _, m := range found {
		for _, controller := range controllersOf(m) {
			if !left[controller] {
				continue
			}
			left[controller] = false
			if err := bound(filepath.Join(m.Mountpoint, initapi.GroupPath), settingsOf(m.FSType, controller, g)); err != nil {
				return fmt.Errorf("bound the control group of the pod's containers (%s): %w", controller, err)
			}
		}
	}
	for _, controller := range []string{"memory", "cpu"} {
		if left[controller] {
			return fmt.Errorf("bound the control group of the pod's containers: this sandbox has no control group for %s", controller)
		}
	}
	return nil
}

// controllersOf a hierarchy: version 1 has them among its options, version 2 in a file.
func controllersOf(m *mountinfo.Info) []string {
	if m.FSType == "cgroup" {
		return strings.Split(m.VFSOptions, ",")
	}
	names, err := os.ReadFile(filepath.Join(m.Mountpoint, "cgroup.subtree_control"))
	if err != nil {
		return nil
	}
	return strings.Fields(string(names))
}

// settingsOf a controller for a group, in the order in which the kernel takes them: with
// version 1 a bound on memory and swap is never less than that on memory. There is no
// swap beside the memory, as with an engine's own containers.
func settingsOf(kind, controller string, g initapi.Group) []setting {
	memory, quota := strconv.FormatInt(g.MemoryBytes, 10), strconv.FormatInt(g.NanoCPUs*quotaPeriod/1e9, 10)
	switch {
	case controller == "memory" && kind == "cgroup":
		return []setting{{file: "memory.limit_in_bytes", value: memory}, {file: "memory.memsw.limit_in_bytes", value: memory, optional: true}}
	case controller == "memory":
		return []setting{{file: "memory.max", value: memory}, {file: "memory.swap.max", value: "0", optional: true}}
	case kind == "cgroup":
		return []setting{{file: "cpu.cfs_period_us", value: strconv.Itoa(quotaPeriod)}, {file: "cpu.cfs_quota_us", value: quota}}
	default:
		return []setting{{file: "cpu.max", value: fmt.Sprint(quota, " ", quotaPeriod)}}
	}
}

// bound makes a group and writes its settings.
func bound(group string, settings []setting) error {
	if err := os.Mkdir(group, 0o755); err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	for _, s := range settings {
		err := write(filepath.Join(group, s.file), s.value)
		if s.optional && errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
	}
	return nil
}
