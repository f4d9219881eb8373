// Command simulate runs many docker-sd on one machine, each with a Docker engine
// of its own that only pretends, and asks them what as many virtual kubelets ask:
//
//	go run ./tests/simulate [-short] [-nodes N] [-pods N] [-side SIDE] [-json FILE] [-docs FILE]
//
// What is real are the docker-sd, their files, and the calls that they get and
// make. It prints one line per figure, simulate NAME P50 P99 UNIT, and ends with 1
// when an answer was wrong, a pod did not run or did not go, a poll made
// docker-sd ask an engine, or a docker-sd complained. Times are never judged.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"syscall"
	"time"

	"github.com/intertwin-eu/interlink-docker-plugin/tests/figures"
)

// runTimeout bounds a whole run.
const runTimeout = 20 * time.Minute

// options of the command line.
type options struct {
	short       bool
	nodes, pods int
	side        string
	json, docs  string
}

// plan says how much and how fast.
type plan struct {
	nodes, pods int
	// side is where docker-sd is called.
	side side
	// churned pods of each node are deleted and replaced.
	churned int
	// boot is how long an engine in a sandbox takes to answer.
	boot time.Duration
	// round and ping are the pauses between rounds of polls and between pings.
	round, ping time.Duration
	// fill, steady and churn are how long the pods are created, only polled, and
	// exchanged.
	fill, steady, churn time.Duration
}

// planOf is what the options say.
func (o options) plan() (plan, error) {
	p := planOf(o.short)
	if o.nodes > 0 {
		p.nodes = o.nodes
	}
	if o.pods > 0 {
		p.pods, p.churned = o.pods, min(p.churned, o.pods)
	}
	p.side = side(o.side)
	if !slices.Contains(sides, p.side) {
		return p, fmt.Errorf("-side %s: one of %v is expected", o.side, sides)
	}
	return p, nil
}

// planOf is the plan of a short run, which shows what is right, or of one for figures.
func planOf(short bool) plan {
	if short {
		return plan{nodes: 20, pods: 4, churned: 2, boot: 50 * time.Millisecond, round: 500 * time.Millisecond, ping: time.Second,
			fill: time.Second, steady: 2 * time.Second, churn: time.Second}
	}
	return plan{nodes: 20, pods: 50, churned: 10, boot: 500 * time.Millisecond, round: 5 * time.Second, ping: 30 * time.Second,
		fill: time.Minute, steady: time.Minute, churn: 20 * time.Second}
}

// main runs a simulation and ends with 1 if anything was wrong.
func main() {
	if err := run(os.Args[1:]); err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "simulate:", err)
		os.Exit(1)
	}
}

// run does what the arguments say.
func run(args []string) error {
	var o options
	flags := flag.NewFlagSet("simulate", flag.ContinueOnError)
	flags.BoolVar(&o.short, "short", false, "fewer pods and rounds, for what is right and not for figures")
	flags.IntVar(&o.nodes, "nodes", 0, "so many docker-sd in place of the plan's")
	flags.IntVar(&o.pods, "pods", 0, "so many pods of each in place of the plan's")
	flags.StringVar(&o.side, "side", string(sidePlugin), "where docker-sd is called: plugin, as interLink's API server does, interlink, as a virtual kubelet does, "+
		"or interlink-tls, with certificates and a new connection for each call")
	flags.StringVar(&o.json, "json", "", "write the figures to this `file`")
	flags.StringVar(&o.docs, "docs", "", "write the table in this `file` anew")
	if err := flags.Parse(args); err != nil {
		return err
	}
	p, err := o.plan()
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, runTimeout)
	defer cancel()
	// Short, because a sandbox's socket has 107 bytes for its whole path.
	dir, err := os.MkdirTemp("/tmp", "dss")
	if err != nil {
		return fmt.Errorf("make a folder: %w", err)
	}
	result, err := simulate(ctx, dir, p)
	if err != nil {
		return errors.Join(err, os.RemoveAll(dir))
	}
	result.print(os.Stdout)
	problems := []error{os.RemoveAll(dir)}
	if o.json != "" {
		problems = append(problems, figures.Write(o.json, result))
	}
	if o.docs != "" {
		problems = append(problems, result.writeDocs(o.docs))
	}
	return errors.Join(problems...)
}
