package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
)

// usage of memory in KiB. Private memory is what would be freed by the end of
// the processes; resident memory counts shared pages once per process.
type usage struct{ resident, private int64 }

// megabytes are of 10^6 bytes, as the limits are stated.
func megabytes(kib int64) float64 { return float64(kib) * 1024 / 1e6 }

// memory reports docker-sd's memory.
func (d *daemon) memory(of string) error {
	used, err := memoryOf([]int{d.PID()})
	if err != nil {
		return err
	}
	d.b.report.addMemory("memory_docker_sd_"+of, used, 1)
	return nil
}

// sandboxMemory reports the memory of a sandbox that is warm or stands by, summed
// over its processes. It is the mean of all such sandboxes, which differ.
func (d *daemon) sandboxMemory(ctx context.Context, name string, standby bool) error {
	found, err := d.sandboxPIDs(ctx, standby)
	if err != nil {
		return err
	}
	used, err := memoryOf(slices.Concat(found...))
	if err != nil {
		return err
	}
	d.b.report.addMemory("memory_"+name, used, len(found))
	return nil
}

// addMemory reports one of n equal parts.
func (r *report) addMemory(name string, used usage, n int) {
	r.add(name+"_resident", "MB", []float64{megabytes(used.resident) / float64(n)}, "")
	r.add(name+"_private", "MB", []float64{megabytes(used.private) / float64(n)}, "")
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
		if d.isClaimed(c.Labels[sandboxLabel]) || c.holder() || c.standby() != standby {
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
	taken, err := watch(ctx, []int{d.PID()}, slices.Concat(append(sandboxes, standing...)...))
	if err != nil {
		return err
	}
	d.b.report.add("cpu_idle_docker_sd", "%", taken[:1], "")
	d.b.report.add("cpu_idle_sandboxes_"+name, "%", taken[1:], "")
	return nil
}

// watch returns what each group of processes takes of one processor, in percent.
func watch(ctx context.Context, groups ...[]int) ([]float64, error) {
	before, err := ticksOfEach(groups)
	if err != nil {
		return nil, err
	}
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-time.After(idlePeriod):
	}
	after, err := ticksOfEach(groups)
	if err != nil {
		return nil, err
	}
	out := make([]float64, len(groups))
	for i := range groups {
		out[i] = 100 * float64(after[i]-before[i]) / ticksPerSecond / idlePeriod.Seconds()
	}
	return out, nil
}

func ticksOfEach(groups [][]int) ([]int64, error) {
	out := make([]int64, len(groups))
	for i, pids := range groups {
		ticks, err := ticksOf(pids)
		if err != nil {
			return nil, err
		}
		out[i] = ticks
	}
	return out, nil
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
