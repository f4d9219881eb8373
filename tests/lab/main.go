// Command lab runs a command, such as the end-to-end tests or a demonstration,
// with a Docker engine that has the test images in it:
//
//	go run ./tests/lab [-keep] -- COMMAND ARGS...
//
// It uses the engine at DOCKER_HOST or /var/run/docker.sock where one answers.
// Otherwise it starts a private one, for which it needs root and dockerd, with
// its state in DOCKER_SD_LAB_DIR (/var/tmp/docker-sd-lab), and ends it after the
// command. The command finds the engine in DOCKER_HOST and the names of the
// images in DOCKER_SD_TEST_SANDBOX, _BUSYBOX, _BASH and _ENTRY. The exit code is
// the command's, or 1 with a line on standard error when there is no engine.
//
// A private engine is the dockerd in PATH, with the image store that
// DOCKER_SD_LAB_STORE names (overlay2 or containerd) or its own default. The
// engine in the sandbox image comes from the folders in
// DOCKER_SD_LAB_SANDBOX_PATH, then from PATH.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"
)

// imagesLimit bounds making or pulling all images.
const imagesLimit = 10 * time.Minute

type options struct {
	keep, stop bool
	command    []string
}

func main() {
	// The thread's end would be taken for the end of go run.
	runtime.LockOSThread()
	if err := endWithGoRun(); err != nil {
		fmt.Fprintf(os.Stderr, "lab: %v\n", err)
		os.Exit(1)
	}
	os.Exit(run(os.Args[1:], os.Environ(), os.Stderr))
}

func run(args, environ []string, stderr io.Writer) int {
	opts, err := parseArgs(args, stderr)
	if errors.Is(err, flag.ErrHelp) {
		return 0
	}
	if err != nil {
		fmt.Fprintf(stderr, "lab: %v\n", err)
		return 2
	}
	handled := []os.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP}
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, handled...)
	defer signal.Stop(signals)
	// Until the command runs a signal gives up; then it goes to the command.
	ctx, cancel := signal.NotifyContext(context.Background(), handled...)
	defer cancel()
	l := lab{environ: environ, stderr: stderr, signals: signals}
	code, err := l.run(ctx, opts)
	if err != nil {
		fmt.Fprintf(stderr, "lab: %v\n", err)
		code = 1
		select {
		case s := <-signals:
			if number, ok := s.(syscall.Signal); ok {
				code = 128 + int(number)
			}
		default:
		}
	}
	return code
}

func parseArgs(args []string, stderr io.Writer) (options, error) {
	var opts options
	flags := flag.NewFlagSet("lab", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.BoolVar(&opts.keep, "keep", false, "leave a private engine running after the command, which may be omitted")
	flags.BoolVar(&opts.stop, "stop", false, "stop the engine that -keep has left, and do nothing else")
	flags.Usage = func() {
		fmt.Fprintln(stderr, "usage: lab [-keep] -- COMMAND ARGS...\n       lab -stop")
		flags.PrintDefaults()
	}
	if err := flags.Parse(args); err != nil {
		return options{}, err
	}
	opts.command = flags.Args()
	switch {
	case opts.stop && (opts.keep || len(opts.command) > 0):
		return options{}, errors.New("-stop goes with nothing else")
	case !opts.stop && !opts.keep && len(opts.command) == 0:
		return options{}, errors.New("no command given: lab [-keep] -- COMMAND ARGS")
	}
	return opts, nil
}

// lab is one run.
type lab struct {
	environ []string
	stderr  io.Writer
	signals <-chan os.Signal
}

func (l lab) run(ctx context.Context, opts options) (int, error) {
	if opts.stop {
		return 0, l.stop(ctx)
	}
	c, err := l.reachable(ctx)
	if err != nil {
		return 0, err
	}
	if c != nil {
		defer c.close()
		return l.withEngine(ctx, c, opts, nil)
	}
	return l.withPrivate(ctx, opts)
}

// getenv returns a variable of the lab's environment.
func (l lab) getenv(name string) string {
	for _, entry := range l.environ {
		if value, ok := strings.CutPrefix(entry, name+"="); ok {
			return value
		}
	}
	return ""
}

// reachable returns a client of the engine that is there already, or nil.
func (l lab) reachable(ctx context.Context) (*client, error) {
	host := l.getenv("DOCKER_HOST")
	if host != "" && l.getenv("DOCKER_TLS_VERIFY") != "" {
		return nil, errors.New("DOCKER_TLS_VERIFY is set and TLS is not supported: unset it or DOCKER_HOST")
	}
	given := host != ""
	if !given {
		host = defaultHost
	}
	e, err := parseHost(host)
	if err != nil {
		return nil, err
	}
	c := newClient(e)
	if err := c.ping(ctx, 2*time.Second); err != nil {
		if given {
			fmt.Fprintf(l.stderr, "lab: no engine answers at DOCKER_HOST=%s, using a private one\n", host)
		}
		c.close()
		return nil, ctx.Err()
	}
	return c, nil
}

// withPrivate runs the command with a private engine and stops it afterwards,
// also when the context has ended, unless it is to be kept.
func (l lab) withPrivate(ctx context.Context, opts options) (code int, err error) {
	if os.Geteuid() != 0 {
		return 0, errors.New("no Docker engine answers and starting one needs root: run as root or set DOCKER_HOST")
	}
	if err := ensurePrograms(ctx, append(enginePrograms(), imagePrograms()...), l.stderr); err != nil {
		return 0, err
	}
	f, err := openFolder(l.getenv("DOCKER_SD_LAB_DIR"))
	if err != nil {
		return 0, err
	}
	e, err := openEngine(ctx, f, l.getenv("DOCKER_SD_LAB_STORE"), opts.keep, l.stderr)
	if err != nil {
		return 0, err
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Minute)
		defer cancel()
		// An engine that an earlier run has kept is not this run's to stop.
		if e.ended == nil || opts.keep && err == nil {
			fmt.Fprintf(l.stderr, "lab: the engine stays at DOCKER_HOST=%s; go run ./tests/lab -stop ends it\n", e.client.endpoint)
			err = errors.Join(err, e.release())
			return
		}
		err = errors.Join(err, e.stop(ctx))
	}()
	l.environ = append(slices.Clone(l.environ), f.runVariable())
	return l.withEngine(ctx, e.client, opts, e.ready)
}

// withEngine makes the images and runs the command. A ready function is waited
// for while the images are described.
func (l lab) withEngine(ctx context.Context, c *client, opts options, ready func(context.Context) error) (int, error) {
	set, err := l.prepare(ctx, c, ready)
	if ctx.Err() != nil {
		return 0, errors.New("interrupted before the command was started")
	}
	if err != nil {
		return 0, err
	}
	if len(opts.command) == 0 {
		return 0, nil
	}
	return runCommand(opts.command, commandEnv(l.environ, c.endpoint, set), l.signals)
}

func (l lab) prepare(ctx context.Context, c *client, ready func(context.Context) error) (imageSet, error) {
	ctx, cancel := context.WithTimeout(ctx, imagesLimit)
	defer cancel()
	if ready == nil {
		ready = func(context.Context) error { return nil }
		if err := ensurePrograms(ctx, imagePrograms(), l.stderr); err != nil {
			return imageSet{}, err
		}
	}
	// Not installed means pulled; with a private engine dockerd is there.
	local := ensurePrograms(ctx, sandboxPrograms(), l.stderr) == nil
	dirs := filepath.SplitList(l.getenv("DOCKER_SD_LAB_SANDBOX_PATH"))
	var set imageSet
	group, groupCtx := errgroup.WithContext(ctx)
	group.Go(func() error { return ready(groupCtx) })
	group.Go(func() (err error) {
		set, err = buildImages(groupCtx, local, dirs)
		return err
	})
	if err := group.Wait(); err != nil {
		return imageSet{}, err
	}
	for _, i := range []image{set.busybox, set.bash, set.entry, set.sandbox} {
		made, err := c.ensure(ctx, i)
		if err != nil {
			return imageSet{}, err
		}
		if made {
			fmt.Fprintf(l.stderr, "lab: made the image %s\n", i.name())
		}
	}
	return set, nil
}

// commandEnv is the environment of the command: the lab's own with the engine and
// the images, and without what would lead a client elsewhere.
func commandEnv(environ []string, e endpoint, set imageSet) []string {
	drop := map[string]bool{
		"DOCKER_HOST": true, "DOCKER_CONTEXT": true, "DOCKER_TLS_VERIFY": true, "DOCKER_CERT_PATH": true, "DOCKER_API_VERSION": true,
	}
	var result []string
	for _, entry := range environ {
		name, _, _ := strings.Cut(entry, "=")
		if !drop[name] && !strings.HasPrefix(name, "DOCKER_SD_TEST_") {
			result = append(result, entry)
		}
	}
	return append(result,
		"DOCKER_HOST="+e.String(),
		"DOCKER_SD_TEST_SANDBOX="+set.sandbox.name(),
		"DOCKER_SD_TEST_BUSYBOX="+set.busybox.name(),
		"DOCKER_SD_TEST_BASH="+set.bash.name(),
		"DOCKER_SD_TEST_ENTRY="+set.entry.name(),
	)
}

// stop ends the engine that a run with -keep has left.
func (l lab) stop(ctx context.Context) error {
	f, err := openFolder(l.getenv("DOCKER_SD_LAB_DIR"))
	if err != nil {
		return err
	}
	lock, err := f.lock(ctx, lockLimit, func() {
		fmt.Fprintf(l.stderr, "lab: a run uses %s, waiting for up to %v\n", f, lockLimit)
	})
	if err != nil {
		return err
	}
	e := &engine{folder: f, client: newClient(f.endpoint()), lock: lock, stderr: l.stderr}
	return e.stop(ctx)
}
