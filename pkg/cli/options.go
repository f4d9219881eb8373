package cli

import "github.com/intertwin-eu/interlink-docker-plugin/pkg/config"

// Options are the flags of every command.
type Options struct {
	// Getenv reads the environment.
	Getenv func(string) string
	// Verbose asks for a log at debug level, whatever the configuration says.
	Verbose    bool
	path       string
	errorsOnly bool
}

// Path is the file that Load reads.
func (o *Options) Path() string { return config.Path(o.path, o.Getenv, config.DefaultPaths()) }

// Load reads the configuration that the flags and the environment name.
func (o *Options) Load() (config.Config, []string, error) {
	settings, warnings, err := config.Load(o.Path(), o.Getenv)
	return settings.WithFlags(o.Verbose, o.errorsOnly), warnings, err
}
