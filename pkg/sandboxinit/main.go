// Package sandboxinit is the program that runs as the first process of a sandbox. It
// prepares the sandbox, shares the host's images, keeps containerd and dockerd
// running, reaps orphans, and does for docker-sd what has to be done inside: above
// all it opens what containers mount, by descriptor. See pkg/initapi for the protocol.
//
// It uses little of Go's library: each sandbox has a copy of its memory.
package sandboxinit

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/fusemount"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/initapi"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/sandboxinit/amend"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/sandboxinit/cgroups"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/sandboxinit/mounts"
)

// Main runs the program by its name and arguments, and returns its exit code.
func Main(argv []string) int {
	if len(argv) == 0 {
		return 1
	}
	if slices.Contains(fusemount.Names, filepath.Base(argv[0])) {
		return fusemount.Command(argv[1:], initapi.FuseSocket)
	}
	if filepath.Base(argv[0]) == initapi.AmendingRuntime {
		return amend.Command(argv[1:], lookPath)
	}
	if err := runCommand(argv[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "docker-sd-init:", err)
		return 1
	}
	return 0
}

// runCommand carries out the command of the program's arguments.
func runCommand(args []string) error {
	if len(args) == 0 {
		return errors.New("a command is missing")
	}
	command, rest := args[0], args[1:]
	switch command {
	case initapi.CommandBoot:
		return bootSandbox(rest)
	case commandUp:
		o, err := parseOptions(rest)
		if err != nil {
			return err
		}
		return runSandbox(o)
	case commandMount, commandAbort:
		return fuseCommand(command, rest)
	case commandEngine:
		return becomeEngine(rest)
	case initapi.CommandHost:
		return bootHost()
	case commandHostUp:
		return runHost()
	case initapi.CommandPause:
		return pauseUntilSignal()
	case initapi.CommandTrue:
		return nil
	}
	return fmt.Errorf("the command %q is not known", command)
}

// parseOptions reads the command line of a sandbox.
func parseOptions(args []string) (options, error) {
	var o options
	set := flag.NewFlagSet("docker-sd-init", flag.ContinueOnError)
	set.BoolVar(&o.store, "store", false, "share the images at "+initapi.StorePath)
	set.BoolVar(&o.standby, "standby", false, "leave the engine until it is asked for")
	err := set.Parse(args)
	o.engine = set.Args()
	return o, err
}

// bootSandbox moves the process into a control group below the sandbox's own, makes that the
// root of all that it and its children can see, and goes on as commandUp. A namespace is
// entered by one thread only; what that thread executes is the whole process again.
func bootSandbox(args []string) error {
	runtime.LockOSThread()
	if err := cgroups.EnterChild(); err != nil {
		// Without control groups of its own the engine starts all the same where the
		// host's engine was told to keep them from it.
		fmt.Fprintln(os.Stderr, "docker-sd-init: control groups:", err)
	}
	if err := unix.Unshare(unix.CLONE_NEWCGROUP); err != nil {
		return fmt.Errorf("enter a control group namespace: %w", err)
	}
	err := unix.Exec(initapi.ProgramPath, append([]string{initapi.ProgramPath, commandUp}, args...), os.Environ())
	return fmt.Errorf("go on in it: %w", err)
}

// pauseUntilSignal ends with SIGTERM or SIGINT and reaps whatever ends before.
func pauseUntilSignal() error {
	signals := make(chan os.Signal, 16)
	signal.Notify(signals, unix.SIGCHLD, unix.SIGTERM, unix.SIGINT)
	for s := range signals {
		if s != unix.SIGCHLD {
			return nil
		}
		for {
			if pid, err := unix.Wait4(-1, nil, unix.WNOHANG, nil); pid <= 0 && !errors.Is(err, unix.EINTR) {
				break
			}
		}
	}
	return nil
}

// becomeEngine hands the socket on by systemd's protocol for socket activation, which
// names the process that it is for.
func becomeEngine(argv []string) error {
	if len(argv) == 0 {
		return errors.New("the engine's command is missing")
	}
	env := append(os.Environ(), "LISTEN_FDS=1", fmt.Sprintf("LISTEN_PID=%d", os.Getpid()))
	path, err := lookPath(argv[0])
	if err != nil {
		return err
	}
	return fmt.Errorf("run %s: %w", path, unix.Exec(path, argv, env))
}

// runSandbox prepares the sandbox and keeps its engine running until it is told to end.
func runSandbox(o options) error {
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, unix.SIGTERM, unix.SIGINT)
	if o.store {
		if err := privateStore(); err != nil {
			return err
		}
	}
	if err := errors.Join(cgroups.Remount(), shareMounts(), removeLeftovers()); err != nil {
		return err
	}
	if err := cgroups.NoHugePages(); err != nil {
		fmt.Fprintln(os.Stderr, "docker-sd-init: containers may take huge pages of the host:", err)
	}
	if err := setSysctls(map[string]string{"net.ipv6.conf.lo.disable_ipv6": "0"}); err != nil {
		// The kernel has no IPv6, or does not let the sandbox change it.
		fmt.Fprintln(os.Stderr, "docker-sd-init: localhost has no address ::1:", err)
	}
	sockets, err := openSockets()
	if err != nil {
		return err
	}
	all := newChildren()
	s := &server{standby: o.standby, started: make(chan bool, 1), exports: mounts.NewExports(), fuse: newFuse(all),
		tunnels: tunnels{children: all, program: initapi.TunnelPath}}
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
			if err := refreshImages(o, found, current); err != nil {
				return err
			}
		}
	}
	keepEngine(o, s, all, sockets, stop)
	return nil
}

// refreshImages shares the host's images anew unless they are those that were shared.
func refreshImages(o options, found images, current bool) error {
	if current || !o.store {
		return nil
	}
	if err := errors.Join(found.forget(), found.share()); err != nil {
		return fmt.Errorf("share the host's images anew: %w", err)
	}
	return nil
}

// removeLeftovers removes what a stopped sandbox left of its engine's run, which would be taken
// for alive.
func removeLeftovers() error {
	var problems []error
	for _, path := range []string{"/var/run/docker", "/run/docker", "/var/run/docker.pid", "/run/docker.pid", containerdRun} {
		problems = append(problems, os.RemoveAll(path))
	}
	return errors.Join(problems...)
}
