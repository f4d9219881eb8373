// Command bench measures docker-sd against the plain engine that it uses, in one
// run on one engine, so that the ratios hold although absolute times drift:
//
//	go run ./tests/lab -- go run ./tests/bench [-quick] [-big] [-json FILE] [-svg FILE]
//
// It prints one line per figure, bench NAME P50 P99 UNIT RATIO. The ratio is to
// the same work on the plain engine: starts, creates and deletes to a create and
// start with network host (plain_start_host), logs to the engine's own log
// endpoint, bursts to as many containers started eight at a time. It is "-"
// where it means nothing. Figures are reported, never judged: the exit code is
// 1 only when a step fails.
//
// A start is measured to the first act of the container's own process, on both
// sides; see signals. The status of 100 and 500 pods is that of recorded pods
// without a sandbox each; see records. What ends in N_present was taken with N
// pods running beside it, of which takeover is from the start of docker-sd after
// a SIGKILL to a status with all of them. What begins with mesh_ is of the network of a
// cluster, and has its ratio to a start without one, or to a transfer between two of Debian's
// wireguard-go over the same bridge. Memory is in megabytes of 10^6 bytes. What begins with
// cost_ is what the whole machine did for one pod, until the pool was full again, or for one
// plain container: processor time, and bytes that went to disks.
//
// A run begins with what the machine does at rest. One that does something else gets no chart.
package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"syscall"
	"time"

	"github.com/intertwin-eu/interlink-docker-plugin/tests/figures"
	"github.com/intertwin-eu/interlink-docker-plugin/tests/kit"
)

// runTimeout bounds a whole run.
const runTimeout = 90 * time.Minute

type options struct {
	quick, big bool
	json, svg  string
	only       string
}

func main() {
	if err := run(os.Args[1:]); err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	var o options
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.BoolVar(&o.quick, "quick", false, "fewer repetitions, no bursts of 200 and no growth to 100 pods")
	flags.BoolVar(&o.big, "big", false, "also an image of 1 GB, there before the pool is warmed and arriving after it")
	flags.StringVar(&o.json, "json", "", "write the figures to this `file`")
	flags.StringVar(&o.svg, "svg", "", "draw the ratios into this `file`")
	flags.StringVar(&o.only, "only", "", "run one `part` after the plain starts: "+partNames())
	if err := flags.Parse(args); err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, runTimeout)
	defer cancel()
	b, err := newBench(ctx, o)
	if err != nil {
		return err
	}
	return errors.Join(b.measure(ctx), b.close())
}

// bench is one run.
type bench struct {
	options
	host, image, sandbox string
	instance             string
	dir, binary          string
	engine               *caller
	signals              *signals
	report               report
	daemons              int
}

func newBench(ctx context.Context, o options) (_ *bench, err error) {
	b := &bench{options: o, host: cmp.Or(os.Getenv("DOCKER_HOST"), "unix:///var/run/docker.sock"),
		image: os.Getenv("DOCKER_SD_TEST_BUSYBOX"), sandbox: os.Getenv("DOCKER_SD_TEST_SANDBOX"),
		instance: fmt.Sprintf("bench-%d", os.Getpid()), report: report{out: os.Stdout}}
	if b.image == "" || b.sandbox == "" {
		return nil, errors.New("DOCKER_SD_TEST_BUSYBOX and DOCKER_SD_TEST_SANDBOX name no images: run go run ./tests/lab -- go run ./tests/bench")
	}
	// Short, because a sandbox's socket has 107 bytes for its whole path.
	if b.dir, err = os.MkdirTemp("/tmp", "dsb"); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.RemoveAll(b.dir))
		}
	}()
	if b.engine, err = newCaller("engine", b.host); err != nil {
		return nil, err
	}
	if b.binary, err = kit.Build(ctx, filepath.Join(b.dir, "docker-sd")); err != nil {
		return nil, err
	}
	b.signals, err = newSignals(filepath.Join(b.dir, "signals"))
	return b, err
}

// close removes what the run made, whatever has happened to it.
func (b *bench) close() error {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	err := errors.Join(b.clean(ctx), b.signals.close())
	b.engine.close()
	return errors.Join(err, os.RemoveAll(b.dir))
}

// part is a group of figures that share a daemon.
type part struct {
	name string
	run  func(*bench, context.Context) error
}

// parts in the order of a run. The first gives what all ratios are taken to.
func parts() []part {
	return []part{
		{"plain", (*bench).measurePlain},
		{"warm", (*bench).measureWarm},
		{"cost", func(b *bench, ctx context.Context) error { return measureCost(ctx, b) }},
		{"empty", (*bench).measureEmpty},
		{"arrived", (*bench).measureArrived},
		{"logs", (*bench).measureLogs},
		{"known", (*bench).measureKnown},
		{"burst", (*bench).measureBursts},
		{"growth", (*bench).measureGrowth},
		{"mesh", (*bench).measureMesh},
	}
}

func partNames() string {
	var out string
	for _, p := range parts()[1:] {
		out += p.name + " "
	}
	return out
}

func (b *bench) measure(ctx context.Context) error {
	var version struct{ Version, APIVersion string }
	if err := b.engine.call(ctx, http.MethodGet, "/version", nil, &version); err != nil {
		return err
	}
	fmt.Fprintf(b.report.out, "# engine %s, API %s, %d CPUs\n", version.Version, version.APIVersion, runtime.NumCPU())
	if err := refuseBusy(ctx, b.options, b.report.out); err != nil {
		return err
	}
	for i, p := range parts() {
		if i > 0 && b.only != "" && b.only != p.name {
			continue
		}
		if err := p.run(b, ctx); err != nil {
			return fmt.Errorf("part %s: %w", p.name, err)
		}
	}
	if b.json != "" {
		if err := figures.Write(b.json, document{Taken: time.Now().UTC(), Quick: b.quick,
			Engine: version.Version, CPUs: runtime.NumCPU(), Figures: b.report.figures}); err != nil {
			return err
		}
	}
	if b.svg != "" {
		return writeChart(b.svg, b.report.figures)
	}
	return nil
}

// times gives the number of repetitions in a quick and in a full run.
func (b *bench) times(quick, full int) int {
	if b.quick {
		return quick
	}
	return full
}

// withDaemon runs a part with a docker-sd of its own and removes all of it.
func (b *bench) withDaemon(ctx context.Context, of sizes, do func(*daemon) error) error {
	d, err := b.startDaemon(ctx, of, nil)
	if err != nil {
		return err
	}
	return errors.Join(do(d), d.stop(context.WithoutCancel(ctx)))
}
