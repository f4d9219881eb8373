package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/interlink"
)

// kubelet asks a docker-sd what the virtual kubelet of a node asks, through
// interLink's API server or itself, and at the same times (protocol 2.3, 2.4).
type kubelet struct {
	*daemon
	plan    plan
	samples *samples
	polls   atomic.Int64

	mu   sync.Mutex
	pods []*pod
}

// list is a copy of the node's pods.
func (k *kubelet) list() []*pod {
	k.mu.Lock()
	defer k.mu.Unlock()
	return slices.Clone(k.pods)
}

// pollPods asks for every pod, one after the other, pauses, and so on until ctx
// ends. The nodes begin at different moments.
func (k *kubelet) pollPods(ctx context.Context, first time.Duration) error {
	for pause := first; sleep(ctx, pause); pause = k.plan.round {
		began, pods := time.Now(), k.list()
		for _, p := range pods {
			if err := k.pollPod(ctx, p); err != nil {
				return unlessEnded(ctx, err)
			}
		}
		if len(pods) == k.plan.pods {
			k.samples.since("round", began)
		}
	}
	return nil
}

// pollPod asks for the status of one pod. An answer that a virtual kubelet could not use is an
// error.
func (k *kubelet) pollPod(ctx context.Context, p *pod) error {
	began := time.Now()
	text, err := k.api.call(ctx, http.MethodGet, "/status", "GetStatus#1", p.poll())
	if err != nil {
		return err
	}
	k.samples.since("status", began)
	k.polls.Add(1)
	return p.polled(text)
}

// ping asks for the node's health until ctx ends.
func (k *kubelet) ping(ctx context.Context, first time.Duration) error {
	for pause := first; sleep(ctx, pause); pause = k.plan.ping {
		began := time.Now()
		text, err := k.api.ping(ctx)
		if err != nil {
			return unlessEnded(ctx, err)
		}
		k.samples.since("ping", began)
		var answer interlink.Ping
		if err := json.Unmarshal(text, &answer); err != nil || answer.Status != "ok" {
			return fmt.Errorf("%s: a ping was answered with %s", k.name, text)
		}
	}
	return nil
}

// create adds pods, one at a time over a period. A virtual kubelet does not wait
// for the answer to one before it sends the next, and polls do not wait for either.
func (k *kubelet) create(ctx context.Context, n int, over time.Duration) error {
	creates, ctx := errgroup.WithContext(ctx)
	for range n {
		p, err := newPod(k.name)
		if err != nil {
			return errors.Join(err, creates.Wait())
		}
		k.mu.Lock()
		k.pods = append(k.pods, p)
		k.mu.Unlock()
		creates.Go(func() error {
			began := time.Now()
			text, err := k.api.create(ctx, p)
			if err != nil {
				return err
			}
			k.samples.since("create", began)
			return p.created(text)
		})
		sleep(ctx, over/time.Duration(n))
	}
	return creates.Wait()
}

// awaitRunning returns when polls have said of every pod that it runs.
func (k *kubelet) awaitRunning(ctx context.Context) error {
	return poll(ctx, k.name+": wait for the pods to run", func() error {
		waiting := 0
		for _, p := range k.list() {
			if !p.isRunning() {
				waiting++
			}
		}
		if waiting > 0 {
			return fmt.Errorf("%d of them do not: %w", waiting, errors.Join(errNotYet, k.alive()))
		}
		return nil
	})
}

// remove deletes the n oldest pods over a period and returns when nothing is
// left of them.
func (k *kubelet) remove(ctx context.Context, n int, over time.Duration) error {
	gone := k.list()[:n]
	for _, p := range gone {
		p.deleting()
		began := time.Now()
		if err := k.api.remove(ctx, p); err != nil {
			return err
		}
		k.samples.since("delete", began)
		k.mu.Lock()
		k.pods = slices.DeleteFunc(k.pods, func(other *pod) bool { return other == p })
		k.mu.Unlock()
		sleep(ctx, over/time.Duration(n))
	}
	for _, p := range gone {
		if err := k.awaitForgotten(ctx, p.uid); err != nil {
			return err
		}
		text, err := k.api.call(ctx, http.MethodGet, "/status", "GetStatus#1", p.running)
		if err != nil {
			return err
		}
		if string(bytes.TrimSpace(text)) != "[]" {
			return fmt.Errorf("%s: the deleted pod %s has a status: %s", k.name, p.uid, text)
		}
	}
	return nil
}

// sleep returns false when ctx ends before the period.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

// unlessEnded makes nothing of an error that came of the end of ctx.
func unlessEnded(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return err
}
