// Command kube runs the table of cases, and pods made at random, against a docker-sd of this
// tree on a real engine:
//
//	go run ./tests/lab -- go run ./tests/kube [-run EXPRESSION] [-random N [-seed S] [-from I]]
//
// It prints a line for each case that fails and ends with 1 if there was one.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"regexp"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/intertwin-eu/interlink-docker-plugin/tests/kube/cases"
	"github.com/intertwin-eu/interlink-docker-plugin/tests/kube/random"
	"github.com/intertwin-eu/interlink-docker-plugin/tests/kube/runner"
)

// options of the command line.
type options struct {
	run                    *regexp.Regexp
	random, from, parallel int
	seed                   uint64
	limit                  time.Duration
	specs                  bool
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := kube(ctx, os.Args[1:]); err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "kube:", err)
		os.Exit(1)
	}
}

func parse(args []string) (options, error) {
	var o options
	flags := flag.NewFlagSet("kube", flag.ContinueOnError)
	expression := flags.String("run", "", "run the cases whose name the `expression` matches")
	flags.IntVar(&o.random, "random", 0, "run this number of random pods in the place of the table")
	flags.IntVar(&o.from, "from", 0, "number of the first random pod")
	flags.Uint64Var(&o.seed, "seed", 1, "seed of the random pods")
	flags.IntVar(&o.parallel, "parallel", 4, "cases at a time")
	flags.BoolVar(&o.specs, "specs", false, "print the specs of pods that fail")
	flags.DurationVar(&o.limit, "limit", 5*time.Minute, "how long one case may take")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	var err error
	o.run, err = regexp.Compile(*expression)
	return o, err
}

// kube runs what the command line asks for.
func kube(ctx context.Context, args []string) error {
	o, err := parse(args)
	if err != nil {
		return err
	}
	all, err := chosen(o)
	if err != nil {
		return err
	}
	failed := 0
	for _, group := range cases.BySettings(all) {
		n, err := o.group(ctx, group)
		if err != nil {
			return err
		}
		failed += n
	}
	fmt.Printf("kube: %d cases, %d failed\n", len(all), failed)
	if failed > 0 {
		return fmt.Errorf("%d of %d cases failed", failed, len(all))
	}
	return nil
}

// chosen is the cases that the command line asks for.
func chosen(o options) ([]cases.Case, error) {
	var all []cases.Case
	if o.random > 0 {
		for i := range o.random {
			all = append(all, random.Case(o.seed, o.from+i))
		}
		return all, nil
	}
	all, err := cases.All()
	all = slices.DeleteFunc(all, func(c cases.Case) bool { return !o.run.MatchString(c.Name) })
	if err == nil && len(all) == 0 {
		return nil, errors.New("no case has such a name")
	}
	return all, err
}

// group runs cases that need the same settings, some at a time, and says how many failed.
func (o options) group(ctx context.Context, group []cases.Case) (failed int, err error) {
	node, err := runner.Start(ctx, group[0].Settings, o.parallel)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, node.Stop()) }()
	var mu sync.Mutex
	var workers sync.WaitGroup
	next := make(chan *cases.Case)
	for range o.parallel {
		workers.Go(func() {
			for c := range next {
				problem := o.one(ctx, node, c)
				mu.Lock()
				if problem != nil {
					failed++
					o.tell(c, problem)
				}
				mu.Unlock()
			}
		})
	}
	for i := range group {
		if ctx.Err() != nil {
			break
		}
		next <- &group[i]
	}
	close(next)
	workers.Wait()
	return failed, ctx.Err()
}

// tell prints what is wrong with a case.
func (o options) tell(c *cases.Case, problem error) {
	fmt.Printf("FAIL %s\n%v\n", c.Name, problem)
	if !o.specs {
		return
	}
	text, err := json.Marshal(c.Spec)
	fmt.Println(string(text), err)
}

func (o options) one(ctx context.Context, node *runner.Node, c *cases.Case) error {
	ctx, cancel := context.WithTimeout(ctx, o.limit)
	defer cancel()
	return node.Run(ctx, c)
}
