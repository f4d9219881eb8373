package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"time"

	"github.com/intertwin-eu/interlink-docker-plugin/tests/kit"
	"golang.org/x/sync/errgroup"
)

// simulation is one run.
type simulation struct {
	plan
	samples *samples
	nodes   []*kubelet
	began   time.Time
	// polls that were made while nothing else happened.
	polls int64
}

// simulate runs a plan with its files below dir. The error has all that was wrong.
func simulate(ctx context.Context, dir string, p plan) (_ document, err error) {
	s := &simulation{plan: p, samples: newSamples(), began: time.Now()}
	binary, err := kit.Build(ctx, filepath.Join(dir, "docker-sd"))
	if err != nil {
		return document{}, err
	}
	s.say("built")
	if err := s.boot(ctx, binary, dir); err != nil {
		return document{}, errors.Join(err, s.stop())
	}
	s.say("booted")
	if err := errors.Join(s.live(ctx), s.stop()); err != nil {
		return document{}, err
	}
	return document{Taken: time.Now().UTC(), CPUs: runtime.NumCPU(), Nodes: p.nodes, Pods: p.nodes * (p.pods + p.churned), Running: p.nodes * p.pods,
		Polls: int(s.polls), Figures: s.samples.figures()}, nil
}

// say tells how far the run has got.
func (s *simulation) say(done string) {
	fmt.Fprintf(os.Stderr, "# %s, %s after the start\n", done, time.Since(s.began).Round(100*time.Millisecond))
}

// boot starts the docker-sd of all nodes.
func (s *simulation) boot(ctx context.Context, binary, dir string) error {
	var mu sync.Mutex
	var starts errgroup.Group
	starts.SetLimit(4)
	for i := range s.plan.nodes {
		starts.Go(func() error {
			d, err := startDaemon(ctx, binary, filepath.Join(dir, fmt.Sprintf("node-%02d", i)), s.plan)
			if err != nil {
				return err
			}
			mu.Lock()
			defer mu.Unlock()
			s.nodes = append(s.nodes, &kubelet{daemon: d, plan: s.plan, samples: s.samples})
			return nil
		})
	}
	return starts.Wait()
}

// stop ends all nodes at once. The error has all that was wrong with them.
func (s *simulation) stop() error {
	problems := make([]error, len(s.nodes))
	var stops sync.WaitGroup
	for i, k := range s.nodes {
		stops.Go(func() { problems[i] = k.stop() })
	}
	stops.Wait()
	return errors.Join(problems...)
}

// live polls and pings all nodes while pods come and go.
func (s *simulation) live(ctx context.Context) error {
	asking, ctx := errgroup.WithContext(ctx)
	polling, end := context.WithCancel(ctx)
	for i, k := range s.nodes {
		share := func(of time.Duration) time.Duration { return of * time.Duration(i) / time.Duration(len(s.nodes)) }
		asking.Go(func() error { return k.pollPods(polling, share(s.round)) })
		asking.Go(func() error { return k.ping(polling, share(s.ping)) })
	}
	asking.Go(func() error {
		defer end()
		for _, phase := range []struct {
			name string
			do   func(context.Context) error
		}{{"filled", s.fillNodes}, {"polled", s.stayNodes}, {"churned", s.churnNodes}, {"emptied", s.emptyNodes}} {
			if err := phase.do(ctx); err != nil {
				return fmt.Errorf("%s: %w", phase.name, err)
			}
			s.say(phase.name)
		}
		return nil
	})
	return asking.Wait()
}

// each does the same on all nodes at once.
func (s *simulation) each(ctx context.Context, do func(context.Context, *kubelet) error) error {
	group, ctx := errgroup.WithContext(ctx)
	for _, k := range s.nodes {
		group.Go(func() error { return do(ctx, k) })
	}
	return group.Wait()
}

// fillNodes creates the pods, and takes what a start costs.
func (s *simulation) fillNodes(ctx context.Context) error {
	return s.each(ctx, func(ctx context.Context, k *kubelet) error {
		before, _, err := k.usage()
		if err != nil {
			return err
		}
		if err := errors.Join(k.create(ctx, s.pods, s.fill), k.awaitRunning(ctx), k.awaitPods(ctx, s.pods), k.awaitQuiet(ctx)); err != nil {
			return err
		}
		after, _, err := k.usage()
		s.samples.add("cpu_start", (after-before)*1000/float64(s.pods))
		return err
	})
}

// stayNodes leaves the pods alone: all that docker-sd does now, it does for polls.
func (s *simulation) stayNodes(ctx context.Context) error {
	var polls sync.Mutex
	return s.each(ctx, func(ctx context.Context, k *kubelet) error {
		calls, polled, began := k.host.calls(), k.polls.Load(), time.Now()
		before, _, err := k.usage()
		if err != nil {
			return err
		}
		sleep(ctx, s.steady)
		took := time.Since(began)
		after, memory, err := k.usage()
		if err != nil {
			return err
		}
		s.samples.add("cpu_polled", (after-before)*100/took.Seconds())
		s.samples.add("memory", memory/1e6)
		if made := polledCalls(calls, k.host.calls(), took); len(made) > 0 {
			return fmt.Errorf("%s asked its engines while pods were only polled: %v", k.name, made)
		}
		polls.Lock()
		defer polls.Unlock()
		s.polls += k.polls.Load() - polled
		return nil
	})
}

// churnNodes deletes pods while others come.
func (s *simulation) churnNodes(ctx context.Context) error {
	return s.each(ctx, func(ctx context.Context, k *kubelet) error {
		group, busy := errgroup.WithContext(ctx)
		group.Go(func() error { return k.remove(busy, s.churned, s.churn) })
		group.Go(func() error { return k.create(busy, s.churned, s.churn) })
		return errors.Join(group.Wait(), k.awaitRunning(ctx), k.awaitPods(ctx, s.pods))
	})
}

// emptyNodes deletes all that is left.
func (s *simulation) emptyNodes(ctx context.Context) error {
	return s.each(ctx, func(ctx context.Context, k *kubelet) error {
		if err := k.remove(ctx, len(k.list()), s.churn); err != nil {
			return err
		}
		return k.awaitPods(ctx, 0)
	})
}
