//go:build e2e

package e2e_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/firewall"
)

// daemon is one docker-sd process, or several one after the other with the same
// configuration, and the client that talks to it.
type daemon struct {
	*client
	dir, instance, socket string
	config                string
	settings              map[string]any
	log                   *logBuffer
	// binary to run.
	binary string
	// env is variables of the process beside the few that it inherits.
	env []string
	// engine is where its sandboxes are seen.
	engine *engineReader

	cmd *exec.Cmd
	// exited is closed when the process has ended with exitErr.
	exited  chan struct{}
	exitErr error
}

// newDaemon writes a configuration into dir, which must be short because of the
// sockets below it. Settings win over the defaults of the tests.
func newDaemon(dir string, settings map[string]any) (*daemon, error) {
	d := &daemon{dir: dir, instance: "e2e-" + uuid.NewString()[:8], socket: filepath.Join(dir, "api.sock"),
		config: filepath.Join(dir, "config.yaml"), log: &logBuffer{}, engine: suite.engine, binary: suite.binary}
	d.settings = map[string]any{
		"Instance":         d.instance,
		"Socket":           "unix://" + d.socket,
		"DataRootFolder":   d.data(),
		"SandboxImage":     suite.images.sandbox,
		"HostPathPrefixes": []string{d.hostPath()},
		"StandbySandboxes": 0,
		"AdminAddress":     "off", // one port for all of them
		"VerboseLogging":   true,
		// How full the disk of the tests' machine is tells nothing of docker-sd.
		"EvictionHard": map[string]string{"nodefs.available": "0%", "nodefs.inodesFree": "0%", "imagefs.available": "0%"},
	}
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

func (d *daemon) writeConfig() error {
	config, err := json.Marshal(d.settings) // JSON is YAML
	if err != nil {
		return err
	}
	return os.WriteFile(d.config, config, 0o600)
}

// data is the DataRootFolder, hostPath the folder for hostPath volumes.
func (d *daemon) data() string     { return filepath.Join(d.dir, "d") }
func (d *daemon) hostPath() string { return filepath.Join(d.dir, "h") }
func (d *daemon) label() string    { return instanceLabel + "=" + d.instance }

// launch starts the process and does not wait for it.
func (d *daemon) launch() error {
	cmd := exec.Command(d.binary, "-interlinkconfigpath", d.config)
	cmd.Stdout, cmd.Stderr = d.log, d.log
	// A variable of the caller would win over the file.
	for _, entry := range os.Environ() {
		if name, _, _ := strings.Cut(entry, "="); name == "PATH" || name == "HOME" || name == "DOCKER_HOST" {
			cmd.Env = append(cmd.Env, entry)
		}
	}
	cmd.Env = append(cmd.Env, d.env...)
	if err := cmd.Start(); err != nil {
		return err
	}
	exited := make(chan struct{})
	d.cmd, d.exited = cmd, exited
	go func() {
		d.exitErr = cmd.Wait()
		close(exited)
	}()
	return nil
}

// start returns when the daemon answers.
func (d *daemon) start() error {
	if err := d.launch(); err != nil {
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
		case <-d.exited:
			return fmt.Errorf("docker-sd ended at its start: %w\n%s", d.exitErr, d.log.tail(20))
		case <-deadline:
			return fmt.Errorf("docker-sd does not answer\n%s", d.log.tail(50))
		case <-tick.C:
		}
	}
}

func (d *daemon) running() bool {
	if d.cmd == nil {
		return false
	}
	select {
	case <-d.exited:
		return false
	default:
		return true
	}
}

// signal sends one and waits for the end of the process.
func (d *daemon) signal(s os.Signal) error {
	if !d.running() {
		return errors.New("docker-sd does not run")
	}
	if err := d.cmd.Process.Signal(s); err != nil {
		return err
	}
	d.http.CloseIdleConnections()
	select {
	case <-d.exited:
		return nil
	case <-time.After(runLimit):
		return errors.Join(fmt.Errorf("docker-sd did not end after %s", s), d.cmd.Process.Kill())
	}
}

// stop ends the daemon as an operator does; it must exit with 0.
func (d *daemon) stop() error {
	if err := d.signal(syscall.SIGTERM); err != nil {
		return err
	}
	if d.exitErr != nil {
		return fmt.Errorf("docker-sd ended with %w after SIGTERM", d.exitErr)
	}
	return nil
}

// kill ends it without a chance to clean up.
func (d *daemon) kill() error { return d.signal(syscall.SIGKILL) }

// finish checks that only warm sandboxes are left, stops the daemon, and removes
// all that carries its label.
func (d *daemon) finish() error {
	problems := []error{}
	ctx, cancel := context.WithTimeout(context.Background(), 2*runLimit)
	defer cancel()
	if d.running() {
		problems = append(problems, d.idle(ctx), d.stop())
	}
	if text := d.log.String(); strings.Contains(text, "DATA RACE") || strings.Contains(text, "panic: ") {
		problems = append(problems, errors.New("docker-sd has a data race or a panic:\n"+d.log.tail(400)))
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
	warm, standby := map[string]bool{}, map[string]bool{}
	for _, c := range containers {
		if c.warm() {
			warm[c.Labels[sandboxLabel]] = true
		} else if c.standby() {
			standby[c.Labels[sandboxLabel]] = true
		} else {
			left = append(left, "container "+c.name()+" ("+c.State+")")
		}
	}
	if pool, known := d.settings["AVAILABLEDINDS"].(int); known && len(warm) != pool {
		left = append(left, fmt.Sprintf("%d warm sandboxes in a pool of %d", len(warm), pool))
	}
	if want, known := d.settings["StandbySandboxes"].(int); known && len(standby) != want {
		left = append(left, fmt.Sprintf("%d sandboxes stand by, not %d", len(standby), want))
	}
	for _, n := range networks {
		if name := n.Labels[sandboxLabel]; !warm[name] && !standby[name] {
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
			t.Logf("the end of the daemon's log:\n%s", d.log.tail(120))
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

// logBuffer keeps a process's output.
type logBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *logBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// tail is the last lines.
func (b *logBuffer) tail(n int) string {
	lines := strings.SplitAfter(b.String(), "\n")
	return strings.Join(lines[max(len(lines)-n, 0):], "")
}

// about is the lines that mention any of the words.
func (b *logBuffer) about(words ...string) string {
	var out strings.Builder
	for line := range strings.Lines(b.String()) {
		for _, word := range words {
			if word != "" && strings.Contains(line, word) {
				out.WriteString(line)
				break
			}
		}
	}
	return out.String()
}
