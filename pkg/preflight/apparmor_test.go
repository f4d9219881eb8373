package preflight_test

import (
	"strings"
	"testing"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/preflight"
)

func TestAppArmor(t *testing.T) {
	with := map[string]bool{"docker-sd-sandbox": true, "mine": true}
	for name, c := range map[string]struct {
		in    preflight.Confinement
		want  preflight.Verdict
		found string
	}{
		"ours":              {preflight.Confinement{Engine: true, Seen: true, Profiles: with, Setting: "auto"}, preflight.OK, "under docker-sd-sandbox"},
		"not loaded":        {preflight.Confinement{Engine: true, Seen: true, Setting: "auto"}, preflight.Warn, "unconfined"},
		"no AppArmor":       {preflight.Confinement{Setting: "auto"}, preflight.OK, "not used"},
		"no AppArmor named": {preflight.Confinement{Setting: "mine"}, preflight.Warn, "unconfined"},
		"named":             {preflight.Confinement{Engine: true, Seen: true, Profiles: with, Setting: "mine"}, preflight.OK, "under mine"},
		"named, not there":  {preflight.Confinement{Engine: true, Seen: true, Profiles: with, Setting: "other"}, preflight.Fail, "no sandbox starts"},
		"not seen":          {preflight.Confinement{Engine: true, Setting: "auto"}, preflight.Warn, "cannot be seen"},
		"not seen, named":   {preflight.Confinement{Engine: true, Setting: "mine"}, preflight.OK, "under mine, if"},
		"unconfined":        {preflight.Confinement{Engine: true, Seen: true, Profiles: with, Setting: "unconfined"}, preflight.Warn, "unconfined"},
		"privileged":        {preflight.Confinement{Engine: true, Seen: true, Profiles: with, Setting: "auto", Privileged: true}, preflight.Warn, "privileged"},
	} {
		c.in.Ours = "docker-sd-sandbox"
		if got := preflight.AppArmor(c.in); got.Verdict != c.want || !strings.Contains(got.Found, c.found) {
			t.Errorf("%s: %+v, want %v and %q", name, got, c.want, c.found)
		}
	}
}

// TestPodProfiles: profiles that pods may have and the kernel does not.
func TestPodProfiles(t *testing.T) {
	for name, c := range map[string]struct {
		allowed  []string
		loaded   map[string]bool
		possible bool
		want     preflight.Verdict
		found    string
	}{
		"loaded":      {[]string{"k8s-*", "one"}, map[string]bool{"one": true, "k8s-a": true}, true, preflight.OK, "loaded for pods: k8s-a, one"},
		"one missing": {[]string{"k8s-*", "one"}, map[string]bool{"k8s-a": true}, true, preflight.Warn, "does not have one"},
		"none":        {[]string{"k8s-*"}, nil, true, preflight.Warn, "the AppArmor namespace ns has no profiles"},
		"no AppArmor": {[]string{"k8s-*"}, nil, false, preflight.Warn, "pods cannot have"},
	} {
		if got := preflight.PodProfiles(c.allowed, c.loaded, "ns", c.possible); got.Verdict != c.want || !strings.Contains(got.Found, c.found) {
			t.Errorf("%s: %+v, want %v and %q", name, got, c.want, c.found)
		}
	}
}
