package sandbox_test

import (
	"testing"
	"testing/fstest"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/sandbox"
)

func TestAppArmorFor(t *testing.T) {
	const path = "sys/kernel/security/apparmor/profiles"
	loaded := fstest.MapFS{path: {Data: []byte("docker-default (enforce)\ndocker-sd-sandbox (enforce)\n/usr/bin/man (complain)\n")}}
	others := fstest.MapFS{path: {Data: []byte("docker-default (enforce)\ndocker-sd-sandbox//child (enforce)\n")}}
	for name, c := range map[string]struct {
		root          fstest.MapFS
		setting, want string
	}{
		"ours":            {loaded, "", sandbox.AppArmorSandbox},
		"not loaded":      {others, "", sandbox.AppArmorUnconfined},
		"no AppArmor":     {fstest.MapFS{}, "", sandbox.AppArmorUnconfined},
		"told not to":     {loaded, "unconfined", sandbox.AppArmorUnconfined},
		"another's":       {loaded, "mine", "mine"},
		"unseen and told": {fstest.MapFS{}, "mine", "mine"},
	} {
		if got := sandbox.AppArmorFor(c.root, c.setting); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}
