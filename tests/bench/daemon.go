package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"
	v1 "k8s.io/api/core/v1"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/firewall"
	"github.com/intertwin-eu/interlink-docker-plugin/tests/kit"
)

// sizes are how many sandboxes docker-sd keeps warm, how many more standing by, and
// how many networks it makes ahead.
type sizes struct{ pool, standby, holders int }

// usual is what docker-sd has standing by if nobody says otherwise.
func usual(pool int) sizes {
	return sizes{pool: pool, standby: 4 * pool, holders: min(pool, 2*runtime.NumCPU())}
}

// daemon is one run of docker-sd with its own data folder and instance name.
type daemon struct {
	b *bench
	kit.Process
	data string
	sizes
	api *caller
	log *os.File
	// warmSeen are sandboxes that were seen ready before they were claimed.
	warmSeen map[string]bool

	mu      sync.Mutex
	claimed map[string]bool
}

// startDaemon starts docker-sd with a pool of the given sizes and pods that it
// finds recorded, and returns when it serves and the pool is warm.
func (b *bench) startDaemon(ctx context.Context, of sizes, recorded []*v1.Pod) (*daemon, error) {
	b.daemons++
	dir := filepath.Join(b.dir, fmt.Sprintf("d%d", b.daemons))
	d := &daemon{b: b, data: filepath.Join(dir, "d"), sizes: of,
		warmSeen: map[string]bool{}, claimed: map[string]bool{}}
	if err := writeRecords(d.data, recorded); err != nil {
		return nil, err
	}
	settings := d.settings(dir)
	d.Process = kit.Process{Binary: b.binary, Config: filepath.Join(dir, "config.yaml")}
	err := kit.WriteConfig(d.Config, settings)
	if err != nil {
		return nil, err
	}
	if d.api, err = newCaller("docker-sd", settings["Socket"].(string)); err != nil {
		return nil, err
	}
	if d.log, err = os.Create(filepath.Join(dir, "log")); err != nil {
		return nil, err
	}
	d.Output = d.log
	if err := d.Start(); err != nil {
		return nil, errors.Join(err, d.log.Close())
	}
	if err := errors.Join(d.awaitServing(ctx), d.awaitWarm(ctx)); err != nil {
		return nil, errors.Join(err, d.stop(ctx))
	}
	return d, nil
}

// settings are those of a docker-sd in a folder.
func (d *daemon) settings(dir string) map[string]any {
	return kit.Settings(dir, d.b.instance, map[string]any{
		"AVAILABLEDINDS": d.pool, "StandbySandboxes": d.standby, "NetworkHolders": d.holders, "SandboxImage": d.b.sandbox, "DOCKER_HOST": d.b.host, "MaxPods": 2000,
		"HostPathPrefixes": []string{d.b.signals.dir},
		// The log of 100 MB must not be rotated away before it is read.
		"ContainerLogMaxSize": "1Gi",
	})
}

// stopLimit bounds the end of a docker-sd.
const stopLimit = time.Minute

// kill ends the process with SIGKILL and leaves all that it made.
func (d *daemon) kill() error {
	if err := d.unexpectedEnd(); err != nil {
		return err
	}
	err := d.Signal(syscall.SIGKILL, stopLimit)
	// A call over a connection to the dead process would fail.
	d.api.close()
	return err
}

// unexpectedEnd says that the process ended although nobody stopped it.
func (d *daemon) unexpectedEnd() error {
	if d.Running() {
		return nil
	}
	return fmt.Errorf("docker-sd ended by itself: %s", d.lastWords())
}

// lastWords are the end of docker-sd's log.
func (d *daemon) lastWords() string {
	text, err := os.ReadFile(d.log.Name())
	if err != nil {
		return err.Error()
	}
	return string(text[max(0, len(text)-2000):])
}

// poll asks every few milliseconds until done or the limit; it is used between
// measurements, not in them.
func poll(ctx context.Context, what string, limit, every time.Duration, done func() (bool, error)) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		ok, err := done()
		if ok {
			return nil
		}
		select {
		case <-ctx.Done():
			return errors.Join(fmt.Errorf("%s: not within %s: %w", what, limit, ctx.Err()), err)
		case <-tick.C:
		}
	}
}

func (d *daemon) awaitServing(ctx context.Context) error {
	return poll(ctx, "wait for docker-sd to serve (log: "+d.log.Name()+")", time.Minute, 10*time.Millisecond, func() (bool, error) {
		err := d.api.call(ctx, http.MethodPost, "/status", []v1.Pod{{}}, nil)
		return err == nil, err
	})
}

// awaitWarm returns when the pool is full: as many sandboxes that no pod holds
// answer as it has places, and as many stand by and networks are held as should.
func (d *daemon) awaitWarm(ctx context.Context) error {
	return poll(ctx, "wait for a warm pool (log: "+d.log.Name()+")", 3*time.Minute, 20*time.Millisecond, func() (bool, error) {
		is, err := d.waiting(ctx)
		return err == nil && is.covers(d.sizes), err
	})
}

// settlePeriod is without change in a pool that has nothing left to do.
const settlePeriod = 2 * time.Second

// awaitSettled is awaitWarm for a pool that is being renewed: nothing in it has
// changed for a while.
func (d *daemon) awaitSettled(ctx context.Context) error {
	var last string
	var since time.Time
	return poll(ctx, "wait for a settled pool (log: "+d.log.Name()+")", 3*time.Minute, 50*time.Millisecond, func() (bool, error) {
		is, err := d.waiting(ctx)
		if err != nil || !is.covers(d.sizes) {
			return false, err
		}
		found, err := d.b.containers(ctx, instanceLabel+"="+d.b.instance)
		if now := fmt.Sprint(found); now != last {
			last, since = now, time.Now()
		}
		return err == nil && time.Since(since) >= settlePeriod, err
	})
}

func (s sizes) covers(want sizes) bool {
	return s.pool >= want.pool && s.standby >= want.standby && s.holders >= want.holders
}

// waiting counts ready sandboxes that no pod has claimed, those that stand by, and
// networks that no sandbox is in.
func (d *daemon) waiting(ctx context.Context) (is sizes, err error) {
	found, err := d.b.containers(ctx, instanceLabel+"="+d.b.instance)
	used := map[string]bool{}
	for _, c := range found {
		used[c.Labels[sandboxLabel]] = used[c.Labels[sandboxLabel]] || !c.holder()
	}
	for _, c := range found {
		name := c.Labels[sandboxLabel]
		switch {
		case c.State != "running" || d.isClaimed(name):
		case c.holder():
			if !used[name] {
				is.holders++
			}
		case c.standby():
			is.standby++
		case d.warmSeen[name] || d.answers(ctx, name):
			d.warmSeen[name] = true
			is.pool++
		}
	}
	return is, err
}

// Labels that docker-sd puts on what it makes.
const (
	instanceLabel = "docker-sd.instance"
	sandboxLabel  = "docker-sd.sandbox"
	holderLabel   = "docker-sd.holder"
)

// socket of the engine in the named sandbox.
func (d *daemon) socket(sandbox string) string {
	key := strings.ReplaceAll(strings.TrimSuffix(sandbox, "_dind"), "-", "")
	return filepath.Join(d.data, "sandboxes", key[:min(16, len(key))], "docker.sock")
}

func (d *daemon) answers(ctx context.Context, sandbox string) bool {
	inner, err := newCaller("sandbox", "unix://"+d.socket(sandbox))
	if err != nil {
		return false
	}
	defer inner.close()
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	return inner.call(ctx, http.MethodGet, "/_ping", nil, nil) == nil
}

// stop ends the process and removes all that it made.
func (d *daemon) stop(ctx context.Context) error {
	err := d.unexpectedEnd()
	if err == nil {
		err = d.Stop(stopLimit)
	}
	d.api.close()
	return errors.Join(err, d.log.Close(), d.b.clean(ctx), removeTree(d.data))
}

// clean removes every container and network of this run, eight at a time.
func (b *bench) clean(ctx context.Context) error {
	group, removals := errgroup.WithContext(ctx)
	group.SetLimit(8)
	if err := firewall.Remove(b.instance); err != nil {
		return err
	}
	labels := []string{plainLabel + "=" + b.instance, instanceLabel + "=" + b.instance}
	for _, label := range labels {
		found, err := b.containers(ctx, label)
		if err != nil {
			return errors.Join(err, group.Wait())
		}
		for _, c := range found {
			group.Go(func() error { return ignoreGone(b.removePlain(removals, c.ID)) })
		}
	}
	if err := group.Wait(); err != nil {
		return err
	}
	var problems []error
	for _, label := range labels {
		networks, err := b.networks(ctx, label)
		problems = append(problems, err)
		for _, id := range networks {
			problems = append(problems, ignoreGone(b.engine.call(ctx, http.MethodDelete, "/networks/"+id, nil, nil)))
		}
	}
	return errors.Join(problems...)
}

// ignoreGone makes a success of a call for something that is gone or going.
func ignoreGone(err error) error {
	refused := &refusal{}
	if errors.As(err, &refused) && (refused.code == http.StatusNotFound || refused.code == http.StatusConflict) {
		return nil
	}
	return err
}

func removeTree(path string) error {
	if err := os.RemoveAll(path); err != nil {
		return fmt.Errorf("remove the data folder: %w", err)
	}
	return nil
}
