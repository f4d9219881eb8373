// Package cli is the command line of docker-sd: its flags, and the commands that ask the
// docker-sd that runs with the same configuration.
package cli

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/config"
)

// Root is the command line of a docker-sd of this version: without a subcommand it serves,
// as it always has. Its own subcommands are those that ask a running docker-sd, and more
// gives others. Errors are returned and not printed.
func Root(getenv func(string) string, version string, serve func(context.Context, config.Config, []string) error,
	more func(*Options) []*cobra.Command) *cobra.Command {
	o := &Options{Getenv: getenv}
	root := &cobra.Command{
		Use: "docker-sd", Short: "docker-sd is the interLink plugin for a Docker engine",
		Long: "docker-sd is the interLink plugin for a Docker engine. Without a command it serves\n" +
			"until it gets SIGTERM or SIGINT; pods go on running then, and the next start takes\n" +
			"them over. Long flags may be written with one dash, as in earlier versions.",
		Version: version, SilenceErrors: true, SilenceUsage: true,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return fmt.Errorf("unknown argument %q: see -help", args[0])
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error {
			settings, warnings, err := o.Load()
			if err != nil {
				return err
			}
			return serve(cmd.Context(), settings, warnings)
		},
	}
	root.SetVersionTemplate("{{.Version}}\n")
	flags := root.PersistentFlags()
	flags.StringVar(&o.path, "interlinkconfigpath", "", "configuration file (default "+config.PathHelp()+")")
	flags.BoolVar(&o.Verbose, "verbose", false, "log at debug level, whatever the configuration says")
	flags.BoolVar(&o.errorsOnly, "errorsonly", false, "log errors only, whatever the configuration says")
	root.AddCommand(newHealth(o), newPods(o), newPool(o), newGPUs(o), newLogs(o), newVersion(o, version), newGenerate())
	root.AddCommand(newTop(o), newExec(o), newPortForward(o), newCopy(o), newDescribe(o), newEvents(o), newPage(o))
	root.AddCommand(more(o)...)
	return root
}

// DoubleDashes gives the flags of earlier versions, which were written with one
// dash, the second one that the flag library wants.
func DoubleDashes(args []string) []string {
	old := []string{"interlinkconfigpath", "verbose", "errorsonly", "version", "help"}
	out := slices.Clone(args)
	for i := 0; i < len(out) && out[i] != "--"; i++ {
		name, _, hasValue := strings.Cut(strings.TrimLeft(out[i], "-"), "=")
		if !strings.HasPrefix(out[i], "-") || !slices.Contains(old, name) {
			continue
		}
		out[i] = "--" + strings.TrimLeft(out[i], "-")
		if name == old[0] && !hasValue {
			i++ // the path, whatever it looks like
		}
	}
	return out
}
