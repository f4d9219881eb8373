package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"
	v1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/firewall"
)

// sizes are how many sandboxes docker-sd keeps warm, and how many more standing by.
type sizes struct{ pool, standby int }

// usual is what docker-sd has standing by if nobody says otherwise.
func usual(pool int) sizes { return sizes{pool: pool, standby: 4 * pool} }

// daemon is one run of docker-sd with its own data folder and instance name.
type daemon struct {
	b            *bench
	data, config string
	sizes
	api *caller
	cmd *exec.Cmd
	log *os.File
	// ended is closed when the process has ended.
	ended chan struct{}
	// warmSeen are sandboxes that were seen ready before they were claimed.
	warmSeen map[string]bool

	mu      sync.Mutex
	claimed map[string]bool
}

// build compiles docker-sd, so that what is measured is this tree.
func build(ctx context.Context, dir string) (string, error) {
	binary := filepath.Join(dir, "docker-sd")
	if out, err := exec.CommandContext(ctx, "go", "build", "-o", binary, "./cmd/docker-sd").CombinedOutput(); err != nil {
		return "", fmt.Errorf("build docker-sd: %w: %s", err, out)
	}
	return binary, nil
}

// startDaemon starts docker-sd with a pool of the given sizes and pods that it
// finds recorded, and returns when it serves and the pool is warm.
func (b *bench) startDaemon(ctx context.Context, of sizes, recorded []*v1.Pod) (*daemon, error) {
	b.daemons++
	dir := filepath.Join(b.dir, fmt.Sprintf("d%d", b.daemons))
	d := &daemon{b: b, data: filepath.Join(dir, "data"), config: filepath.Join(dir, "config.yaml"), sizes: of,
		warmSeen: map[string]bool{}, claimed: map[string]bool{}}
	if err := writeRecords(d.data, recorded); err != nil {
		return nil, err
	}
	socket := "unix://" + filepath.Join(dir, "s.sock")
	err := d.configure(socket)
	if err != nil {
		return nil, err
	}
	if d.api, err = newCaller("docker-sd", socket); err != nil {
		return nil, err
	}
	if d.log, err = os.Create(filepath.Join(dir, "log")); err != nil {
		return nil, err
	}
	if err := d.launch(); err != nil {
		return nil, errors.Join(err, d.log.Close())
	}
	if err := errors.Join(d.awaitServing(ctx), d.awaitWarm(ctx)); err != nil {
		return nil, errors.Join(err, d.stop(ctx))
	}
	return d, nil
}

// configure writes the configuration file.
func (d *daemon) configure(socket string) error {
	settings, err := yaml.Marshal(map[string]any{
		"Socket": socket, "DataRootFolder": d.data, "Instance": d.b.instance, "AVAILABLEDINDS": d.pool, "StandbySandboxes": d.standby,
		"SandboxImage": d.b.sandbox, "DOCKER_HOST": d.b.host, "MaxPods": 2000,
		"HostPathPrefixes": []string{d.b.signals.dir},
		// The log of 100 MB must not be rotated away before it is read.
		"ContainerLogMaxSize": "1Gi",
		"EvictionHard":        map[string]string{"nodefs.available": "0%", "nodefs.inodesFree": "0%", "imagefs.available": "0%"},
	})
	if err != nil {
		return err
	}
	return os.WriteFile(d.config, settings, 0o600)
}

// launch starts the process, also again after kill.
func (d *daemon) launch() error {
	cmd, ended := exec.Command(d.b.binary, "-interlinkconfigpath", d.config), make(chan struct{})
	cmd.Stdout, cmd.Stderr = d.log, d.log
	cmd.Env = environment()
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start docker-sd: %w", err)
	}
	go func() {
		defer close(ended)
		_ = cmd.Wait()
	}()
	d.cmd, d.ended = cmd, ended
	return nil
}

// kill ends the process with SIGKILL and leaves all that it made.
func (d *daemon) kill(ctx context.Context) error {
	if err := d.unexpectedEnd(); err != nil {
		return err
	}
	if err := d.cmd.Process.Kill(); err != nil {
		return fmt.Errorf("kill docker-sd: %w", err)
	}
	select {
	case <-d.ended:
	case <-ctx.Done():
		return fmt.Errorf("wait for the end of docker-sd: %w", ctx.Err())
	}
	// A call over a connection to the dead process would fail.
	d.api.close()
	return nil
}

// unexpectedEnd says that the process ended although nobody stopped it.
func (d *daemon) unexpectedEnd() error {
	select {
	case <-d.ended:
		return fmt.Errorf("docker-sd ended by itself: %s", d.lastWords())
	default:
		return nil
	}
}

// lastWords are the end of docker-sd's log.
func (d *daemon) lastWords() string {
	text, err := os.ReadFile(d.log.Name())
	if err != nil {
		return err.Error()
	}
	return string(text[max(0, len(text)-2000):])
}

// environment is ours without what would win over the configuration file.
func environment() []string {
	var out []string
	for _, entry := range os.Environ() {
		name, _, _ := strings.Cut(entry, "=")
		switch name {
		case "AVAILABLEDINDS", "SIDECARURL", "SIDECARPORT", "INTERLINKCONFIGPATH", "GPUENABLED", "FPGAENABLED", "DOCKER_HOST":
		default:
			out = append(out, entry)
		}
	}
	return out
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
// answer as it has places, and as many stand by as should.
func (d *daemon) awaitWarm(ctx context.Context) error {
	return poll(ctx, "wait for a warm pool (log: "+d.log.Name()+")", 3*time.Minute, 20*time.Millisecond, func() (bool, error) {
		warm, standby, err := d.waiting(ctx)
		return err == nil && warm >= d.pool && standby >= d.standby, err
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
		warm, standby, err := d.waiting(ctx)
		if err != nil || warm < d.pool || standby < d.standby {
			return false, err
		}
		found, err := d.b.containers(ctx, instanceLabel+"="+d.b.instance)
		if now := fmt.Sprint(found); now != last {
			last, since = now, time.Now()
		}
		return err == nil && time.Since(since) >= settlePeriod, err
	})
}

// waiting counts ready sandboxes that no pod has claimed, and those that stand by.
func (d *daemon) waiting(ctx context.Context) (warm, standby int, err error) {
	found, err := d.b.containers(ctx, instanceLabel+"="+d.b.instance)
	for _, c := range found {
		name := c.Labels[sandboxLabel]
		switch {
		case c.State != "running" || d.isClaimed(name):
		case c.standby():
			standby++
		case d.warmSeen[name] || d.answers(ctx, name):
			d.warmSeen[name] = true
			warm++
		}
	}
	return warm, standby, err
}

// Labels that docker-sd puts on what it makes.
const (
	instanceLabel = "docker-sd.instance"
	sandboxLabel  = "docker-sd.sandbox"
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
	err = errors.Join(err, d.terminate(ctx))
	d.api.close()
	return errors.Join(err, d.log.Close(), d.b.clean(ctx), removeTree(d.data))
}

func (d *daemon) terminate(ctx context.Context) error {
	if err := d.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("stop docker-sd: %w", err)
	}
	select {
	case <-d.ended:
		return nil
	case <-ctx.Done():
	case <-time.After(time.Minute):
	}
	return errors.Join(errors.New("docker-sd did not stop in time and was killed"), d.cmd.Process.Kill())
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
