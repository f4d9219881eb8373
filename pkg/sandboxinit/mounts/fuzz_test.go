package mounts

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/initapi"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/inittest"
)

// FuzzSource walks anything, over a link that leads anywhere: nothing outside the roots
// is opened, or made, and no descriptor is left.
func FuzzSource(f *testing.F) {
	for _, seed := range []struct{ path, sub, kind, target string }{
		{"d", "", "", "d"}, {"l", "x/y", "DirectoryOrCreate", "../other"}, {"l/new", "", "FileOrCreate", "/"}, {"d/l", "l", "Directory", "../../outside"},
		{"l", "", "", "l"}, {"l/../x", "..", "", "none/../.."}, {"./d//f", "", "File", "BASE/outside"}, {"l", "l", "", "BASE/allowed/d"},
		{"l/d", "", "", "../allowed"}, {"d", "l/l", "", "/proc/self/root"}, {"private", "", "", "BASE/allowed/private"}, {"l", "", "", "BASE/other/back"},
	} {
		f.Add(seed.path, seed.sub, seed.kind, seed.target)
	}
	f.Fuzz(func(t *testing.T, path, sub, kind, target string) {
		base, err := filepath.EvalSymlinks(t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		target = strings.ReplaceAll(target, "BASE", base)
		for _, dir := range []string{"allowed/d", "allowed/private", "other", "outside"} {
			inittest.Folder(t, base, dir)
		}
		inittest.Put(t, base+"/allowed/d/f", "")
		inittest.Link(t, "../allowed", base+"/other/back")
		for _, at := range []string{"allowed/l", "allowed/d/l"} {
			if os.Symlink(target, filepath.Join(base, at)) != nil {
				return // no target of a link
			}
		}
		s := initapi.Source{Roots: rootsOf(base+"/allowed", base+"/other"), Path: path, SubPath: sub, Type: kind,
			Private: []initapi.Identity{identify(t, base), identify(t, base+"/allowed"), identify(t, base+"/allowed/private")}}
		before := descriptors(t)
		if file, err := openSource(s); err == nil {
			name, err := os.Readlink("/proc/self/fd/" + strconv.Itoa(file.fd))
			file.close()
			inside := slices.ContainsFunc(s.Roots, func(r initapi.Root) bool { _, in := below(r.Path, name); return in })
			_, private := below(base+"/allowed/private", name)
			if err != nil || !inside || private || name == base+"/allowed" {
				t.Errorf("opened %s, %v, by %+v and a link to %s", name, err, s, target)
			}
		}
		if now := descriptors(t); now != before {
			t.Errorf("%d descriptors are left open by %+v and a link to %s", now-before, s, target)
		}
		for dir, want := range map[string]int{"": 3, "outside": 0, "allowed/private": 0} {
			if got := inittest.Entries(t, filepath.Join(base, dir)); len(got) != want {
				t.Errorf("%q holds %q after %+v and a link to %s", dir, got, s, target)
			}
		}
	})
}
