package config_test

import (
	"testing"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/config"
)

func TestColours(t *testing.T) {
	for variable, want := range map[string]bool{"": true, "NO_COLOR=1": false, "TERM=dumb": false, "TERM=xterm": true} {
		getenv := func(name string) string {
			if len(variable) > len(name) && variable[:len(name)+1] == name+"=" {
				return variable[len(name)+1:]
			}
			return ""
		}
		if got := config.Colours(getenv); got != want {
			t.Errorf("Colours with %q = %t, want %t", variable, got, want)
		}
	}
}
