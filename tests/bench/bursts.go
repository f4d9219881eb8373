package main

import (
	"context"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
)

// plainParallel is how many containers the plain engine is given at a time.
const plainParallel = 8

// measureBursts takes the wall time of many creates sent at once.
func (b *bench) measureBursts(ctx context.Context) error {
	sizes := []int{10, 50}
	if !b.quick {
		sizes = append(sizes, 200)
	}
	for _, size := range sizes {
		var walls []time.Duration
		for range b.burstTimes(size) {
			wall, err := b.plainBurst(ctx, size)
			if err != nil {
				return err
			}
			walls = append(walls, wall)
		}
		b.report.addTimes(plainBurstName(size), walls, "")
	}
	for _, pool := range []int{3, 10} {
		err := b.withDaemon(ctx, usual(pool), func(d *daemon) error {
			for _, size := range sizes {
				if b.quick && size > 10 && pool < 10 {
					continue // half a minute for what the large pool shows as well
				}
				if err := d.burst(ctx, size); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// burstTimes is how often a burst is repeated: the large ones take minutes.
func (b *bench) burstTimes(size int) int {
	if size <= 10 {
		return b.times(1, 3)
	}
	if size <= 50 {
		return b.times(1, 2)
	}
	return 1
}

func plainBurstName(size int) string { return fmt.Sprintf("plain_burst_%d", size) }

func (d *daemon) burst(ctx context.Context, size int) error {
	var walls []time.Duration
	for range d.b.burstTimes(size) {
		if err := d.awaitSettled(ctx); err != nil {
			return err
		}
		samples, wall, err := d.startMany(ctx, size)
		if err != nil {
			return err
		}
		walls = append(walls, wall)
		if err := d.remove(ctx, samples...); err != nil {
			return err
		}
	}
	d.b.report.addTimes(fmt.Sprintf("burst_%d_pool_%d", size, d.pool), walls, plainBurstName(size))
	return nil
}

// plainBurst starts size containers on the plain engine, eight at a time, and
// removes them.
func (b *bench) plainBurst(ctx context.Context, size int) (time.Duration, error) {
	var mu sync.Mutex
	var ids []string
	group, groupCtx := errgroup.WithContext(ctx)
	group.SetLimit(plainParallel)
	began := time.Now()
	for range size {
		group.Go(func() error {
			id, _, _, err := b.plainStart(groupCtx, b.image, "host")
			mu.Lock()
			defer mu.Unlock()
			ids = append(ids, id)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return 0, err
	}
	wall := time.Since(began)
	removals, groupCtx := errgroup.WithContext(ctx)
	removals.SetLimit(plainParallel)
	for _, id := range ids {
		removals.Go(func() error { return b.removePlain(groupCtx, id) })
	}
	return wall, removals.Wait()
}
