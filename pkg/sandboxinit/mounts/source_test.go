package mounts

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/initapi"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/inittest"
)

func rootsOf(paths ...string) []initapi.Root {
	var out []initapi.Root
	for _, path := range paths {
		out = append(out, initapi.Root{Path: path})
	}
	return out
}

// descriptors counts those that the process has open.
func descriptors(t testing.TB) int {
	t.Helper()
	return len(inittest.Entries(t, "/proc/self/fd"))
}

// wantOpened opens a source and compares what was opened with what a path of the test
// names.
func wantOpened(t *testing.T, s initapi.Source, want string) {
	t.Helper()
	before := descriptors(t)
	got, err := openSource(s)
	if err != nil {
		t.Errorf("openSource() = %v, want %s", err, want)
		return
	}
	if now := descriptors(t); now != before+1 {
		t.Errorf("%d descriptors more after it was opened, want 1", now-before)
	}
	var stat unix.Stat_t
	if err := unix.Fstat(got.fd, &stat); err != nil {
		t.Fatal(err)
	}
	got.close()
	var there unix.Stat_t
	if err := unix.Lstat(want, &there); err != nil {
		t.Fatal(err)
	}
	if stat.Dev != there.Dev || stat.Ino != there.Ino || got.mode != there.Mode {
		t.Errorf("opened %s of mode %o, want %s of mode %o", got.name, got.mode, want, there.Mode)
	}
	if now := descriptors(t); now != before {
		t.Errorf("%d descriptors are left open", now-before)
	}
}

// wantRefused opens a source that must be refused, in words for the pod's user.
func wantRefused(t *testing.T, s initapi.Source, kind initapi.Kind, words string) {
	t.Helper()
	before := descriptors(t)
	got, err := openSource(s)
	if err == nil {
		t.Errorf("opened %s, want a refusal", got.name)
		got.close()
		return
	}
	var known *initapi.Error
	if !errors.As(err, &known) || known.Kind != kind || !strings.Contains(known.Message, words) {
		t.Errorf("openSource() = %#v (%v), want one of kind %s with %q", err, err, kind, words)
	}
	if now := descriptors(t); now != before {
		t.Errorf("%d descriptors are left open", now-before)
	}
}

// maskless runs a test with a umask that would reduce the modes of what is made.
func maskless(t *testing.T) {
	t.Helper()
	old := unix.Umask(0o077)
	t.Cleanup(func() { unix.Umask(old) })
}

const (
	isDir  = unix.S_IFDIR
	isFile = unix.S_IFREG
)

func TestOpenTypes(t *testing.T) {
	allowed := t.TempDir()
	inittest.Folder(t, allowed, "dir")
	inittest.Put(t, filepath.Join(allowed, "file"), "x")
	listener, err := net.Listen("unix", filepath.Join(allowed, "sock"))
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	maskless(t)
	for _, tt := range []struct {
		path, kind string
		mode       uint32 // of what is opened; 0 is a refusal
		words      string
	}{
		{"dir", "", isDir | 0o755, ""},
		{"file", "", isFile | 0o600, ""},
		{"made/unset", "", isDir | 0o755, ""},
		{"dir", "Directory", isDir | 0o755, ""},
		{"file", "Directory", 0, "is not what type Directory asks for"},
		{"none", "Directory", 0, "does not exist on this node, and type Directory asks for it"},
		{"made/deep/dir", "DirectoryOrCreate", isDir | 0o755, ""},
		{"file", "DirectoryOrCreate", 0, "is not what type DirectoryOrCreate asks for"},
		{"file", "File", isFile | 0o600, ""},
		{"dir", "File", 0, "is not what type File asks for"},
		{"none", "File", 0, "does not exist on this node, and type File asks for it"},
		{"made/file", "FileOrCreate", isFile | 0o644, ""},
		{"file", "FileOrCreate", isFile | 0o600, ""},
		{"dir", "FileOrCreate", 0, "is not what type FileOrCreate asks for"},
		{"none/file", "FileOrCreate", 0, "lies in a folder that does not exist"},
		{"sock", "Socket", unix.S_IFSOCK | 0o755, ""},
		{"file", "Socket", 0, "is not what type Socket asks for"},
		{"none", "Socket", 0, "does not exist"},
		{"/dev/null", "CharDevice", unix.S_IFCHR | 0o666, ""},
		{"file", "CharDevice", 0, "is not what type CharDevice asks for"},
		{"/dev/null", "BlockDevice", 0, "is not what type BlockDevice asks for"},
		{"none", "BlockDevice", 0, "does not exist"},
		{"file/below", "", 0, "leads through a file"},
		{"file/below", "FileOrCreate", 0, "leads through a file"},
	} {
		t.Run(tt.kind+" "+tt.path, func(t *testing.T) {
			s := initapi.Source{Roots: rootsOf(allowed, "/dev/null"), Path: tt.path, Type: tt.kind}
			want := filepath.Join(allowed, tt.path)
			if filepath.IsAbs(tt.path) {
				s.Roots, s.Path, want = rootsOf(tt.path, allowed), ".", tt.path
			}
			if tt.mode == 0 {
				wantRefused(t, s, initapi.KindMissing, tt.words)
				return
			}
			wantOpened(t, s, want)
			var stat unix.Stat_t
			if err := unix.Stat(want, &stat); err != nil || stat.Mode != tt.mode {
				t.Errorf("mode %o, %v, want %o", stat.Mode, err, tt.mode)
			}
		})
	}
	for _, name := range []string{"none", "file/below"} {
		if _, err := os.Lstat(filepath.Join(allowed, name)); err == nil {
			t.Errorf("%s was made", name)
		}
	}
}

// TestOpenAsItIs: a volume in the pod's folder that is gone is not made.
func TestOpenAsItIs(t *testing.T) {
	root := t.TempDir()
	for _, sub := range []string{"", "sub"} {
		s := initapi.Source{Roots: rootsOf(root), Path: "emptyDirs/e", NoCreate: true, SubPath: sub}
		wantRefused(t, s, initapi.KindMissing, "does not exist")
		if got := inittest.Entries(t, root); len(got) > 0 {
			t.Errorf("made %q", got)
		}
	}
	wantRefused(t, initapi.Source{Path: "x"}, initapi.KindInvalid, "no root")
}

// TestOpenLinks of host paths: base has the folders allowed, other and outside, of
// which the first two are roots.
func TestOpenLinks(t *testing.T) {
	for name, tt := range map[string]struct {
		setup func(t *testing.T, base string)
		path  string
		want  string // below base; "" is a refusal
		kind  initapi.Kind
		words string
	}{
		"escape": {func(t *testing.T, b string) { inittest.Link(t, b+"/outside", b+"/allowed/l") },
			"l", "", initapi.KindOutside, "leads outside the host paths that this node allows"},
		"escape by a parent": {func(t *testing.T, b string) { inittest.Link(t, b+"/outside", b+"/allowed/l") },
			"l/new", "", initapi.KindOutside, "leads outside"},
		"escape to the root": {func(t *testing.T, b string) { inittest.Link(t, "/", b+"/allowed/l") },
			"l/etc", "", initapi.KindOutside, "leads outside"},
		"escape by a relative link": {func(t *testing.T, b string) { inittest.Link(t, "..", b+"/allowed/l") },
			"l", "", initapi.KindOutside, "leads outside"},
		"escape by a long relative link": {func(t *testing.T, b string) { inittest.Link(t, strings.Repeat("../", 60)+"etc", b+"/allowed/l") },
			"l", "", initapi.KindOutside, "leads outside"},
		"escape to a name that begins as the root's": {func(t *testing.T, b string) {
			inittest.Folder(t, b, "allowed2")
			inittest.Link(t, b+"/allowed2", b+"/allowed/l")
		}, "l", "", initapi.KindOutside, "leads outside"},
		"escape behind a link inside": {func(t *testing.T, b string) {
			inittest.Folder(t, b, "allowed/d")
			inittest.Link(t, "d", b+"/allowed/l")
			inittest.Link(t, b+"/outside", b+"/allowed/d/m")
		}, "l/m", "", initapi.KindOutside, "leads outside"},
		"dangling, outside": {func(t *testing.T, b string) { inittest.Link(t, b+"/outside/none", b+"/allowed/l") },
			"l/new", "", initapi.KindOutside, "leads outside"},
		"dangling": {func(t *testing.T, b string) { inittest.Link(t, "none", b+"/allowed/l") },
			"l", "", initapi.KindMissing, "symbolic link that leads nowhere"},
		"dangling, deep": {func(t *testing.T, b string) { inittest.Link(t, "none/none", b+"/allowed/l") },
			"l/new", "", initapi.KindMissing, "symbolic link that leads nowhere"},
		"dangling, absolute": {func(t *testing.T, b string) { inittest.Link(t, b+"/allowed/none", b+"/allowed/l") },
			"l/new", "", initapi.KindMissing, "symbolic link that leads nowhere"},
		"dangling, with a slash": {func(t *testing.T, b string) { inittest.Link(t, "none/", b+"/allowed/l") },
			"l/", "", initapi.KindMissing, "symbolic link that leads nowhere"},
		"back from what is not there": {func(t *testing.T, b string) { inittest.Link(t, "none/../x", b+"/allowed/l") },
			"l", "", initapi.KindMissing, "leads nowhere"},
		"loop": {func(t *testing.T, b string) { inittest.Link(t, "l", b+"/allowed/l") },
			"l", "", initapi.KindInvalid, "too many symbolic links"},
		"loop of two": {func(t *testing.T, b string) {
			inittest.Link(t, "m", b+"/allowed/l")
			inittest.Link(t, b+"/allowed/l", b+"/allowed/m")
		},
			"l", "", initapi.KindInvalid, "too many symbolic links"},
		"inside, absolute": {func(t *testing.T, b string) {
			inittest.Folder(t, b, "allowed/v1")
			inittest.Link(t, b+"/allowed/v1", b+"/allowed/l")
		},
			"l/new", "allowed/v1/new", "", ""},
		"inside, by another name of the root": {func(t *testing.T, b string) {
			inittest.Folder(t, b, "allowed/v1")
			inittest.Link(t, "/real/allowed/v1", b+"/allowed/l")
		}, "l/new", "allowed/v1/new", "", ""},
		"to the root": {func(t *testing.T, b string) { inittest.Link(t, b+"/allowed", b+"/allowed/l") }, "l", "allowed", "", ""},
		"to the root, unclean": {func(t *testing.T, b string) { inittest.Link(t, b+"//allowed/./x/../", b+"/allowed/l") },
			"l", "allowed", "", ""},
		"into another root": {func(t *testing.T, b string) { inittest.Link(t, b+"/other", b+"/allowed/l") },
			"l/new", "other/new", "", ""},
		"into another root by its other name": {func(t *testing.T, b string) {
			inittest.Link(t, "/real/other/d", b+"/allowed/l")
			inittest.Folder(t, b, "other/d")
		},
			"l", "other/d", "", ""},
		"into another root, relative": {func(t *testing.T, b string) {
			inittest.Link(t, "../../other", b+"/allowed/d/l")
			inittest.Folder(t, b, "other/x")
		},
			"d/l/x", "other/x", "", ""},
		"out of the root and back": {func(t *testing.T, b string) { inittest.Link(t, "../allowed/d", b+"/allowed/l") },
			"l", "allowed/d", "", ""},
		"to and fro": {func(t *testing.T, b string) {
			inittest.Link(t, b+"/other/m", b+"/allowed/l")
			inittest.Link(t, "../allowed/d", b+"/other/m")
		}, "l/new", "allowed/d/new", "", ""},
		"out of another root": {func(t *testing.T, b string) {
			inittest.Link(t, b+"/other/m", b+"/allowed/l")
			inittest.Link(t, "../outside", b+"/other/m")
		},
			"l", "", initapi.KindOutside, "leads outside"},
		"back from a link goes to what it led to": {func(t *testing.T, b string) {
			inittest.Put(t, b+"/allowed/d/e/f", "")
			inittest.Folder(t, b, "allowed/f")
			inittest.Link(t, "d/e", b+"/allowed/m")
			inittest.Link(t, "m/../e/f", b+"/allowed/l")
		}, "l", "allowed/d/e/f", "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			base := t.TempDir()
			inittest.Folder(t, base, "allowed/d")
			inittest.Folder(t, base, "other")
			inittest.Folder(t, base, "outside")
			tt.setup(t, base)
			s := initapi.Source{Path: tt.path, Type: "DirectoryOrCreate", Roots: []initapi.Root{
				{Path: base + "/allowed", Names: []string{"/real/allowed"}}, {Path: base + "/other", Names: []string{"/real/other"}}}}
			if strings.HasSuffix(tt.want, "/f") {
				s.Type = ""
			}
			if tt.want == "" {
				wantRefused(t, s, tt.kind, tt.words)
			} else if open, err := openSource(s); err != nil {
				t.Fatal(err)
			} else {
				open.close()
				wantOpened(t, s, filepath.Join(base, tt.want))
			}
			if made := inittest.Entries(t, base+"/outside"); len(made) > 0 {
				t.Errorf("made %q outside", made)
			}
		})
	}
}

// TestOpenRoot that is a link: its name is the operator's and may be.
func TestOpenRoot(t *testing.T) {
	base := t.TempDir()
	inittest.Folder(t, base, "real/d")
	inittest.Link(t, "real", base+"/prefix")
	roots := []initapi.Root{{Path: base + "/prefix", Names: []string{base + "/real"}}}
	wantRefused(t, initapi.Source{Roots: roots, Path: "d", SubPath: "no/../x"}, initapi.KindMissing, "goes back")
	s := initapi.Source{Roots: roots, Path: "d", Type: "Directory", SubPath: "sub"}
	if file, err := openSource(s); err != nil {
		t.Fatal(err)
	} else {
		file.close()
	}
	wantOpened(t, s, base+"/real/d/sub")
	inittest.Link(t, base+"/real/d", base+"/real/l")
	wantOpened(t, initapi.Source{Roots: roots, Path: "l", Type: "Directory"}, base+"/real/d")
	// A prefix, or a claim, that is not there, or is no folder.
	inittest.Put(t, base+"/file", "")
	wantRefused(t, initapi.Source{Roots: rootsOf(base + "/none"), Type: "Directory"}, initapi.KindMissing, "was not on this node")
	wantRefused(t, initapi.Source{Roots: rootsOf(base + "/file"), Type: "Directory"}, initapi.KindMissing, "is not what type Directory asks for")
}

// TestOpenTurned: what is there when it is opened counts.
func TestOpenTurned(t *testing.T) {
	base := t.TempDir()
	inittest.Folder(t, base, "allowed/d")
	inittest.Folder(t, base, "outside")
	s := initapi.Source{Roots: rootsOf(base + "/allowed"), Path: "d", Type: "Directory"}
	wantOpened(t, s, base+"/allowed/d")
	if err := os.Remove(base + "/allowed/d"); err != nil {
		t.Fatal(err)
	}
	wantRefused(t, s, initapi.KindMissing, "does not exist")
	inittest.Link(t, base+"/outside", base+"/allowed/d")
	wantRefused(t, s, initapi.KindOutside, "leads outside")
}

func identify(t *testing.T, path string) initapi.Identity {
	t.Helper()
	var stat unix.Stat_t
	if err := unix.Stat(path, &stat); err != nil {
		t.Fatal(err)
	}
	return initapi.Identity{Device: stat.Dev, Inode: stat.Ino}
}

// TestOpenPrivate: neither the folder with the pods' data nor what holds it, by
// whatever name, and not by a subPath either.
func TestOpenPrivate(t *testing.T) {
	base := t.TempDir()
	inittest.Folder(t, base, "up/data/other/secrets")
	inittest.Folder(t, base, "up/beside")
	inittest.Link(t, "up/data", base+"/l")
	inittest.Link(t, base+"/up", base+"/m")
	private := []initapi.Identity{identify(t, "/"), identify(t, base), identify(t, base+"/up"), identify(t, base+"/up/data")}
	for _, tt := range []struct {
		root, path, sub string
		refused         bool
	}{
		{"", ".", "", true},
		{"", "up", "", true},
		{"", "up/data", "", true},
		{"", "up/data/other/secrets", "", true},
		{"", "up/data/new", "", true},
		{"", "l", "", true},
		{"", "l/other", "", true},
		{"", "m", "", true},
		{"up", ".", "", true},
		{"up", "beside", "", false},
		{"", "up/beside", "", false},
		{"", "m/beside", "", false},
		{"", "up/beside", "../data", true},
		// The volume itself must not show it, whatever is mounted of it.
		{"", "up", "beside", true},
	} {
		t.Run(fmt.Sprintf("%s %s %s", tt.root, tt.path, tt.sub), func(t *testing.T) {
			s := initapi.Source{Roots: rootsOf(filepath.Join(base, tt.root)), Path: tt.path, SubPath: tt.sub, Private: private}
			if !tt.refused {
				wantOpened(t, s, base+"/up/beside")
				return
			}
			words := "holds this node's own data on pods"
			if strings.HasPrefix(tt.sub, "..") {
				words = "leads outside the volume"
			}
			wantRefused(t, s, initapi.KindOutside, words)
		})
	}
	if got := inittest.Entries(t, base+"/up/data"); len(got) != 1 {
		t.Errorf("made %q in the private folder", got)
	}
}
