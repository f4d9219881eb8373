// Command docker-sd is the interLink sidecar plugin for a Docker engine.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"syscall"

	"github.com/containerd/containerd/log"
	"github.com/spf13/cobra"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/cli"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/config"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/doctor"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/remotecommand"
)

// version is set by the build (Makefile).
var version = "dev"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Getenv, os.Stdout); err != nil {
		// A pod may have written a part of it. Each of several errors has a line.
		fmt.Fprintln(os.Stderr, "docker-sd:", strings.Join(cli.Plain(strings.Split(err.Error(), "\n")), "\n"))
		os.Exit(exitCode(err))
	}
}

// run is the whole program; it returns when ctx ends and all is drained.
func run(ctx context.Context, args []string, getenv func(string) string, out io.Writer) error {
	if err := armFaults(getenv); err != nil {
		return err
	}
	root := cli.Root(getenv, version, serve, func(o *cli.Options) []*cobra.Command {
		return []*cobra.Command{doctor.Command(o, setup()), newDrain(o)}
	})
	root.SetArgs(cli.DoubleDashes(args))
	root.SetOut(out)
	return root.ExecuteContext(ctx)
}

// exitCode is what the program ends with.
func exitCode(err error) int {
	if e, ok := errors.AsType[*doctor.ExitError](err); ok {
		return e.Code
	}
	if e, ok := errors.AsType[*remotecommand.CodeError](err); ok {
		return e.Code
	}
	return 1
}

// gcPercent bounds the heap to one and a half of what is in use. The work is small
// and the pods are many: half as much garbage is worth the time.
const gcPercent = 50

// serve runs the daemon until ctx ends.
func serve(ctx context.Context, settings config.Config, warnings []string) error {
	if err := log.SetLevel(settings.LogLevel()); err != nil {
		return fmt.Errorf("set the log level: %w", err)
	}
	if err := log.SetFormat(log.OutputFormat(settings.LogFormat)); err != nil {
		return fmt.Errorf("set the log format: %w", err)
	}
	for _, warning := range warnings {
		log.G(ctx).Warn(warning)
	}
	debug.SetGCPercent(gcPercent)
	d, err := newDaemon(ctx, settings)
	if err != nil {
		return err
	}
	return d.run(ctx)
}
