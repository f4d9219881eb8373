package sandboxinit

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/initapi"
)

// up prepares the sandbox and keeps its engine running until it is told to end.
func up(o options) error {
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, unix.SIGTERM, unix.SIGINT)
	if o.store {
		if err := privateStore(); err != nil {
			return err
		}
	}
	if err := errors.Join(remountGroups(), shareMounts(), cleanUp()); err != nil {
		return err
	}
	if err := setSysctls(map[string]string{"net.ipv6.conf.lo.disable_ipv6": "0"}); err != nil {
		// The kernel has no IPv6, or does not let the sandbox change it.
		fmt.Fprintln(os.Stderr, "docker-sd-init: localhost has no address ::1:", err)
	}
	sockets, err := openSockets()
	if err != nil {
		return err
	}
	s := &server{standby: o.standby, started: make(chan bool, 1)}
	go s.serve(sockets.init) // for as long as the sandbox lives
	found := newImages()
	if o.store && !found.shared() {
		if err := found.share(); err != nil {
			return fmt.Errorf("share the host's images: %w", err)
		}
	}
	if o.standby {
		select {
		case <-stop:
			return nil
		case current := <-s.started:
			if err := refresh(o, found, current); err != nil {
				return err
			}
		}
	}
	keepEngine(o, s, sockets, stop)
	return nil
}

// refresh shares the host's images anew unless they are those that were shared.
func refresh(o options, found images, current bool) error {
	if current || !o.store {
		return nil
	}
	if err := errors.Join(found.forget(), found.share()); err != nil {
		return fmt.Errorf("share the host's images anew: %w", err)
	}
	return nil
}

// cleanUp removes what a stopped sandbox left of its engine's run, which would be taken
// for alive.
func cleanUp() error {
	var problems []error
	for _, path := range []string{"/var/run/docker", "/run/docker", "/var/run/docker.pid", "/run/docker.pid", containerdRun} {
		problems = append(problems, os.RemoveAll(path))
	}
	return errors.Join(problems...)
}

// sockets of a sandbox. They are the init's for as long as it runs: while the engine
// is away, its callers wait.
type sockets struct {
	engine *os.File
	init   net.Listener
	// engineNode is the engine's socket in its folder, by descriptor.
	engineNode int
}

// openSockets makes the sockets in the sandbox's folder and then hides that folder.
func openSockets() (sockets, error) {
	var out sockets
	engine, err := listen(initapi.EngineSocket)
	if err != nil {
		return out, err
	}
	defer engine.Close()
	if out.engine, err = engine.File(); err != nil {
		return out, err
	}
	if out.engineNode, err = unix.Open(filepath.Join(initapi.FolderPath, initapi.EngineSocket), unix.O_PATH|unix.O_CLOEXEC|unix.O_NOFOLLOW, 0); err != nil {
		return out, err
	}
	if out.init, err = listen(initapi.SocketName); err != nil {
		return out, err
	}
	return out, hideFolder()
}

func listen(name string) (*net.UnixListener, error) {
	path := filepath.Join(initapi.FolderPath, name)
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	listener, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return nil, err
	}
	// The name is gone from here soon, and stays on the host.
	listener.SetUnlinkOnClose(false)
	// The group is root's; a docker-sd that runs as another user is in it. The folder lets
	// no one else in.
	return listener, os.Chmod(path, 0o660)
}

// touch gives the engine's socket the time of the engine's start, which docker-sd
// reads: what an engine calls created and is older may have run under the one before.
func (s sockets) touch() {
	node := fmt.Sprintf("/proc/self/fd/%d", s.engineNode)
	_ = unix.UtimesNanoAt(unix.AT_FDCWD, node, []unix.Timespec{unix.NsecToTimespec(time.Now().UnixNano()), unix.NsecToTimespec(time.Now().UnixNano())}, 0)
}

// engineAgain is the pause before an engine that ended is started again.
const engineAgain = time.Second

// keepEngine runs containerd and dockerd side by side, and starts each again when it
// ends: neither is the first process, so containers outlive their crashes.
func keepEngine(o options, s *server, socks sockets, stop <-chan os.Signal) {
	// Collecting garbage less often saves a good part of the CPU of a boot and of the
	// first container. 300 saves nothing more and takes 1 MB more; 100 takes 3 MB less,
	// and the boot a fifth longer.
	_ = os.Setenv("GOGC", "200") // fails for no name like this
	all := newChildren()
	over := make(chan struct{})
	var running sync.WaitGroup
	containerd := containerdCommand()
	if containerd != nil {
		running.Go(func() { all.keep(over, containerd, nil) })
	}
	engine := &process{}
	argv := append([]string{initapi.ProgramPath, commandEngine, "dockerd", "--host=fd://", "--data-root=" + initapi.DataPath}, o.engine...)
	if containerd != nil {
		argv = append(argv, "--containerd="+containerdSocket)
	}
	ended := make(chan struct{})
	running.Go(func() {
		defer close(ended)
		all.keep(over, argv, func(pid int) { socks.touch(); s.engineStarted(time.Now()); engine.set(pid) }, socks.engine.Fd())
	})
	<-stop
	close(over)
	engine.signal(unix.SIGTERM)
	<-ended
}

// process is the one that runs now.
type process struct {
	mu  sync.Mutex
	pid int
}

func (p *process) set(pid int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.pid = pid
}

func (p *process) signal(s syscall.Signal) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.pid > 0 {
		_ = unix.Kill(p.pid, s) // it may have ended just now
	}
}

// keep runs a program until over is closed and it has ended.
func (c *children) keep(over <-chan struct{}, argv []string, began func(int), files ...uintptr) {
	for {
		pid, ended, err := c.start(argv, files...)
		if err == nil {
			if began != nil {
				began(pid)
			}
			<-ended
			err = errors.New("it ended")
		}
		select {
		case <-over:
			return
		default:
		}
		fmt.Fprintf(os.Stderr, "docker-sd-init: %s is started again: %v\n", name(argv), err)
		select {
		case <-over:
			return
		case <-time.After(engineAgain):
		}
	}
}

func name(argv []string) string {
	if argv[0] == initapi.ProgramPath {
		return argv[2]
	}
	return argv[0]
}
