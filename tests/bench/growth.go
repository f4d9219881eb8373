package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	v1 "k8s.io/api/core/v1"
)

// measureGrowth takes the figures of a docker-sd that has more and more pods, and
// how long another one takes to know the most of them after a kill.
func (b *bench) measureGrowth(ctx context.Context) error {
	levels := []int{1, 10}
	if !b.quick {
		levels = append(levels, 100)
	}
	return b.withDaemon(ctx, usual(3), func(d *daemon) error {
		// The log of the first pod is read at every level.
		writer, err := d.startWriter(ctx, "echo hello")
		if err != nil {
			return err
		}
		present := []*v1.Pod{writer.pod}
		for _, level := range levels {
			more, _, err := d.startMany(ctx, level-len(present))
			if err != nil {
				return err
			}
			present = append(present, podsOf(more)...)
			if err := d.withPresent(ctx, present, writer); err != nil {
				return err
			}
		}
		return d.takeovers(ctx, present, b.times(1, 3))
	})
}

func presentSuffix(pods []*v1.Pod) string { return fmt.Sprintf("_%d_present", len(pods)) }

// withPresent takes the figures at one level.
func (d *daemon) withPresent(ctx context.Context, present []*v1.Pod, writer *sample) error {
	suffix := presentSuffix(present)
	// The creates have left a pool to be filled, which is not docker-sd at idle.
	if err := d.awaitSettled(ctx); err != nil {
		return err
	}
	if err := d.memory(suffix[1:]); err != nil {
		return err
	}
	idle, err := watch(ctx, []int{d.PID()})
	if err != nil {
		return err
	}
	d.b.report.add("cpu_idle_docker_sd"+suffix, "%", idle, "")
	if err := d.statuses(ctx, "status"+suffix, present, d.b.times(20, 100)); err != nil {
		return err
	}
	if err := d.logs(ctx, writer, "line"+suffix, 1, d.b.times(20, 100)); err != nil {
		return err
	}
	// The plain engine has as many containers to look after.
	plainTimes, t, err := d.takeBeside(ctx, d.b.image, d.b.times(4, 10))
	if err != nil {
		return err
	}
	beside := base + suffix
	d.b.report.addTimes(beside, plainTimes, base)
	d.b.report.addWarm(t, suffix, beside)
	return nil
}

// takeovers kills docker-sd and starts it again.
func (d *daemon) takeovers(ctx context.Context, present []*v1.Pod, n int) error {
	body, err := statusBody(present)
	if err != nil {
		return err
	}
	var times []time.Duration
	for range n {
		if err := d.awaitSettled(ctx); err != nil {
			return err
		}
		before, err := d.awaitRunning(ctx, body, len(present))
		if err != nil {
			return err
		}
		if err := d.kill(); err != nil {
			return err
		}
		began := time.Now()
		if err := d.Start(); err != nil {
			return err
		}
		after, err := d.awaitRunning(ctx, body, len(present))
		if err != nil {
			return err
		}
		times = append(times, time.Since(began))
		if err := sameContainers(before, after); err != nil {
			return err
		}
	}
	d.b.report.addTimes("takeover"+presentSuffix(present), times, "")
	return nil
}

// sameContainers fails unless every pod has the container from before, which was
// never restarted: a pod that was taken over has noticed nothing.
func sameContainers(before, after map[string]v1.ContainerStatus) error {
	var problems []error
	for uid, was := range before {
		is, found := after[uid]
		switch {
		case !found:
			problems = append(problems, fmt.Errorf("pod %s is missing after the takeover", uid))
		case is.ContainerID != was.ContainerID:
			problems = append(problems, fmt.Errorf("pod %s has container %s after the takeover, had %s", uid, is.ContainerID, was.ContainerID))
		case is.RestartCount != 0:
			problems = append(problems, fmt.Errorf("the container of pod %s was restarted %d times", uid, is.RestartCount))
		}
	}
	return errors.Join(problems...)
}
