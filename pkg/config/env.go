package config

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"strings"
)

// PathVariable is the environment variable that names the configuration file.
const PathVariable = "INTERLINKCONFIGPATH"

// DefaultPaths are the configuration files of which the first that is there is
// used when neither flag nor variable names one: the one that the packages bring,
// and the one of the plugin of 2024, which may be interLink's own (protocol 7.1).
func DefaultPaths() []string {
	return []string{"/etc/interlink/docker-sd.yaml", "/etc/interlink/InterLinkConfig.yaml"}
}

// PathHelp says in a few words which file Path chooses.
func PathHelp() string {
	return "$" + PathVariable + ", then " + strings.Join(DefaultPaths(), ", then ")
}

// Path returns the configuration file to load: the value of the flag
// -interlinkconfigpath, else $INTERLINKCONFIGPATH, else the first of defaults that
// exists, else the last.
func Path(flagValue string, getenv func(string) string, defaults []string) string {
	if flagValue != "" {
		return flagValue
	}
	if path := getenv(PathVariable); path != "" {
		return path
	}
	for _, path := range defaults {
		// One that cannot be looked at is one to complain of.
		if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
			return path
		}
	}
	return defaults[len(defaults)-1]
}

// environment applies the variables that are set and not empty.
func (d *decoder) environment(settings []setting, getenv func(string) string) error {
	for _, s := range settings {
		if s.env == "" {
			continue
		}
		value := getenv(s.env)
		if value == "" && strings.HasSuffix(s.env, "_proxy") {
			value = getenv(strings.ToUpper(s.env)) // programs take either
		}
		if value == "" {
			continue
		}
		raw, err := json.Marshal(value)
		if err != nil {
			return err
		}
		if err := d.value(s.env, raw, s.dst); err != nil {
			return err
		}
	}
	return nil
}
