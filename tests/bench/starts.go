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
	n := b.times(15, 30)
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
			id, run, back, err := b.plainStart(ctx, b.image, network)
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
	err := b.withDaemon(ctx, usual(3), func(d *daemon) error {
		if err := d.idle(ctx, "3_warm"); err != nil {
			return err
		}
		if err := errors.Join(d.sandboxMemory(ctx, "warm_sandbox", false), d.sandboxMemory(ctx, "standby_sandbox", true)); err != nil {
			return err
		}
		if err := d.warmStarts(ctx); err != nil {
			return err
		}
		return d.visibleStarts(ctx)
	})
	if err != nil || !b.big {
		return err
	}
	return b.measureLarge(ctx)
}

func (d *daemon) warmStarts(ctx context.Context) error {
	const beside = "plain_start_host_interleaved"
	plainTimes, t, err := d.takeBeside(ctx, d.b.image, d.b.times(10, 60))
	if err != nil {
		return err
	}
	d.b.report.addTimes(beside, plainTimes, base)
	d.b.report.addWarm(t, "", beside)
	return nil
}

// addWarm reports a series from a warm pool; the starts are compared with against.
func (r *report) addWarm(t taken, suffix, against string) {
	r.addTimes("create_answer"+suffix, t.answers, base)
	r.addTimes("create_running_warm"+suffix, t.starts, against)
	r.addTimes("delete_answer"+suffix, t.deletes, base)
	r.addTimes("delete_gone"+suffix, t.gone, base)
}

// visibleStarts measures to the moment at which a caller of /status can know,
// against the return of the plain engine's start call, taken in between. It polls,
// every 2 ms, but only from the start of the process on, so that polls do not slow
// that down.
func (d *daemon) visibleStarts(ctx context.Context) error {
	const beside = "plain_start_host_call_interleaved"
	var seen, plainCalls []time.Duration
	for i := range d.b.times(4, 20) + 1 {
		if err := d.awaitWarm(ctx); err != nil {
			return err
		}
		id, _, returned, err := d.b.plainStart(ctx, d.b.image, "host")
		if err != nil {
			return err
		}
		if err := d.b.removePlain(ctx, id); err != nil {
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
			seen, plainCalls = append(seen, time.Since(s.sent)), append(plainCalls, returned)
		}
		// Neither side is to start beside the boot of the replacement.
		if err := errors.Join(d.awaitWarm(ctx), d.remove(ctx, s)); err != nil {
			return err
		}
	}
	d.b.report.addTimes(beside, plainCalls, base)
	d.b.report.addTimes("create_status_running_warm", seen, beside)
	return nil
}

// measureEmpty takes starts of pods that find no warm sandbox: theirs is made for
// them, in a network that is held where one is, or woken where one stands by.
func (b *bench) measureEmpty(ctx context.Context) error {
	for _, c := range []struct {
		name string
		of   sizes
	}{{"create_running_empty_pool", sizes{}}, {"create_running_held_network", sizes{holders: 2}}, {"create_running_standby", sizes{standby: 2}}} {
		err := b.withDaemon(ctx, c.of, func(d *daemon) error {
			return d.startsBeside(ctx, c.name, b.image, b.times(6, 12))
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// startsBeside reports starts from an image relative to plain ones in between.
func (d *daemon) startsBeside(ctx context.Context, name, image string, times int) error {
	plainTimes, t, err := d.takeBeside(ctx, image, times)
	if err != nil {
		return err
	}
	beside := "plain_start_host_beside_" + name
	d.b.report.addTimes(beside, plainTimes, base)
	d.b.report.addTimes(name, t.starts, beside)
	return nil
}

// takeBeside is takeStarts with a plain start from the same image before each, so
// that both see the same machine.
func (d *daemon) takeBeside(ctx context.Context, image string, times int) ([]time.Duration, taken, error) {
	var plainTimes []time.Duration
	t, err := d.takeStarts(ctx, image, times, func() error {
		id, running, _, err := d.b.plainStart(ctx, image, "host")
		if err != nil {
			return err
		}
		plainTimes = append(plainTimes, running)
		return d.b.removePlain(ctx, id)
	})
	return plainTimes[min(warmUps, len(plainTimes)):], t, err
}

// taken are the times of pods that were started and deleted one after the other:
// from the create to its answer and to the start of the process, and from the
// delete to its answer and until nothing was left.
type taken struct{ answers, starts, deletes, gone []time.Duration }

// takeStarts starts and deletes pods one after the other, each with the pool full
// again and after what comes before it, and throws the first two away.
func (d *daemon) takeStarts(ctx context.Context, image string, times int, before func() error) (taken, error) {
	var t taken
	for i := range times + warmUps {
		if err := d.awaitWarm(ctx); err != nil {
			return t, err
		}
		if err := before(); err != nil {
			return t, err
		}
		s, err := d.start(ctx, d.b.newPod(image, ""))
		if err != nil {
			return t, err
		}
		if d.pool > 0 && !s.warm {
			return t, fmt.Errorf("pod %s got sandbox %s, which had not been seen warm", s.pod.UID, s.sandbox)
		}
		// The replacement boots now; a delete is measured without it.
		if err := d.awaitWarm(ctx); err != nil {
			return t, err
		}
		began := time.Now()
		answer, err := d.delete(ctx, s.pod)
		if err != nil {
			return t, err
		}
		if err := d.awaitGone(ctx, s.pod); err != nil {
			return t, err
		}
		if i >= warmUps {
			t.answers, t.starts = append(t.answers, s.answered.Sub(s.sent)), append(t.starts, s.started.Sub(s.sent))
			t.deletes, t.gone = append(t.deletes, answer), append(t.gone, time.Since(began))
		}
	}
	return t, nil
}
