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
	"runtime"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/initapi"
)

// The commands that the program runs itself with; those of others are in initapi.
const (
	commandUp     = "up"     // the first process, in its own control group namespace
	commandEngine = "engine" // becomes dockerd, with the socket that it was handed
)

// Paths inside a sandbox that only the init knows.
const (
	// pinsPath holds the mount points of what was pinned.
	pinsPath = "/run/docker-sd/pins"
	// procPath is a mount point that is used for moments only.
	procPath = "/run/docker-sd/proc"
)

// options of a sandbox, from the command line.
type options struct {
	// store says that images are shared from StorePath.
	store bool
	// standby leaves the engine until it is asked for.
	standby bool
	// engine are further arguments of dockerd.
	engine []string
}

// Main runs the program and returns its exit code.
func Main(args []string) int {
	if err := run(args); err != nil {
		fmt.Fprintln(os.Stderr, "docker-sd-init:", err)
		return 1
	}
	return 0
}

func run(args []string) error {
	if len(args) == 0 {
		return errors.New("a command is missing")
	}
	command, rest := args[0], args[1:]
	switch command {
	case initapi.CommandBoot:
		return boot(rest)
	case commandUp:
		o, err := parse(rest)
		if err != nil {
			return err
		}
		return up(o)
	case commandEngine:
		return becomeEngine(rest)
	case initapi.CommandPause:
		return pause()
	case initapi.CommandTrue:
		return nil
	}
	return fmt.Errorf("the command %q is not known", command)
}

func parse(args []string) (options, error) {
	var o options
	set := flag.NewFlagSet("docker-sd-init", flag.ContinueOnError)
	set.BoolVar(&o.store, "store", false, "share the images at "+initapi.StorePath)
	set.BoolVar(&o.standby, "standby", false, "leave the engine until it is asked for")
	err := set.Parse(args)
	o.engine = set.Args()
	return o, err
}

// boot moves the process into a control group below the sandbox's own, makes that the
// root of all that it and its children can see, and goes on as up. A namespace is
// entered by one thread only; what that thread executes is the whole process again.
func boot(args []string) error {
	runtime.LockOSThread()
	if err := enterChildGroup(); err != nil {
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

// pause ends with SIGTERM or SIGINT and reaps whatever ends before.
func pause() error {
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

// lookPath finds a program in PATH.
func lookPath(name string) (string, error) {
	if strings.Contains(name, "/") {
		return name, nil
	}
	for _, dir := range append(strings.Split(os.Getenv("PATH"), ":"), "/usr/local/bin", "/usr/bin", "/usr/sbin", "/bin", "/sbin") {
		path := dir + "/" + name
		if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0 {
			return path, nil
		}
	}
	return "", fmt.Errorf("the sandbox image has no %s: set SandboxImage to one with a Docker engine", name)
}
