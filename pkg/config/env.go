package config

import "encoding/json"

// PathVariable is the environment variable that names the configuration file.
const PathVariable = "INTERLINKCONFIGPATH"

// DefaultPath is the configuration file when neither flag nor variable names one.
const DefaultPath = "/etc/interlink/InterLinkConfig.yaml"

// Path returns the configuration file to load: the value of the flag
// -interlinkconfigpath, else $INTERLINKCONFIGPATH, else DefaultPath (contract 7).
func Path(flagValue string, getenv func(string) string) string {
	if flagValue != "" {
		return flagValue
	}
	if path := getenv(PathVariable); path != "" {
		return path
	}
	return DefaultPath
}

// environment applies the variables that are set and not empty.
func (d *decoder) environment(settings []setting, getenv func(string) string) error {
	for _, s := range settings {
		if s.env == "" {
			continue
		}
		value := getenv(s.env)
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
