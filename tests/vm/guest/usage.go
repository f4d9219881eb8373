package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	v1 "k8s.io/api/core/v1"
)

// burn takes a second of processor time, holds memory, leaves file pages that nobody needs,
// and rests then.
const burn = "i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done; dd if=/dev/zero of=/dev/shm/held bs=1M count=30 2>/dev/null; " +
	"dd if=/dev/zero of=/file bs=1M count=20 2>/dev/null; sync; echo rests; " + untilStopped

// usageOfPods: docker-sd finds the groups of a pod and its container below the slices of
// systemd, and its figures are those that the kernel has there.
func usageOfPods(ctx context.Context, h *host) error {
	p := h.newPod(v1.RestartPolicyNever, burn)
	if err := errors.Join(p.create(ctx), p.logged(ctx, "rests")); err != nil {
		return err
	}
	s, err := p.state(ctx)
	if err != nil {
		return err
	}
	began := time.Now()
	err = await(ctx, "figures of the pod", func() error {
		text, err := sh(ctx, "docker-sd top -o json")
		if err != nil {
			return err
		}
		var report struct {
			Pods []struct {
				UID        string
				Network    *struct{ ReceivedBytes uint64 }
				Containers []figures
			}
		}
		if err := json.Unmarshal([]byte(text), &report); err != nil {
			return err
		}
		for _, one := range report.Pods {
			if one.UID == string(p.UID) && len(one.Containers) == 1 && one.Containers[0].Time.After(began) {
				if one.Network == nil {
					return errors.New("the network is not measured")
				}
				return one.Containers[0].compare(strings.TrimPrefix(s.ContainerID, "docker://"))
			}
		}
		return fmt.Errorf("the pod is not in %s", text)
	})
	if err := errors.Join(err, p.delete(ctx)); err != nil {
		return err
	}
	return await(ctx, "the pod's account in the log", func() error {
		_, err := sh(ctx, "journalctl -u docker-sd | grep 'pod deleted' | grep "+string(p.UID)+" | grep -q 'cpu=.*peakMemory=[1-9]'")
		return err
	})
}

// figures are what docker-sd tells of a container.
type figures struct {
	Time            time.Time
	CPUNanoseconds  uint64
	WorkingSetBytes uint64
}

// compare fails unless the figures are within 5 % of those of the container's group, which
// is looked for by its name wherever it is.
func (f figures) compare(id string) error {
	group := ""
	err := filepath.WalkDir("/sys/fs/cgroup", func(path string, entry fs.DirEntry, err error) error {
		if err == nil && entry.IsDir() && entry.Name() == id {
			group = path
			return fs.SkipAll
		}
		return nil
	})
	if err != nil || group == "" {
		return fmt.Errorf("the container's group is not found: %w", err)
	}
	cpu, err := word(group, "cpu.stat", "usage_usec")
	idle, idleErr := word(group, "memory.stat", "inactive_file")
	memory, memoryErr := word(group, "memory.current", "")
	if err := errors.Join(err, idleErr, memoryErr); err != nil {
		return err
	}
	for what, pair := range map[string][2]float64{"the processor time": {float64(f.CPUNanoseconds), cpu * 1000}, "the memory": {float64(f.WorkingSetBytes), memory - idle}} {
		if got, want := pair[0], pair[1]; got < want*0.95 || got > want*1.05 || want == 0 {
			return fmt.Errorf("%s is %.0f, the group %s has %.0f", what, got, group, want)
		}
	}
	return nil
}

// word reads the number behind a name in a file of a group, or the only one.
func word(group, file, name string) (float64, error) {
	text, err := os.ReadFile(filepath.Join(group, file))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		words := strings.Fields(line)
		if len(words) > 0 && (name == "" || words[0] == name) {
			return strconv.ParseFloat(words[len(words)-1], 64)
		}
	}
	return 0, fmt.Errorf("%s in %s has no %s", file, group, name)
}
