package mounts

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/initapi"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/inittest"
	"golang.org/x/sys/unix"
)

// TestOpenSubPath in a volume of the pod's folder, whose name in the sandbox is also
// what absolute links in it may use.
func TestOpenSubPath(t *testing.T) {
	outside := t.TempDir()
	inittest.Put(t, filepath.Join(outside, "secret"), "s")
	for name, tt := range map[string]struct {
		setup   func(t *testing.T, volume string)
		subPath string
		want    string // below the volume; "" is a refusal
		kind    initapi.Kind
	}{
		"missing folders": {func(*testing.T, string) {}, "a/b", "a/b", ""},
		"unclean":         {func(*testing.T, string) {}, "a//./b/", "a/b", ""},
		"existing file":   {func(t *testing.T, v string) { inittest.Put(t, v+"/f", "x") }, "f", "f", ""},
		"link inside":     {func(t *testing.T, v string) { inittest.Folder(t, v, "real/sub"); inittest.Link(t, "real", v+"/l") }, "l/sub", "real/sub", ""},
		"link up and down": {func(t *testing.T, v string) { inittest.Folder(t, v, "a/b"); inittest.Link(t, "../a/b", v+"/a/l") },
			"a/l/new", "a/b/new", ""},
		"link out of the volume and back": {func(t *testing.T, v string) { inittest.Folder(t, v, "a"); inittest.Link(t, "../e/a", v+"/l") }, "l", "a", ""},
		"absolute link inside":            {func(t *testing.T, v string) { inittest.Folder(t, v, "a"); inittest.Link(t, v+"/a", v+"/l") }, "l", "a", ""},
		"absolute link from below":        {func(t *testing.T, v string) { inittest.Folder(t, v, "a/b/c"); inittest.Link(t, v+"/a", v+"/a/b/c/l") }, "a/b/c/l/b", "a/b", ""},
		"link to the volume":              {func(t *testing.T, v string) { inittest.Link(t, ".", v+"/l") }, "l", ".", ""},
		"absolute link to the volume":     {func(t *testing.T, v string) { inittest.Link(t, v, v+"/l") }, "l", ".", ""},
		"absolute link outside":           {func(t *testing.T, v string) { inittest.Link(t, outside, v+"/l") }, "l/secret", "", initapi.KindOutside},
		"absolute link beside":            {func(t *testing.T, v string) { inittest.Folder(t, v+"2"); inittest.Link(t, v+"2", v+"/l") }, "l", "", initapi.KindOutside},
		"relative link outside":           {func(t *testing.T, v string) { inittest.Link(t, "../../..", v+"/l") }, "l", "", initapi.KindOutside},
		"dangling link outside":           {func(t *testing.T, v string) { inittest.Link(t, "none/../../x", v+"/l") }, "l", "", initapi.KindMissing},
		"dangling link":                   {func(t *testing.T, v string) { inittest.Link(t, "none", v+"/l") }, "l", "", initapi.KindMissing},
		"loop":                            {func(t *testing.T, v string) { inittest.Link(t, "l", v+"/l") }, "l", "", initapi.KindInvalid},
		"below a file":                    {func(t *testing.T, v string) { inittest.Put(t, v+"/f", "x") }, "f/x", "", initapi.KindMissing},
		"a backstep":                      {func(*testing.T, string) {}, "../x", "", initapi.KindOutside},
	} {
		t.Run(name, func(t *testing.T) {
			root := t.TempDir()
			volume := inittest.Folder(t, root, "emptyDirs/e")
			if err := os.Chmod(volume, 0o777); err != nil {
				t.Fatal(err)
			}
			tt.setup(t, volume)
			s := initapi.Source{Roots: rootsOf(root), Path: "emptyDirs/e", NoCreate: true, SubPath: tt.subPath}
			if tt.want == "" {
				wantRefused(t, s, tt.kind, "")
				return
			}
			file, err := openSource(s)
			if err != nil {
				t.Fatal(err)
			}
			file.close()
			wantOpened(t, s, filepath.Join(volume, tt.want))
		})
	}

	root := t.TempDir()
	inittest.Put(t, root+"/f", "")
	wantRefused(t, initapi.Source{Roots: rootsOf(root), Path: "f", SubPath: "x"}, initapi.KindMissing, "the volume is a file")
}

// TestSubPathModes: the folder that a subPath names has all of the mode of the volume's
// own, whatever the umask; those on the way to it have what kubelet leaves of that.
func TestSubPathModes(t *testing.T) {
	maskless(t)
	for mode, way := range map[uint32]uint32{0o777: 0o755, 0o750: 0o750, 0o1777: 0o755, 0o2770: 0o2750, 0o3777: 0o2755} {
		t.Run(fmt.Sprintf("%o", mode), func(t *testing.T) {
			volume := t.TempDir()
			if err := unix.Chmod(volume, mode); err != nil {
				t.Fatal(err)
			}
			s := initapi.Source{Roots: rootsOf(volume), SubPath: "a/b"}
			file, err := openSource(s)
			if err != nil {
				t.Fatal(err)
			}
			file.close()
			for made, want := range map[string]uint32{"a": way, "a/b": mode} {
				var stat unix.Stat_t
				if err := unix.Stat(filepath.Join(volume, made), &stat); err != nil || stat.Mode != isDir|want {
					t.Errorf("%s has mode %o, %v, want %o", made, stat.Mode, err, isDir|want)
				}
			}
		})
	}
}
