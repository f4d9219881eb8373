// Command modern builds a current Docker engine from the module proxy and runs
// end-to-end tests with it, as the host's engine and in sandboxes, together with
// the engine that is installed here:
//
//	go run ./tests/modern [-programs] [-run PATTERN] [COMBINATION...]
//
// It needs root and what tests/lab needs. The programs are built once for each
// content of tests/modern/engine, which takes some minutes, and are kept in
// DOCKER_SD_MODERN_DIR (/var/tmp/docker-sd-modern). The exit code is 1 when a
// test fails.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/intertwin-eu/interlink-docker-plugin/tests/modern/programs"
)

// tests are the ones that an engine's version, its image store or its runtime
// can make fail.
const tests = "^(TestHelloWorld|TestKube|TestResourceLimits|TestOutOfMemory|TestMissingCommand|TestUnknownImage|TestFollow|" +
	"TestPodsOutliveTheDaemon|TestSandboxOfAPodDies|TestStandby|TestLateImageIsShared|TestCopiedImageIsUsedAgain)$"

// combination is a host's engine and a sandbox's.
type combination struct {
	name string
	// host and sandbox say whether the built engine is used, or the installed one.
	host, sandbox bool
	// store is the image store of the host's engine; "" is its own choice.
	store string
	// own are tests of that store alone, behind the tag containerdstore; "" are none.
	own string
}

func combinations() []combination {
	return []combination{
		{name: "sandbox", sandbox: true},
		{name: "overlay2", host: true, sandbox: true, store: "overlay2"},
		{name: "containerd", host: true, sandbox: true, store: "containerd", own: "^Test(Attack)?ContainerdLayers"},
		{name: "host", host: true, store: "overlay2"},
	}
}

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

func run(args []string, stdout, stderr io.Writer) int {
	options := flag.NewFlagSet("modern", flag.ContinueOnError)
	options.SetOutput(stderr)
	pattern := options.String("run", tests, "the tests to run, as go test -run takes it")
	only := options.Bool("programs", false, "build the engine's programs, print their folder, and run no test")
	if err := options.Parse(args); err != nil {
		return 2
	}
	chosen, err := choose(combinations(), options.Args())
	if err != nil {
		fmt.Fprintln(stderr, "modern:", err)
		return 2
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	dir := programs.Dir()
	bin, err := programs.Build(ctx, dir, stderr)
	if err != nil {
		fmt.Fprintln(stderr, "modern:", err)
		return 1
	}
	if *only {
		fmt.Fprintln(stdout, bin)
		return 0
	}
	code := 0
	for _, c := range chosen {
		began := time.Now()
		result := "ok"
		if err := c.test(ctx, dir, bin, c.pattern(*pattern)); err != nil {
			result, code = err.Error(), 1
		}
		fmt.Fprintf(stdout, "modern %s: %s after %s\n", c.name, result, time.Since(began).Round(time.Second))
	}
	return code
}

// choose returns the named combinations, all of them without names.
func choose(all []combination, names []string) ([]combination, error) {
	var out []combination
	for _, name := range names {
		at := slices.IndexFunc(all, func(c combination) bool { return c.name == name })
		if at < 0 {
			return nil, fmt.Errorf("%q is none of the combinations sandbox, overlay2, containerd and host", name)
		}
		out = append(out, all[at])
	}
	if len(out) == 0 {
		return all, nil
	}
	return out, nil
}

// test runs the tests on a private engine of the combination.
func (c combination) test(ctx context.Context, dir, bin, pattern string) error {
	cmd := exec.CommandContext(ctx, "go", "run", "./tests/lab", "--",
		"go", "test", "-tags", c.tags(), "-count=1", "-timeout", "30m", "-run", pattern, "./tests/e2e/...")
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.Env = c.environ(os.Environ(), dir, bin)
	// The lab ends its engine before it ends itself.
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = time.Minute
	if err := cmd.Run(); err != nil {
		return errors.Join(fmt.Errorf("the tests failed: %w", err), ctx.Err())
	}
	return nil
}

// tags of the tests that can be built for the combination.
func (c combination) tags() string {
	if c.own == "" {
		return "e2e"
	}
	return "e2e,containerdstore"
}

// pattern adds the combination's own tests to those that all run; a pattern that was asked
// for stays as it is.
func (c combination) pattern(asked string) string {
	if c.own == "" || asked != tests {
		return asked
	}
	return asked + "|" + c.own
}

// environ is what the lab makes its engine from. Nobody listens at DOCKER_HOST
// yet: with it the lab starts an engine of its own although another one runs.
func (c combination) environ(base []string, dir, bin string) []string {
	folder := filepath.Join(dir, c.name)
	path := os.Getenv("PATH")
	installed := strings.Join([]string{path, "/usr/local/sbin", "/usr/sbin", "/sbin"}, string(os.PathListSeparator))
	sandbox := installed
	if c.sandbox {
		sandbox = bin
	}
	if c.host {
		path = bin + string(os.PathListSeparator) + path
	}
	return append(slices.Clone(base),
		"PATH="+path,
		"DOCKER_HOST=unix://"+filepath.Join(folder, "docker.sock"),
		"DOCKER_SD_LAB_DIR="+folder,
		"DOCKER_SD_LAB_STORE="+c.store,
		"DOCKER_SD_LAB_SANDBOX_PATH="+sandbox)
}
