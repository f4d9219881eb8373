package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/prometheus/procfs"
)

// spent is what the machine has done: its processors without this program, and its disks.
type spent struct {
	at      time.Time
	cpu     float64 // seconds
	written float64 // bytes
}

// spentNow reads it from the kernel.
func spentNow() (spent, error) {
	fs, err := procfs.NewDefaultFS()
	if err != nil {
		return spent{}, err
	}
	stat, err := fs.Stat()
	if err != nil {
		return spent{}, fmt.Errorf("read the processors' time: %w", err)
	}
	var own syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &own); err != nil {
		return spent{}, fmt.Errorf("read the bench's own processor time: %w", err)
	}
	text, err := os.ReadFile("/proc/vmstat")
	if err != nil {
		return spent{}, err
	}
	written, err := parseWritten(string(text))
	c := stat.CPUTotal
	busy := c.User + c.Nice + c.System + c.IRQ + c.SoftIRQ
	return spent{time.Now(), busy - float64(own.Utime.Nano()+own.Stime.Nano())/1e9, written}, err
}

// parseWritten finds what went to disks, in bytes. The kernel counts KiB.
func parseWritten(vmstat string) (float64, error) {
	for line := range strings.Lines(vmstat) {
		if value, found := strings.CutPrefix(line, "pgpgout "); found {
			kib, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
			return kib * 1024, err
		}
	}
	return 0, errors.New("the kernel does not say what went to disks")
}

// since is what was done from then on, without what the machine does at rest, which rest
// is for one second.
func (s spent) since(then spent, rest spent) spent {
	seconds := s.at.Sub(then.at).Seconds()
	return spent{cpu: s.cpu - then.cpu - rest.cpu*seconds, written: s.written - then.written - rest.written*seconds}
}

// atRest measures a second of the machine as it is.
func atRest(ctx context.Context) (spent, error) {
	before, err := spentNow()
	if err != nil {
		return spent{}, err
	}
	select {
	case <-ctx.Done():
		return spent{}, ctx.Err()
	case <-time.After(idlePeriod):
	}
	after, err := spentNow()
	seconds := after.at.Sub(before.at).Seconds()
	return spent{cpu: (after.cpu - before.cpu) / seconds, written: (after.written - before.written) / seconds}, err
}

// mostAtRest is what a machine may do before a run, in processors, for its figures to be
// shown to others.
const mostAtRest = 0.15

// refuseBusy fails on a machine that does something else, if the figures are for others.
func refuseBusy(ctx context.Context, o options, out io.Writer) error {
	rest, err := atRest(ctx)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "# at rest the machine takes %.0f %% of a processor\n", 100*rest.cpu)
	if o.svg != "" && rest.cpu > mostAtRest {
		return fmt.Errorf("the machine is busy: it takes %.0f %% of a processor before anything is measured, and no more than %.0f %% make figures worth a chart", 100*rest.cpu, 100*mostAtRest)
	}
	return nil
}

// measureCost takes what a pod costs the machine from its create until nothing is left of
// it and the pool is full again, against a plain container that is run and removed.
func measureCost(ctx context.Context, b *bench) error {
	return b.withDaemon(ctx, usual(3), func(d *daemon) error {
		if err := d.awaitSettled(ctx); err != nil {
			return err
		}
		rest, err := atRest(ctx)
		if err != nil {
			return err
		}
		n := b.times(6, 20)
		plain, err := costOf(ctx, rest, n, func() error {
			id, _, _, err := b.plainStart(ctx, b.image, "host")
			if err != nil {
				return err
			}
			return b.removePlain(ctx, id)
		}, func() error { return nil })
		if err != nil {
			return err
		}
		pod, err := costOf(ctx, rest, n, func() error {
			s, err := d.start(ctx, b.newPod(b.image, ""))
			if err != nil {
				return err
			}
			return d.remove(ctx, s)
		}, func() error { return awaitFull(ctx, d) })
		if err != nil {
			return err
		}
		b.report.add("cost_cpu_plain", "ms", []float64{1000 * plain.cpu}, "")
		b.report.add("cost_cpu_pod", "ms", []float64{1000 * pod.cpu}, "cost_cpu_plain")
		b.report.add("cost_written_plain", "MB", []float64{plain.written / 1e6}, "")
		b.report.add("cost_written_pod", "MB", []float64{pod.written / 1e6}, "cost_written_plain")
		return nil
	})
}

// costOf repeats something and what follows all of it, and returns what one time has cost.
func costOf(ctx context.Context, rest spent, times int, do, after func() error) (spent, error) {
	before, err := spentNow()
	if err != nil {
		return spent{}, err
	}
	for range times {
		if err := do(); err != nil {
			return spent{}, err
		}
	}
	if err := after(); err != nil {
		return spent{}, err
	}
	// What was written may still be in memory.
	syscall.Sync()
	now, err := spentNow()
	all := now.since(before, rest)
	return spent{cpu: all.cpu / float64(times), written: all.written / float64(times)}, err
}

// awaitFull is awaitWarm with few questions, which cost processor time too.
func awaitFull(ctx context.Context, d *daemon) error {
	return poll(ctx, "wait for a full pool (log: "+d.log.Name()+")", 3*time.Minute, 500*time.Millisecond, func() (bool, error) {
		is, err := d.waiting(ctx)
		return err == nil && is.covers(d.sizes), err
	})
}
