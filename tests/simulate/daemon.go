package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/intertwin-eu/interlink-docker-plugin/tests/kit"
	"github.com/prometheus/procfs"
)

// poolSize of every docker-sd, small because a host has few pods at a time that
// start.
const poolSize = 2

// sandboxImage is what sandboxes are made of here, podImage what the recorded pod runs.
const (
	sandboxImage = "sandbox"
	podImage     = "ghcr.io/grycap/cowsay"
)

// daemon is one docker-sd, a process of its own, and its host.
type daemon struct {
	kit.Process
	name, dir string
	host      *host
	api       *caller
	log       *os.File
}

// startDaemon starts a docker-sd with its host and returns when it takes pods
// and its pool is warm.
func startDaemon(ctx context.Context, binary, dir string, p plan) (_ *daemon, err error) {
	d := &daemon{name: filepath.Base(dir), dir: dir, host: startHost(p.boot, sandboxImage, podImage)}
	if err := os.Mkdir(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make a host's folder: %w", err)
	}
	d.Process = kit.Process{Binary: binary, Config: filepath.Join(dir, "config.yaml"), Env: []string{"HOME=" + dir}}
	settings := kit.Settings(dir, d.name, map[string]any{"PodFirewall": "disabled",
		"DOCKER_HOST": d.host.engine.Address(), "AdminAddress": "", "AVAILABLEDINDS": poolSize, "StandbySandboxes": 0, "NetworkHolders": 0, "MaxPods": p.pods + p.churned,
		// The default range has 512 networks.
		"SandboxImage": sandboxImage, "DockerNetworkSubnet": []string{"10.212.0.0/16"}})
	if d.api, err = newCaller(p.side, dir, settings); err != nil {
		return nil, err
	}
	if err := kit.WriteConfig(d.Config, settings); err != nil {
		return nil, err
	}
	if d.log, err = os.Create(filepath.Join(dir, "log")); err != nil {
		return nil, fmt.Errorf("make a log: %w", err)
	}
	d.Output = d.log
	if err := d.Start(); err != nil {
		return nil, err
	}
	if err := d.awaitPods(ctx, 0); err != nil {
		return nil, errors.Join(err, d.stop())
	}
	return d, nil
}

// awaitPods returns when so many pods run, each in a sandbox of its own, and
// nothing else is there but the pool.
func (d *daemon) awaitPods(ctx context.Context, pods int) error {
	return poll(ctx, d.name+": wait for "+fmt.Sprint(pods)+" pods and a full pool", func() error {
		if err := d.alive(); err != nil {
			return err
		}
		sandboxes, networks, running := d.host.census()
		if sandboxes != pods+poolSize || networks != sandboxes || running != pods {
			return fmt.Errorf("%d sandboxes, %d networks and %d containers in sandboxes: %w", sandboxes, networks, running, errNotYet)
		}
		return nil
	})
}

// settlePeriod is without a call in a docker-sd that has nothing left to do.
const settlePeriod = time.Second

// awaitQuiet returns when docker-sd has stopped asking its engines.
func (d *daemon) awaitQuiet(ctx context.Context) error {
	last, since := d.host.calls(), time.Now()
	var made []string
	return poll(ctx, d.name+": wait for the last of what a start costs", func() error {
		now := d.host.calls()
		if more := polledCalls(last, now, 0); len(more) > 0 {
			made, last, since = more, now, time.Now()
		}
		if time.Since(since) < settlePeriod {
			return fmt.Errorf("it went on to ask its engines for %v: %w", made, errNotYet)
		}
		return nil
	})
}

// awaitForgotten returns when docker-sd has no record of the pod any more.
func (d *daemon) awaitForgotten(ctx context.Context, uid string) error {
	path := filepath.Join(d.dir, "d", "records", uid+".json")
	return poll(ctx, d.name+": wait for the end of pod "+uid, func() error {
		if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
			return errors.Join(errNotYet, err)
		}
		return nil
	})
}

// alive is an error if the process has ended.
func (d *daemon) alive() error {
	if d.Running() {
		return nil
	}
	return fmt.Errorf("%s: docker-sd ended by itself: %w: %s", d.name, d.Err(), d.lastWords())
}

// usage is the processor time in seconds and the resident memory in bytes.
func (d *daemon) usage() (cpu, memory float64, err error) {
	process, err := procfs.NewProc(d.PID())
	if err != nil {
		return 0, 0, fmt.Errorf("look at %s: %w", d.name, err)
	}
	stat, err := process.Stat()
	if err != nil {
		return 0, 0, fmt.Errorf("look at %s: %w", d.name, err)
	}
	return stat.CPUTime(), float64(stat.ResidentMemory()), nil
}

// lastWords are the end of docker-sd's log.
func (d *daemon) lastWords() string {
	text, err := os.ReadFile(d.log.Name())
	if err != nil {
		return err.Error()
	}
	return string(text[max(0, len(text)-2000):])
}

// complaints are the errors in docker-sd's log.
func (d *daemon) complaints() error {
	text, err := os.ReadFile(d.log.Name())
	if err != nil {
		return fmt.Errorf("read a log: %w", err)
	}
	for line := range strings.Lines(string(text)) {
		if strings.Contains(line, "level=error") || strings.Contains(line, "level=fatal") || strings.Contains(line, "panic:") {
			return fmt.Errorf("%s wrote: %s", d.name, line)
		}
	}
	return nil
}

// stopTimeout bounds the end of a docker-sd.
const stopTimeout = time.Minute

// stop ends the process and its host; it tells of all that was wrong with them.
func (d *daemon) stop() error {
	problems := []error{d.alive()}
	if problems[0] == nil {
		if err := d.Stop(stopTimeout); err != nil {
			problems = append(problems, fmt.Errorf("%s: %w", d.name, err))
		}
	}
	d.api.close()
	return errors.Join(append(problems, d.host.close(), d.complaints(), d.log.Close())...)
}

// waitLimit bounds every wait for something to happen in docker-sd.
const waitLimit = 3 * time.Minute

// errNotYet says that what is waited for may still come; see poll.
var errNotYet = errors.New("not yet")

// poll asks until there is no error; one that is not errNotYet ends it.
func poll(ctx context.Context, what string, ask func() error) error {
	ctx, cancel := context.WithTimeout(ctx, waitLimit)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		err := ask()
		if err == nil {
			return nil
		}
		if !errors.Is(err, errNotYet) {
			return fmt.Errorf("%s: %w", what, err)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s: %w: %w", what, ctx.Err(), err)
		case <-tick.C:
		}
	}
}
