package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"
)

// usage of memory in KiB. Private memory is what would be freed by the end of
// the processes; resident memory counts shared pages once per process.
type usage struct{ resident, private int64 }

// memory reports docker-sd's memory, or that of a waiting sandbox summed over its
// processes.
func (d *daemon) memory(ctx context.Context, of string) error {
	pids := []int{d.cmd.Process.Pid}
	name := "memory_docker_sd_" + of
	if of == "warm_sandbox" || of == "standby_sandbox" {
		name = "memory_" + of
		found, err := d.sandboxPIDs(ctx, of == "standby_sandbox")
		if err != nil {
			return err
		}
		pids = found[0]
	}
	used, err := memoryOf(pids)
	if err != nil {
		return err
	}
	d.b.report.add(name+"_resident", "MiB", []float64{float64(used.resident) / 1024}, "")
	d.b.report.add(name+"_private", "MiB", []float64{float64(used.private) / 1024}, "")
	return nil
}

// sandboxPIDs are the processes of each sandbox that is warm or stands by, as the
// host sees them.
func (d *daemon) sandboxPIDs(ctx context.Context, standby bool) ([][]int, error) {
	found, err := d.b.containers(ctx, instanceLabel+"="+d.b.instance)
	if err != nil {
		return nil, err
	}
	var out [][]int
	for _, c := range found {
		if d.isClaimed(c.Labels[sandboxLabel]) || c.standby() != standby {
			continue
		}
		pids, err := d.b.pids(ctx, c.ID)
		if err != nil {
			return nil, err
		}
		out = append(out, pids)
	}
	if len(out) == 0 {
		return nil, errors.New("there is no such sandbox")
	}
	return out, nil
}

// pids of a container's processes.
func (b *bench) pids(ctx context.Context, id string) ([]int, error) {
	var top struct {
		Titles    []string
		Processes [][]string
	}
	if err := b.engine.call(ctx, http.MethodGet, "/containers/"+id+"/top?ps_args=-eo%20pid,comm", nil, &top); err != nil {
		return nil, err
	}
	var out []int
	for _, process := range top.Processes {
		pid, err := strconv.Atoi(process[0])
		if err != nil {
			return nil, fmt.Errorf("process list of container %s: %w", id, err)
		}
		out = append(out, pid)
	}
	return out, nil
}

func memoryOf(pids []int) (usage, error) {
	var sum usage
	for _, pid := range pids {
		f, err := os.Open(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
		if err != nil {
			return sum, fmt.Errorf("read the memory of a process, which needs root on the engine's own machine: %w", err)
		}
		one, err := parseMemory(f)
		if err := errors.Join(err, f.Close()); err != nil {
			return sum, fmt.Errorf("memory of process %d: %w", pid, err)
		}
		sum.resident += one.resident
		sum.private += one.private
	}
	return sum, nil
}

// parseMemory reads a smaps_rollup.
func parseMemory(r io.Reader) (usage, error) {
	var out usage
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		if len(fields) < 2 {
			continue
		}
		var into *int64
		switch fields[0] {
		case "Rss:":
			into = &out.resident
		case "Private_Clean:", "Private_Dirty:":
			into = &out.private
		default:
			continue
		}
		n, err := strconv.ParseInt(fields[1], 10, 64)
		if err != nil {
			return out, fmt.Errorf("line %q: %w", lines.Text(), err)
		}
		*into += n
	}
	return out, lines.Err()
}

// idlePeriod is how long processor time is watched.
const idlePeriod = 5 * time.Second

// ticksPerSecond is the unit of processor time in /proc on every Linux platform.
const ticksPerSecond = 100

// idle reports what docker-sd and its warm sandboxes take of one processor when
// nothing happens, in percent.
func (d *daemon) idle(ctx context.Context, name string) error {
	sandboxes, err := d.sandboxPIDs(ctx, false)
	if err != nil {
		return err
	}
	standing, err := d.sandboxPIDs(ctx, true)
	if err != nil {
		return err
	}
	sandboxes = append(sandboxes, standing...)
	var inside []int
	for _, pids := range sandboxes {
		inside = append(inside, pids...)
	}
	var before, after [2]int64
	read := func(into *[2]int64) error {
		var errs [2]error
		into[0], errs[0] = ticksOf([]int{d.cmd.Process.Pid})
		into[1], errs[1] = ticksOf(inside)
		return errors.Join(errs[0], errs[1])
	}
	if err := read(&before); err != nil {
		return err
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(idlePeriod):
	}
	if err := read(&after); err != nil {
		return err
	}
	percent := func(i int) float64 {
		return 100 * float64(after[i]-before[i]) / ticksPerSecond / idlePeriod.Seconds()
	}
	d.b.report.add("cpu_idle_docker_sd", "%", []float64{percent(0)}, "")
	d.b.report.add("cpu_idle_sandboxes_"+name, "%", []float64{percent(1)}, "")
	return nil
}

func ticksOf(pids []int) (int64, error) {
	var sum int64
	for _, pid := range pids {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil {
			return 0, fmt.Errorf("read the processor time of a process: %w", err)
		}
		ticks, err := parseTicks(string(stat))
		if err != nil {
			return 0, fmt.Errorf("processor time of process %d: %w", pid, err)
		}
		sum += ticks
	}
	return sum, nil
}

// parseTicks reads user and system time from a stat line. The command's name
// may hold spaces and brackets, so fields are counted from its end.
func parseTicks(stat string) (int64, error) {
	_, rest, found := strings.Cut(stat[strings.LastIndex(stat, ")")+1:], " ")
	fields := strings.Fields(rest)
	if !found || len(fields) < 13 {
		return 0, fmt.Errorf("unexpected line %q", stat)
	}
	user, err := strconv.ParseInt(fields[11], 10, 64)
	if err != nil {
		return 0, err
	}
	system, err := strconv.ParseInt(fields[12], 10, 64)
	return user + system, err
}
