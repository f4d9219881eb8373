//go:build e2e

package e2e_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/firewall"
	"github.com/intertwin-eu/interlink-docker-plugin/tests/kit"
)

// daemon is one docker-sd process, or several one after the other with the same
// configuration, and the client that talks to it.
type daemon struct {
	*client
	kit.Process
	dir, instance, socket string
	settings              map[string]any
	log                   *kit.Log
	// engine is where its sandboxes are seen.
	engine *engineReader
}

// newDaemon writes a configuration into dir, which must be short because of the
// sockets below it. Settings win over the defaults of the tests.
func newDaemon(dir string, settings map[string]any) (*daemon, error) {
	d := &daemon{dir: dir, instance: "e2e-" + uuid.NewString()[:8], socket: filepath.Join(dir, "api.sock"),
		log: &kit.Log{}, engine: suite.engine}
	d.Process = kit.Process{Binary: suite.binary, Config: filepath.Join(dir, "config.yaml"), Output: d.log, Engine: os.Getenv("DOCKER_HOST")}
	d.settings = kit.Settings(dir, d.instance, map[string]any{
		"SandboxImage":     suite.images.sandbox,
		"HostPathPrefixes": []string{d.hostPath()},
		"StandbySandboxes": 0,
		"NetworkHolders":   0,
		"AdminAddress":     "off", // one port for all of them
		"VerboseLogging":   true,
	})
	for key, value := range settings {
		d.settings[key] = value
	}
	if err := os.MkdirAll(d.hostPath(), 0o777); err != nil {
		return nil, err
	}
	// Containers of any user write here.
	if err := os.Chmod(d.hostPath(), 0o777); err != nil {
		return nil, err
	}
	d.client = newClient(d.socket)
	return d, d.writeConfig()
}

func (d *daemon) writeConfig() error { return kit.WriteConfig(d.Config, d.settings) }

// data is the DataRootFolder, hostPath the folder for hostPath volumes.
func (d *daemon) data() string     { return filepath.Join(d.dir, "d") }
func (d *daemon) hostPath() string { return filepath.Join(d.dir, "h") }
func (d *daemon) label() string    { return instanceLabel + "=" + d.instance }

// start returns when the daemon answers.
func (d *daemon) start() error {
	if err := d.Start(); err != nil {
		return err
	}
	deadline := time.After(runLimit)
	tick := time.NewTicker(tickPeriod)
	defer tick.Stop()
	for {
		if code, _, err := d.call(context.Background(), http.MethodGet, "/healthz", nil); err == nil && code == http.StatusOK {
			return nil
		}
		select {
		case <-d.Ended():
			return fmt.Errorf("docker-sd ended at its start: %w\n%s", d.Err(), d.log.Tail(20))
		case <-deadline:
			return fmt.Errorf("docker-sd does not answer\n%s", d.log.Tail(50))
		case <-tick.C:
		}
	}
}

// signal sends one and waits for the end of the process.
func (d *daemon) signal(s os.Signal) error {
	err := d.Signal(s, runLimit)
	d.Close()
	return err
}

// stop ends the daemon as an operator does; it must exit with 0.
func (d *daemon) stop() error {
	err := d.Stop(runLimit)
	d.Close()
	return err
}

// kill ends it without a chance to clean up.
func (d *daemon) kill() error { return d.signal(syscall.SIGKILL) }

// finish checks that only warm sandboxes are left, stops the daemon, and removes
// all that carries its label.
func (d *daemon) finish() error {
	problems := []error{}
	ctx, cancel := context.WithTimeout(context.Background(), 2*runLimit)
	defer cancel()
	if d.Running() {
		problems = append(problems, d.idle(ctx), d.stop())
	}
	if text := d.log.String(); strings.Contains(text, "DATA RACE") || strings.Contains(text, "panic: ") {
		problems = append(problems, errors.New("docker-sd has a data race or a panic:\n"+d.log.Tail(400)))
	}
	// Its rules stay for the sandboxes that it leaves.
	problems = append(problems, d.engine.removeInstance(ctx, d.instance), firewall.Remove(d.instance), d.removeGroup())
	return errors.Join(problems...)
}

// idle waits until the pool is full and nothing but its sandboxes is left.
func (d *daemon) idle(ctx context.Context) error {
	tick := time.NewTicker(5 * tickPeriod)
	defer tick.Stop()
	deadline := time.After(runLimit)
	for {
		left, err := d.leftovers(ctx)
		if err != nil {
			return err
		}
		if len(left) == 0 {
			return nil
		}
		select {
		case <-tick.C:
		case <-deadline:
			return fmt.Errorf("left behind by instance %s: %s", d.instance, strings.Join(left, ", "))
		}
	}
}

// leftovers names what belongs to no warm sandbox, and warm ones that are too
// many or too few: one that a pod holds without having named it looks warm.
func (d *daemon) leftovers(ctx context.Context) ([]string, error) {
	containers, err := d.engine.containers(ctx, d.label())
	if err != nil {
		return nil, err
	}
	networks, err := d.engine.networks(ctx, d.label())
	if err != nil {
		return nil, err
	}
	var left []string
	warm, standby, held := map[string]bool{}, map[string]bool{}, map[string]bool{}
	for _, c := range containers {
		if c.warm() {
			warm[c.Labels[sandboxLabel]] = true
		} else if c.standby() {
			standby[c.Labels[sandboxLabel]] = true
		} else if c.holder() && c.State == "running" {
			held[c.Labels[sandboxLabel]] = true
		} else {
			left = append(left, "container "+c.name()+" ("+c.State+")")
		}
	}
	most, _ := d.settings["MostWarmSandboxes"].(int)
	if pool, known := d.settings["AVAILABLEDINDS"].(int); known && (len(warm) < pool || len(warm) > max(pool, most)) {
		left = append(left, fmt.Sprintf("%d warm sandboxes in a pool of %d", len(warm), pool))
	}
	if want, known := d.settings["StandbySandboxes"].(int); known && len(standby) != want {
		left = append(left, fmt.Sprintf("%d sandboxes stand by, not %d", len(standby), want))
	}
	maps.DeleteFunc(held, func(name string, _ bool) bool { return warm[name] })
	if want, known := d.settings["NetworkHolders"].(int); known && len(held) != want {
		left = append(left, fmt.Sprintf("%d networks are held for later, not %d", len(held), want))
	}
	for _, n := range networks {
		if name := n.Labels[sandboxLabel]; !warm[name] && !standby[name] && !held[name] {
			left = append(left, "network "+n.Name)
		}
	}
	for _, sub := range []string{"records", "."} {
		entries, err := os.ReadDir(filepath.Join(d.data(), sub))
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return nil, err
		}
		for _, entry := range entries {
			if sub == "records" || entry.Type() == os.ModeSymlink {
				left = append(left, "file "+filepath.Join(sub, entry.Name()))
			}
		}
	}
	return left, nil
}

// sharedDaemon is for tests that neither stop it nor need other settings.
func sharedDaemon(t *testing.T) *daemon {
	t.Helper()
	d, err := suite.shared()
	if err != nil {
		t.Fatalf("start the shared daemon: %v", err)
	}
	return d
}

// prepareDaemon makes a daemon of the test's own that does not run yet.
func prepareDaemon(t *testing.T, settings map[string]any) *daemon {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "ds")
	if err != nil {
		t.Fatal(err)
	}
	return prepareDaemonIn(t, dir, settings)
}

// prepareDaemonIn has the daemon's files in a folder that it removes.
func prepareDaemonIn(t *testing.T, dir string, settings map[string]any) *daemon {
	t.Helper()
	d, err := newDaemon(dir, settings)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.finish(); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			t.Logf("the end of the daemon's log:\n%s", d.log.Tail(120))
		}
		if err := os.RemoveAll(dir); err != nil {
			t.Errorf("remove the daemon's folder: %v", err)
		}
	})
	return d
}

// ownDaemon starts a daemon of the test's own with a pool of its own size.
func ownDaemon(t *testing.T, pool int, settings map[string]any) *daemon {
	t.Helper()
	all := map[string]any{"AVAILABLEDINDS": pool}
	for key, value := range settings {
		all[key] = value
	}
	d := prepareDaemon(t, all)
	if err := d.start(); err != nil {
		t.Fatal(err)
	}
	return d
}
