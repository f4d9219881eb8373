package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"
)

const (
	startLimit = 60 * time.Second
	stopLimit  = 15 * time.Second
)

// Containers with one of these labels are made by docker-sd or by its tests.
const (
	instanceLabel = "docker-sd.instance"
	labLabel      = "docker-sd.lab"
)

// engine is a private Docker engine in a folder, with the folder's lock.
type engine struct {
	folder folder
	client *client
	lock   io.Closer
	stderr io.Writer
	// ended delivers how dockerd ended; nil when an earlier run started it.
	ended <-chan error
}

// openEngine locks the folder and starts an engine in it, or takes the one that
// a run with -keep has left there. The engine answers only after ready.
func openEngine(ctx context.Context, f folder, store string, keep bool, stderr io.Writer) (*engine, error) {
	config, known := storeConfigs[store]
	if !known {
		return nil, fmt.Errorf("DOCKER_SD_LAB_STORE %q: only overlay2 and containerd are known", store)
	}
	lock, err := f.lock(ctx, lockLimit, func() {
		fmt.Fprintf(stderr, "lab: another run uses %s, waiting for up to %v\n", f, lockLimit)
	})
	if err != nil {
		return nil, err
	}
	e := &engine{folder: f, client: newClient(f.endpoint()), lock: lock, stderr: stderr}
	if e.isKept(ctx) {
		return e, nil
	}
	if err := e.start(ctx, config, keep); err != nil {
		return nil, errors.Join(err, e.release())
	}
	return e, nil
}

// isKept tells whether an engine runs that was asked to outlive its run.
func (e *engine) isKept(ctx context.Context) bool {
	_, running := e.folder.daemon()
	return running && exists(e.folder.kept()) && e.client.ping(ctx, 2*time.Second) == nil
}

// storeConfigs are the configurations for each value of DOCKER_SD_LAB_STORE; with
// none the engine chooses its image store itself.
var storeConfigs = map[string]string{
	"":           `{}`,
	"overlay2":   `{"storage-driver": "overlay2"}`,
	"containerd": `{"features": {"containerd-snapshotter": true}}`,
}

func (e *engine) start(ctx context.Context, config string, keep bool) error {
	if err := requireCgroups(); err != nil {
		return err
	}
	if err := e.clean(ctx, "left by an earlier run"); err != nil {
		return err
	}
	// Without a file of its own dockerd would read /etc/docker/daemon.json.
	if err := os.WriteFile(e.folder.config(), []byte(config+"\n"), 0o600); err != nil {
		return fmt.Errorf("write the engine's configuration: %w", err)
	}
	log, err := os.OpenFile(e.folder.log(), os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("open the engine's log: %w", err)
	}
	dockerd, err := findProgram("dockerd")
	if err != nil {
		return errors.Join(err, log.Close())
	}
	cmd := exec.Command(dockerd, dockerdArgs(e.folder)...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.Env = append(os.Environ(), "PATH="+os.Getenv("PATH")+":/usr/local/sbin:/usr/sbin:/sbin")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
	if keep {
		cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
		if err := os.WriteFile(e.folder.kept(), nil, 0o600); err != nil {
			return errors.Join(fmt.Errorf("mark the engine as kept: %w", err), log.Close())
		}
	}
	e.ended, err = start(cmd)
	if err != nil {
		err = fmt.Errorf("start %s: %w", dockerd, err)
	}
	return errors.Join(err, log.Close())
}

// dockerdArgs keep the engine apart from any other: no bridge, no packet filter
// rules, and a containerd namespace of its own, because dockerd uses a system's
// containerd where it finds one.
func dockerdArgs(f folder) []string {
	return []string{
		"--config-file=" + f.config(),
		"--data-root=" + f.data(),
		"--exec-root=" + f.exec(),
		"--pidfile=" + f.pidfile(),
		"--host=" + f.endpoint().String(),
		"--containerd-namespace=docker-sd-lab",
		"--containerd-plugins-namespace=docker-sd-lab-plugins",
		"--bridge=none",
		"--iptables=false",
		"--ip6tables=false",
		"--ip-forward=false",
	}
}

// requireCgroups fails where dockerd could only fail later and at length.
func requireCgroups() error {
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		return fmt.Errorf("list the mounts: %w", err)
	}
	for line := range strings.Lines(string(mounts)) {
		if fields := strings.Fields(line); len(fields) > 2 && strings.HasPrefix(fields[2], "cgroup") {
			return nil
		}
	}
	return errors.New("no cgroup file system is mounted: mount one, for example mount -t cgroup2 none /sys/fs/cgroup")
}

// ready waits until the engine answers. A fresh engine is rid of the containers
// that a crashed run has left in it.
func (e *engine) ready(ctx context.Context) error {
	if e.ended == nil {
		return nil
	}
	err := poll(ctx, startLimit, func() (bool, error) {
		select {
		case err := <-e.ended:
			return false, fmt.Errorf("dockerd has ended while it started: %w", errors.Join(err, e.logTail()))
		default:
			return e.client.ping(ctx, time.Second) == nil, nil
		}
	})
	if errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("dockerd does not answer on %s: %w", e.folder.socket(), errors.Join(err, e.logTail()))
	}
	if err != nil {
		return err
	}
	return e.removeContainers(ctx)
}

// logTail returns the end of dockerd's log as an error.
func (e *engine) logTail() error {
	log, err := os.ReadFile(e.folder.log())
	if err != nil {
		return fmt.Errorf("read dockerd's log: %w", err)
	}
	return fmt.Errorf("end of %s:\n%s", e.folder.log(), lastLines(string(log), 15))
}

// stop removes the tests' containers, ends dockerd and all that belongs to it,
// and gives the folder back.
func (e *engine) stop(ctx context.Context) error {
	err := e.removeContainers(ctx)
	return errors.Join(err, e.end(ctx), e.clean(ctx, "still there after the engine"), e.release())
}

// end asks dockerd to end and kills it when it does not.
func (e *engine) end(ctx context.Context) error {
	pid, running := e.folder.daemon()
	if !running {
		return nil
	}
	gone := func() (bool, error) {
		return roleOf(readProcess("/proc", pid), e.folder, nil) != roleDaemon, nil
	}
	kill(unix.SIGTERM, []int{pid})
	err := poll(ctx, stopLimit, gone)
	if errors.Is(err, context.DeadlineExceeded) {
		fmt.Fprintf(e.stderr, "lab: dockerd did not end in %v, killing it\n", stopLimit)
		kill(unix.SIGKILL, []int{pid})
		err = poll(ctx, endLimit, gone)
	}
	if err != nil {
		return fmt.Errorf("stop dockerd (process %d): %w", pid, err)
	}
	return nil
}

// clean removes left-overs and says so; when tells where they come from. The
// mount of the host's network namespace is silent: dockerd always leaves it.
func (e *engine) clean(ctx context.Context, when string) error {
	found, err := e.folder.clean(ctx)
	if found.processes > 0 || found.cgroups > 0 || found.mounts > 1 {
		fmt.Fprintf(e.stderr, "lab: removed %s %s\n", found, when)
	}
	return err
}

// release gives the folder back and leaves the engine alone.
func (e *engine) release() error {
	e.client.close()
	return e.lock.Close()
}

// removeContainers removes the containers that docker-sd or its tests have made
// and reports others: a test that leaves an unlabelled container has a bug.
func (e *engine) removeContainers(ctx context.Context) error {
	if _, running := e.folder.daemon(); !running {
		return nil
	}
	list, err := e.client.containers(ctx)
	if err != nil {
		return err
	}
	mine, others := splitContainers(list)
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(4)
	for _, c := range mine {
		group.Go(func() error { return e.client.removeContainer(ctx, c.ID) })
	}
	for _, c := range others {
		fmt.Fprintf(e.stderr, "lab: container %s (%s) has no label of docker-sd and stays in %s\n",
			strings.Join(c.Names, ","), c.State, e.folder)
	}
	return group.Wait()
}

// splitContainers parts containers with a label of docker-sd from all others.
func splitContainers(list []containerInfo) (mine, others []containerInfo) {
	for _, c := range list {
		_, instance := c.Labels[instanceLabel]
		_, lab := c.Labels[labLabel]
		if instance || lab {
			mine = append(mine, c)
		} else {
			others = append(others, c)
		}
	}
	return mine, others
}
