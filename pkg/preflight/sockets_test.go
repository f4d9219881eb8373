package preflight_test

import (
	"io/fs"
	"testing"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/preflight"
)

func TestSockets(t *testing.T) {
	of := func(group string, mode fs.FileMode) preflight.Socket {
		return preflight.Socket{Path: "/run/s", User: "root", Group: group, Mode: fs.ModeSocket | mode}
	}
	wanted := of("interlink", 0o660)
	seen := func(group string, mode fs.FileMode) *preflight.Socket { s := of(group, mode); return &s }
	holds(t, map[string]judged{
		"engine":              {preflight.EngineSocket(of("docker", 0o660)), preflight.OK, "/run/s belongs to root:docker, mode 0660: its owner and the members of group docker can connect"},
		"engine, owner":       {preflight.EngineSocket(of("docker", 0o600)), preflight.OK, "its owner alone"},
		"engine, root":        {preflight.EngineSocket(of("root", 0o660)), preflight.OK, "its owner alone"},
		"engine, all":         {preflight.EngineSocket(of("docker", 0o666)), preflight.Warn, "every user of this host"},
		"to be made":          {preflight.InterlinkSocket(wanted, nil, false), preflight.OK, "will belong to root:interlink, mode 0660: user root and the members of group interlink can send pods"},
		"to be made, owner":   {preflight.InterlinkSocket(of("root", 0o600), nil, false), preflight.OK, "user root alone"},
		"right":               {preflight.InterlinkSocket(wanted, seen("interlink", 0o660), true), preflight.OK, "/run/s belongs to root:interlink, mode 0660"},
		"open":                {preflight.InterlinkSocket(wanted, seen("interlink", 0o666), true), preflight.Fail, "every user of this host can run pods"},
		"open, left":          {preflight.InterlinkSocket(wanted, seen("interlink", 0o666), false), preflight.Fail, "every user of this host can run pods"},
		"left":                {preflight.InterlinkSocket(wanted, seen("root", 0o600), false), preflight.OK, "of an earlier run"},
		"of other settings":   {preflight.InterlinkSocket(wanted, seen("root", 0o600), true), preflight.Warn, "belongs to root:root, mode 0600, and the configuration wants root:interlink, mode 0660"},
		"of an earlier group": {preflight.InterlinkSocket(wanted, seen("docker", 0o660), true), preflight.Warn, "wants root:interlink"},
	})
}
