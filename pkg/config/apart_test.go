package config_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/config"
)

func TestCheckApart(t *testing.T) {
	base := t.TempDir()
	for _, dir := range []string{"engine/overlay2", "engine2", "shared", "data"} {
		if err := os.MkdirAll(filepath.Join(base, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(filepath.Join(base, "engine"), filepath.Join(base, "link")); err != nil {
		t.Fatal(err)
	}
	in := func(path string) string { return filepath.Join(base, path) }
	for name, c := range map[string]struct{ path, want string }{
		"beside":                      {in("shared"), ""},
		"beside, of a similar name":   {in("engine2"), ""},
		"not there yet":               {in("shared/none/yet"), ""},
		"the data root":               {in("engine"), "the engine's data"},
		"in the data root":            {in("engine/overlay2"), "the engine's data"},
		"in it, not there yet":        {in("engine/none/yet"), "the engine's data"},
		"above it":                    {base, "docker-sd's own data"},
		"a link to it":                {in("link"), "the engine's data"},
		"through a link":              {in("link/overlay2"), "the engine's data"},
		"with the engine's socket":    {"/var/run", "socket"},
		"by another name":             {"/run", "socket"},
		"the engine's socket itself":  {"/var/run/docker.sock", "socket"},
		"docker-sd's own data, above": {in("data"), "docker-sd's own data"},
		"its own socket":              {in("shared/sockets"), "docker-sd's own socket"},
		"its token":                   {in("shared/token"), "a secret"},
		"interLink's API's socket":    {in("shared/interlink"), "docker-sd's own socket"},
		"interLink's API's key":       {in("shared/key"), "a secret"},
		"a runtime's program":         {in("shared/bin"), "a program that runs containers"},
		"a registry's authority":      {in("shared/registry.pem"), "certificates that registries"},
		"the pods' authorities":       {in("shared/site.pem"), "certificates that pods trust"},
		"kernel settings":             {"/proc/sys", "kernel"},
		"devices of the kernel":       {"/sys/class", "kernel"},
	} {
		t.Run(name, func(t *testing.T) {
			settings := config.Default()
			settings.DataRootFolder = in("data/docker-sd")
			settings.Socket = "unix://" + in("shared/sockets/api.sock")
			settings.Access.TokenFile = in("shared/token")
			settings.InterlinkAPI = config.InterlinkAPI{Address: "unix://" + in("shared/interlink/api.sock"), Callers: config.Callers{KeyFile: in("shared/key")}}
			settings.RuntimeClasses = config.RuntimeClasses{"crun": {Runtime: "crun", Path: in("shared/bin/crun")}}
			settings.Registries = []config.Registry{{Name: "r.example", CAFile: in("shared/registry.pem")}}
			settings.PodDefaults.CACertificates = in("shared/site.pem")
			places := append(settings.Places(), config.Place{Path: in("engine"), What: "the engine's data"})
			if c.path == in("shared") {
				settings.Socket, settings.Access.TokenFile, settings.RuntimeClasses, settings.InterlinkAPI = "", "", nil, config.InterlinkAPI{}
				settings.Registries, settings.PodDefaults.CACertificates = nil, ""
				places = append(settings.Places(), config.Place{Path: in("engine"), What: "the engine's data"})
			}
			for key, set := range map[string]func(){
				"HostPathPrefixes":                func() { settings.HostPathPrefixes = []string{c.path} },
				"PersistentVolumeClaims.training": func() { settings.PersistentVolumeClaims = map[string]string{"training": c.path} },
				"PersistentVolumeRoot":            func() { settings.Storage.Root = c.path },
			} {
				settings.HostPathPrefixes, settings.PersistentVolumeClaims, settings.Storage.Root = nil, nil, ""
				set()
				err := settings.CheckApart(places)
				if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), key)) {
					t.Errorf("CheckApart() = %v, want words on %q", err, c.want)
				}
			}
		})
	}
}
