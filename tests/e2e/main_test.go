//go:build e2e

package e2e_test

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"testing"

	"github.com/intertwin-eu/interlink-docker-plugin/tests/kit"
)

// suite is what all tests share. TestMain fills it before the first test and
// nothing changes it afterwards.
var suite struct {
	binary string
	// faulty builds the daemon that can be told where to die, at its first use.
	faulty func() (string, error)
	// unprotected builds the daemon whose mounts are not pinned, at its first use: what
	// attacks succeed against.
	unprotected func() (string, error)
	// intruder is the program that attacks, and an image with it, made at its first use.
	intruder func() (intruder, error)
	// fuseImage makes an image with programs that serve FUSE file systems, at its first use.
	fuseImage func() (string, error)
	images    testImages
	engine    *engineReader
	// shared starts the daemon that most tests use, at its first use.
	shared func() (*daemon, error)
	// registries starts two image registries, at their first use.
	registries func() (*registries, error)
}

// testImages are made by the lab.
type testImages struct{ sandbox, busybox, bash, entry string }

// sharedPool is the warm sandboxes of the shared daemon.
const sharedPool = 3

// init keeps the process's first thread for TestMain. Some tests give a thread to another
// network or user, and it ends with their goroutine; the first thread cannot end, and what
// /proc says of the process is what it says of that thread.
func init() { runtime.LockOSThread() }

func TestMain(m *testing.M) { os.Exit(runSuite(m)) }

func runSuite(m *testing.M) int {
	flag.Parse()
	// Most tests wait for containers, so more of them than cores can run.
	if err := flag.Set("test.parallel", "3"); err != nil {
		return complain(err)
	}
	dir, err := os.MkdirTemp("/tmp", "ds")
	if err != nil {
		return complain(err)
	}
	defer os.RemoveAll(dir)
	if err := prepareSuite(dir); err != nil {
		return complain(err)
	}
	var shared *daemon
	suite.shared = sync.OnceValues(func() (*daemon, error) {
		d, err := newDaemon(filepath.Join(dir, "s"), map[string]any{"AVAILABLEDINDS": sharedPool, "StandbySandboxes": 2, "NetworkHolders": 2})
		if err != nil {
			return nil, err
		}
		shared = d
		return d, d.start()
	})
	var both *registries
	suite.registries = sync.OnceValues(func() (*registries, error) {
		started, err := startRegistries(dir)
		both = started
		return started, err
	})
	code := m.Run()
	if shared != nil {
		if err := shared.finish(); err != nil {
			code = complain(err)
		}
		if code != 0 {
			fmt.Fprintf(os.Stderr, "the end of the shared daemon's log:\n%s", shared.log.Tail(200))
		}
	}
	if err := removeImages(); err != nil {
		code = complain(err)
	}
	if both != nil {
		if err := both.stop(); err != nil {
			code = complain(err)
		}
	}
	return code
}

func complain(err error) int {
	fmt.Fprintln(os.Stderr, "e2e:", err)
	return 1
}

func prepareSuite(dir string) error {
	suite.images = testImages{sandbox: os.Getenv("DOCKER_SD_TEST_SANDBOX"), busybox: os.Getenv("DOCKER_SD_TEST_BUSYBOX"),
		bash: os.Getenv("DOCKER_SD_TEST_BASH"), entry: os.Getenv("DOCKER_SD_TEST_ENTRY")}
	i := suite.images
	if i.sandbox == "" || i.busybox == "" || i.bash == "" || i.entry == "" {
		return fmt.Errorf("the test images are not named: run go run ./tests/lab -- go test -tags e2e ./tests/e2e")
	}
	engine, err := newEngineReader(os.Getenv("DOCKER_HOST"))
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), runLimit)
	defer cancel()
	if err := engine.ping(ctx); err != nil {
		return fmt.Errorf("no Docker engine answers: %w", err)
	}
	suite.engine = engine
	suite.faulty = sync.OnceValues(func() (string, error) {
		return kit.Build(context.Background(), filepath.Join(dir, "faulty"), "-tags", "faults")
	})
	suite.unprotected = sync.OnceValues(func() (string, error) {
		return kit.Build(context.Background(), filepath.Join(dir, "unprotected"), "-tags", "faults,unprotected")
	})
	suite.intruder = sync.OnceValues(func() (intruder, error) { return makeIntruder(dir) })
	suite.fuseImage = sync.OnceValues(makeFuseImage)
	suite.binary, err = kit.Build(context.Background(), filepath.Join(dir, "under-test"), "-race")
	return err
}
