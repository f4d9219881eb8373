package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	v1 "k8s.io/api/core/v1"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/interlink"
)

// base is the figure that ratios of starts are taken to.
const base = "plain_start_host"

// measurePlain takes the plain engine's own starts.
func (b *bench) measurePlain(ctx context.Context) error {
	n := b.times(15, 60)
	bridge, err := b.bridge(ctx)
	if err != nil {
		return err
	}
	for _, network := range []string{"host", bridge} {
		kind := "bridge"
		if network == "host" {
			kind = "host"
		}
		var running, returned, removed []time.Duration
		for i := range n + warmUps {
			id, run, back, err := b.plainStart(ctx, network)
			if err != nil {
				return err
			}
			began := time.Now()
			if err := b.removePlain(ctx, id); err != nil {
				return err
			}
			if i >= warmUps {
				running, returned, removed = append(running, run), append(returned, back), append(removed, time.Since(began))
			}
		}
		b.report.addTimes("plain_start_"+kind, running, base)
		if kind == "host" {
			b.report.addTimes("plain_start_host_call", returned, base)
			b.report.addTimes("plain_remove_host", removed, base)
		}
	}
	return nil
}

// bridge returns the name of a bridge network: the engine's default one, or,
// where the engine was started without, one made for this run.
func (b *bench) bridge(ctx context.Context) (string, error) {
	err := b.engine.call(ctx, http.MethodGet, "/networks/bridge", nil, nil)
	refused := &refusal{}
	if !errors.As(err, &refused) || refused.code != http.StatusNotFound {
		return "bridge", err
	}
	name := b.instance + "-bridge"
	return name, b.engine.call(ctx, http.MethodPost, "/networks/create", map[string]any{"Name": name, "Driver": "bridge",
		"Labels": map[string]string{plainLabel: b.instance}}, nil)
}

// warmUps are repetitions that are thrown away.
const warmUps = 2

// measureWarm takes the figures of a docker-sd with a warm pool. Plain starts
// are measured in between, so that both sides see the same machine.
func (b *bench) measureWarm(ctx context.Context) error {
	return b.withDaemon(ctx, usual(3), func(d *daemon) error {
		if err := d.idle(ctx, "3_warm"); err != nil {
			return err
		}
		if err := errors.Join(d.memory(ctx, "warm_sandbox"), d.memory(ctx, "standby_sandbox")); err != nil {
			return err
		}
		if err := d.warmStarts(ctx); err != nil {
			return err
		}
		return d.visibleStarts(ctx)
	})
}

func (d *daemon) warmStarts(ctx context.Context) error {
	var plainTimes, answers, starts, deletes, gone []time.Duration
	for i := range d.b.times(10, 60) + warmUps {
		if err := d.awaitWarm(ctx); err != nil {
			return err
		}
		plainRun, err := d.b.plainBeside(ctx)
		if err != nil {
			return err
		}
		s, err := d.start(ctx, d.b.newPod(d.b.image, ""))
		if err != nil {
			return err
		}
		if !s.warm {
			return fmt.Errorf("pod %s got sandbox %s, which had not been seen warm", s.pod.UID, s.jid)
		}
		// The replacement boots now; a delete is measured without it.
		if err := d.awaitWarm(ctx); err != nil {
			return err
		}
		began := time.Now()
		answer, err := d.delete(ctx, s.pod)
		if err != nil {
			return err
		}
		if err := d.awaitGone(ctx, s.pod); err != nil {
			return err
		}
		if i >= warmUps {
			plainTimes, answers, starts = append(plainTimes, plainRun), append(answers, s.answered.Sub(s.sent)), append(starts, s.started.Sub(s.sent))
			deletes, gone = append(deletes, answer), append(gone, time.Since(began))
		}
	}
	r := &d.b.report
	r.addTimes("plain_start_host_interleaved", plainTimes, base)
	r.addTimes("create_answer", answers, base)
	r.addTimes("create_running_warm", starts, "plain_start_host_interleaved")
	r.addTimes("delete_answer", deletes, base)
	r.addTimes("delete_gone", gone, base)
	return nil
}

// visibleStarts measures to the moment at which a caller of /status can know,
// against the return of the plain engine's start call. It polls, every 2 ms, but
// only from the start of the process on, so that polls do not slow that down.
func (d *daemon) visibleStarts(ctx context.Context) error {
	var seen []time.Duration
	for i := range d.b.times(4, 25) + 1 {
		if err := d.awaitWarm(ctx); err != nil {
			return err
		}
		pod := d.b.newPod(d.b.image, "")
		body, err := json.Marshal([]*v1.Pod{pod})
		if err != nil {
			return err
		}
		s, err := d.start(ctx, pod)
		if err != nil {
			return err
		}
		if err := poll(ctx, "wait for a running status", startTimeout, 2*time.Millisecond, func() (bool, error) {
			var answer []interlink.PodStatus
			err := d.api.raw(ctx, http.MethodPost, "/status", body, &answer)
			return err == nil && len(answer) == 1 && answer[0].Containers[0].State.Running != nil, err
		}); err != nil {
			return err
		}
		if i > 0 {
			seen = append(seen, time.Since(s.sent))
		}
		if err := d.remove(ctx, s); err != nil {
			return err
		}
	}
	d.b.report.addTimes("create_status_running_warm", seen, "plain_start_host_call")
	return nil
}

// plainBeside is one plain start amid those of docker-sd, so that both see the same
// machine.
func (b *bench) plainBeside(ctx context.Context) (time.Duration, error) {
	id, running, _, err := b.plainStart(ctx, "host")
	if err != nil {
		return 0, err
	}
	return running, b.removePlain(ctx, id)
}

// measureEmpty takes starts of pods that find no warm sandbox: theirs is made for
// them, or woken where one stands by. Plain starts are measured in between.
func (b *bench) measureEmpty(ctx context.Context) error {
	for _, c := range []struct {
		name string
		of   sizes
	}{{"create_running_empty_pool", sizes{}}, {"create_running_standby", sizes{standby: 2}}} {
		err := b.withDaemon(ctx, c.of, func(d *daemon) error {
			var plainTimes []time.Duration
			starts, err := d.takeStarts(ctx, b.times(6, 30), func() error {
				plainRun, err := b.plainBeside(ctx)
				plainTimes = append(plainTimes, plainRun)
				return err
			})
			if err != nil {
				return err
			}
			beside := "plain_start_host_beside_" + c.name
			b.report.addTimes(beside, plainTimes, base)
			b.report.addTimes(c.name, starts, beside)
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// takeStarts takes starts one after the other, each with the pool full again and
// after what comes before it, and throws the first away.
func (d *daemon) takeStarts(ctx context.Context, times int, before func() error) ([]time.Duration, error) {
	var starts []time.Duration
	for i := range times + 1 {
		if err := errors.Join(d.awaitWarm(ctx), before()); err != nil {
			return nil, err
		}
		s, err := d.start(ctx, d.b.newPod(d.b.image, ""))
		if err != nil {
			return nil, err
		}
		if i > 0 {
			starts = append(starts, s.started.Sub(s.sent))
		}
		if err := d.remove(ctx, s); err != nil {
			return nil, err
		}
	}
	return starts, nil
}

// measureGrowth takes warm starts with more and more pods present.
func (b *bench) measureGrowth(ctx context.Context) error {
	return b.withDaemon(ctx, usual(3), func(d *daemon) error {
		present := 0
		levels := []int{1, 10}
		if !b.quick {
			levels = append(levels, 100)
		}
		for _, level := range levels {
			if _, _, err := d.startMany(ctx, level-present); err != nil {
				return err
			}
			present = level
			if err := d.memory(ctx, fmt.Sprintf("%d_present", level)); err != nil {
				return err
			}
			starts, err := d.takeStarts(ctx, b.times(4, 20), func() error { return nil })
			if err != nil {
				return err
			}
			b.report.addTimes(fmt.Sprintf("create_running_warm_%d_present", level), starts, base)
		}
		return nil
	})
}
