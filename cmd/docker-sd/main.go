// Command docker-sd is the interLink sidecar plugin for a Docker engine.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/containerd/containerd/log"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/config"
)

// version is set by the build (Makefile).
var version = "dev"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Getenv, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "docker-sd:", err)
		os.Exit(1)
	}
}

// run is the whole program; it returns when ctx ends and all is drained.
func run(ctx context.Context, args []string, getenv func(string) string, out io.Writer) error {
	flags := flag.NewFlagSet("docker-sd", flag.ContinueOnError)
	path := flags.String("interlinkconfigpath", "", "configuration file (default $INTERLINKCONFIGPATH, then "+config.DefaultPath+")")
	verbose := flags.Bool("verbose", false, "log at debug level, whatever the configuration says")
	errorsOnly := flags.Bool("errorsonly", false, "log errors only, whatever the configuration says")
	showVersion := flags.Bool("version", false, "print the version and exit")
	flags.SetOutput(io.Discard) // main prints the error, once
	if err := flags.Parse(args); errors.Is(err, flag.ErrHelp) {
		flags.SetOutput(out)
		flags.Usage()
		return nil
	} else if err != nil {
		return err
	}
	if *showVersion {
		_, err := fmt.Fprintln(out, version)
		return err
	}
	if flags.NArg() > 0 {
		return fmt.Errorf("unknown argument %q: see -help", flags.Arg(0))
	}
	settings, warnings, err := config.Load(config.Path(*path, getenv), getenv)
	if err != nil {
		return err
	}
	settings = settings.WithFlags(*verbose, *errorsOnly)
	if err := log.SetLevel(settings.LogLevel()); err != nil {
		return fmt.Errorf("set the log level: %w", err)
	}
	for _, warning := range warnings {
		log.G(ctx).Warn(warning)
	}
	d, err := newDaemon(settings)
	if err != nil {
		return err
	}
	return d.run(ctx)
}
