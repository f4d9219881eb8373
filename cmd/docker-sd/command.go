package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/config"
)

// options are the flags of every command.
type options struct {
	getenv     func(string) string
	path       string
	verbose    bool
	errorsOnly bool
}

// load reads the configuration that the flags and the environment name.
func (o *options) load() (config.Config, []string, error) {
	settings, warnings, err := config.Load(config.Path(o.path, o.getenv, config.DefaultPaths()), o.getenv)
	return settings.WithFlags(o.verbose, o.errorsOnly), warnings, err
}

// newRoot is the command line. Without a subcommand it is the daemon, as it
// always was. Errors are printed by main, once.
func newRoot(getenv func(string) string) *cobra.Command {
	o := &options{getenv: getenv}
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
			settings, warnings, err := o.load()
			if err != nil {
				return err
			}
			return serve(cmd.Context(), settings, warnings)
		},
	}
	root.SetVersionTemplate("{{.Version}}\n")
	flags := root.PersistentFlags()
	flags.StringVar(&o.path, "interlinkconfigpath", "", "configuration file (default "+config.PathHelp()+")")
	flags.BoolVar(&o.verbose, "verbose", false, "log at debug level, whatever the configuration says")
	flags.BoolVar(&o.errorsOnly, "errorsonly", false, "log errors only, whatever the configuration says")
	root.AddCommand(newCheck(o), newHealth(o), newPods(o), newPool(o), newGPUs(o), newLogs(o), newVersion(o), newDrain(o), newGenerate())
	return root
}

// doubleDashes gives the flags of earlier versions, which were written with one
// dash, the second one that the flag library wants.
func doubleDashes(args []string) []string {
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
