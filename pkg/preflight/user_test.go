package preflight_test

import (
	"testing"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/preflight"
)

func TestUser(t *testing.T) {
	holds(t, map[string]judged{
		"root":                      {preflight.User(0, nil), preflight.OK, "root"},
		"in docker's group":         {preflight.User(1000, []int{1000, 999}), preflight.Fail, "user 1000 without group 0"},
		"in docker's and in root's": {preflight.User(1000, []int{1000, 999, 0}), preflight.Warn, "fsGroup"},
	})
}
