package sandboxinit

import (
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/initapi"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/sandboxinit/cgroups"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/sandboxinit/mounts"
)

const (
	hostSocket     = "unix://" + initapi.HostRun + "/" + initapi.EngineSocket
	hostContainerd = initapi.HostRun + "/containerd"
	hostDaemon     = "docker-sd"
	// hostTrial is how long a docker-sd has to run before its end is taken for a crash, and
	// no longer for a configuration that it cannot start with.
	hostTrial = time.Minute
)

// bootHost makes the container's own control groups the root of all that can be seen: an
// engine of Kubernetes shows a privileged container those of the whole machine. It then
// goes on as commandHostUp.
func bootHost() error {
	runtime.LockOSThread()
	if err := unix.Unshare(unix.CLONE_NEWCGROUP); err != nil {
		return fmt.Errorf("enter a control group namespace, for which the container has to be privileged: %w", err)
	}
	err := unix.Exec(initapi.ProgramPath, []string{initapi.ProgramPath, commandHostUp}, os.Environ())
	return fmt.Errorf("go on in it: %w", err)
}

// runHost keeps an engine and docker-sd running, side by side.
func runHost() error {
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, unix.SIGTERM, unix.SIGINT)
	if err := prepareHost(); err != nil {
		return err
	}
	h := &host{all: newChildren(), over: make(chan struct{})}
	return h.keep(stop)
}

// prepareHost mounts what the engine needs, and keeps its sockets from those who share
// /run with the container.
func prepareHost() error {
	if err := errors.Join(cgroups.Remount(), shareMounts(), removeLeftovers()); err != nil {
		return err
	}
	// The second has the sockets of what runs containers, whatever the engine is told.
	for _, folder := range []string{initapi.HostRun, "/run/containerd"} {
		if err := os.MkdirAll(folder, 0o700); err != nil {
			return err
		}
		if err := mounts.MountTmpfs(initapi.Tmpfs{Path: folder, Mode: 0o700}); err != nil {
			return err
		}
	}
	if err := errors.Join(makeDevice(initapi.TunnelDevice), makeDevice(initapi.FuseDevice)); err != nil {
		// Pods that need neither do without.
		fmt.Fprintln(os.Stderr, "docker-sd-init: devices for sandboxes:", err)
	}
	return os.Setenv("DOCKER_HOST", hostSocket)
}

// makeDevice makes the node of a device that the kernel has and the container's /dev has not.
func makeDevice(path string) error {
	text, err := os.ReadFile(filepath.Join("/sys/class/misc", filepath.Base(path), "dev"))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	var major, minor uint32
	if _, scanErr := fmt.Sscanf(string(text), "%d:%d", &major, &minor); err != nil || scanErr != nil {
		return fmt.Errorf("the number of %s: %w", path, errors.Join(err, scanErr))
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	if err := unix.Mknod(path, unix.S_IFCHR|0o666, int(unix.Mkdev(major, minor))); err != nil && !errors.Is(err, os.ErrExist) {
		return fmt.Errorf("make %s: %w", path, err)
	}
	return nil
}

// host is the engine and the docker-sd of one container.
type host struct {
	all *children
	// over is closed when nothing is started again.
	over   chan struct{}
	engine process
	daemon process
}

// keep returns when both have ended: after a signal, or when docker-sd cannot start.
// docker-sd ends first, so that it finds an engine until then.
func (h *host) keep(stop <-chan os.Signal) error {
	var running sync.WaitGroup
	argv := []string{"dockerd", "--host=" + hostSocket, "--data-root=" + initapi.DataPath, "--exec-root=" + initapi.HostRun + "/exec",
		"--pidfile=" + initapi.HostRun + "/docker.pid"}
	if containerd := containerdCommand(hostContainerd, hostContainerd+"/state"); containerd != nil {
		argv = append(argv, "--containerd="+containerdSocket(hostContainerd))
		// The kernel ends it with its namespace, in which this process is the first.
		go h.all.keep(h.over, containerd, nil)
	}
	running.Go(func() { h.all.keep(h.over, argv, h.engine.set) })
	ended := make(chan error, 1)
	go func() { ended <- h.keepDaemon() }()
	var err error
	select {
	case <-stop:
		close(h.over)
		h.daemon.signal(unix.SIGTERM)
		err = <-ended
	case err = <-ended:
		close(h.over)
	}
	h.engine.signal(unix.SIGTERM)
	running.Wait()
	return err
}

// keepDaemon starts docker-sd again after a crash: the pods go on meanwhile. It returns nil
// when nothing is started again, and an error where docker-sd ends by itself soon after its
// start, which another start does not mend.
func (h *host) keepDaemon() error {
	for {
		began := time.Now()
		pid, ended, err := h.all.start([]string{hostDaemon})
		if err != nil {
			return err
		}
		h.daemon.set(pid)
		status := <-ended
		select {
		case <-h.over:
			return nil
		default:
		}
		if err := endOf(status); status.Exited() && time.Since(began) < hostTrial {
			return fmt.Errorf("%s ended soon after its start: %w", hostDaemon, err)
		}
		fmt.Fprintf(os.Stderr, "docker-sd-init: %s is started again: %v\n", hostDaemon, endOf(status))
		select {
		case <-h.over:
			return nil
		case <-time.After(engineAgain):
		}
	}
}
