package podfiles_test

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/podfiles"
)

// file is an entry of an archive with the content "new", folder and link others.
func file(name string) tar.Header {
	return tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o644, Size: 3}
}

func folder(name string) tar.Header {
	return tar.Header{Typeflag: tar.TypeDir, Name: name, Mode: 0o755}
}

func link(kind byte, name, target string) tar.Header {
	return tar.Header{Typeflag: kind, Name: name, Linkname: target, Mode: 0o777}
}

// archive of entries.
func archive(t *testing.T, entries ...tar.Header) []byte {
	t.Helper()
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for _, h := range entries {
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if h.Size > 0 {
			if _, err := io.WriteString(w, "new"); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// careless extracts as if an archive were to be trusted: what succeeds here and not by
// Extract is an attack.
func careless(t *testing.T, dst string, stream []byte) {
	t.Helper()
	r := tar.NewReader(bytes.NewReader(stream))
	for {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		_, below, _ := strings.Cut(h.Name, "/")
		at := filepath.Join(dst, below)
		if filepath.IsAbs(h.Name) {
			at = h.Name
		}
		target := h.Linkname
		if _, below, found := strings.Cut(target, "/"); found && h.Typeflag == tar.TypeLink && !filepath.IsAbs(target) {
			target = filepath.Join(dst, below)
		}
		switch h.Typeflag {
		case tar.TypeDir:
			_ = os.MkdirAll(at, 0o755)
		case tar.TypeSymlink:
			_ = os.Symlink(target, at)
		case tar.TypeLink:
			_ = os.Link(target, at)
		default:
			_ = os.MkdirAll(filepath.Dir(at), 0o755)
			if text, err := io.ReadAll(r); err == nil {
				_ = os.WriteFile(at, text, 0o644)
			}
		}
	}
}

// TestHostile: an archive changes nothing outside of the folder that it is extracted to.
// Each attempt succeeds where archives are trusted.
func TestHostile(t *testing.T) {
	for name, attack := range map[string]func(outside string) []tar.Header{
		"name with dots":       func(string) []tar.Header { return []tar.Header{folder("top"), file("top/../secret")} },
		"name with dots, deep": func(string) []tar.Header { return []tar.Header{folder("top"), file("top/a/../../secret")} },
		"absolute name":        func(o string) []tar.Header { return []tar.Header{folder("top"), file(o + "/secret")} },
		"through an absolute link": func(o string) []tar.Header {
			return []tar.Header{folder("top"), link(tar.TypeSymlink, "top/a", o), file("top/a/secret")}
		},
		"through a relative link": func(string) []tar.Header {
			return []tar.Header{folder("top"), link(tar.TypeSymlink, "top/a", ".."), file("top/a/secret")}
		},
		"onto a link": func(o string) []tar.Header {
			return []tar.Header{folder("top"), link(tar.TypeSymlink, "top/a", o+"/secret"), file("top/a")}
		},
		"through links that are harmless each": func(string) []tar.Header {
			return []tar.Header{folder("top"), folder("top/d"), link(tar.TypeSymlink, "top/d/up", "../"),
				link(tar.TypeSymlink, "top/d/a", "up/.."), file("top/d/a/secret")}
		},
		"through a folder that is a link": func(string) []tar.Header {
			return []tar.Header{folder("top"), folder("top/x"), link(tar.TypeSymlink, "top/x/s", ".."),
				link(tar.TypeSymlink, "top/x/s/a", "../"), file("top/a/secret")}
		},
		"another name of a file": func(o string) []tar.Header {
			return []tar.Header{folder("top"), link(tar.TypeLink, "top/a", o+"/secret"), file("top/a")}
		},
		"another name of a file, by dots": func(string) []tar.Header {
			return []tar.Header{folder("top"), link(tar.TypeLink, "top/a", "top/../secret"), file("top/a")}
		},
	} {
		t.Run(name, func(t *testing.T) {
			for _, c := range []struct {
				how     string
				extract func(string, []byte)
				want    string
			}{
				{"trusted", func(dst string, stream []byte) { careless(t, dst, stream) }, "new"},
				{"by Extract", func(dst string, stream []byte) {
					root, err := os.OpenRoot(dst)
					if err != nil {
						t.Fatal(err)
					}
					defer root.Close()
					_ = podfiles.Extract(root, ".", bytes.NewReader(stream), func(string) {})
				}, "old"},
			} {
				// Between the two, so that all dots lead to the outside.
				outside := t.TempDir()
				dst := filepath.Join(outside, "dst")
				secret := filepath.Join(outside, "secret")
				for _, path := range []string{secret} {
					if err := os.WriteFile(path, []byte("old"), 0o600); err != nil {
						t.Fatal(err)
					}
				}
				if err := os.Mkdir(dst, 0o755); err != nil {
					t.Fatal(err)
				}
				c.extract(dst, archive(t, attack(outside)...))
				text, err := os.ReadFile(secret)
				if err != nil || string(text) != c.want {
					t.Errorf("%s: the file outside is %q, %v, want %q", c.how, text, err, c.want)
				}
				if entries, _ := os.ReadDir(outside); len(entries) != 2 {
					t.Errorf("%s: outside there are %v", c.how, entries)
				}
				if c.want == "old" {
					wantNoWayOut(t, dst)
				}
			}
		})
	}
}

// wantNoWayOut fails for a link that leads out of a folder, for who comes later.
func wantNoWayOut(t *testing.T, dst string) {
	t.Helper()
	err := filepath.WalkDir(dst, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.Type()&fs.ModeSymlink == 0 {
			return err
		}
		to, err := filepath.EvalSymlinks(path)
		if err == nil && to != dst && !strings.HasPrefix(to, dst+"/") {
			t.Errorf("%s leads to %s", path, to)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

// TestHostileBesideTheTree: a folder that is copied into one of the caller's changes nothing
// beside it, and links that are there already are not followed.
func TestHostileBesideTheTree(t *testing.T) {
	dst := t.TempDir()
	if err := errors.Join(os.WriteFile(filepath.Join(dst, "mine"), []byte("old"), 0o600), os.Symlink("../mine", filepath.Join(dst, "x")),
		os.Mkdir(filepath.Join(dst, "top"), 0o755), os.Symlink("../mine", filepath.Join(dst, "top/link"))); err != nil {
		t.Fatal(err)
	}
	root, err := os.OpenRoot(dst)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	for _, entries := range [][]tar.Header{
		{folder("top"), file("other/mine")},
		{folder("top"), link(tar.TypeSymlink, "top/up", ".."), file("top/up/mine")},
		{folder("top"), file("top/../mine")},
		{folder("top"), file("top/link")},
	} {
		_ = podfiles.Extract(root, "top", bytes.NewReader(archive(t, entries...)), func(string) {})
		if text, err := os.ReadFile(filepath.Join(dst, "mine")); err != nil || string(text) != "old" {
			t.Errorf("after %v the file beside the tree is %q, %v", entries, text, err)
		}
	}
	if info, err := os.Lstat(filepath.Join(dst, "top/link")); err != nil || !info.Mode().IsRegular() {
		t.Errorf("the link is %v, %v, want the file that took its place", info, err)
	}
}

// TestRights: no set-user-ID bit comes along, nor a device.
func TestRights(t *testing.T) {
	dst := t.TempDir()
	root, err := os.OpenRoot(dst)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	program := file("top/program")
	program.Mode = 0o6755
	var told []string
	err = podfiles.Extract(root, "top", bytes.NewReader(archive(t, folder("top"), program,
		tar.Header{Typeflag: tar.TypeBlock, Name: "top/disk", Mode: 0o666, Devmajor: 8}, tar.Header{Typeflag: tar.TypeFifo, Name: "top/pipe", Mode: 0o666},
		link(tar.TypeSymlink, "top/away", "/etc/passwd"), link(tar.TypeSymlink, "top/near", "program"))), func(text string) { told = append(told, text) })
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(filepath.Join(dst, "top/near"))
	if err != nil || info.Mode() != 0o755 {
		t.Errorf("the program is %v, %v, want no more than -rwxr-xr-x", info, err)
	}
	if entries, _ := os.ReadDir(filepath.Join(dst, "top")); len(entries) != 2 || len(told) != 3 {
		t.Errorf("there are %v, left out were %q", entries, told)
	}
}

// TestThereAndBack: a tree is the same when it was packed and extracted.
func TestThereAndBack(t *testing.T) {
	from := t.TempDir()
	at := time.Date(2024, 5, 6, 7, 8, 9, 0, time.UTC)
	for name, mode := range map[string]fs.FileMode{"a": 0o600, "d/b": 0o755, "d/e/c": 0o444} {
		path := filepath.Join(from, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, bytes.Repeat([]byte(name), 5000), mode), os.Chtimes(path, at, at)); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(os.Symlink("e/c", filepath.Join(from, "d/link")), os.Mkdir(filepath.Join(from, "empty"), 0o700)); err != nil {
		t.Fatal(err)
	}
	for name, as := range map[string]string{"a folder": "copy", "what is in it": "."} {
		t.Run(name, func(t *testing.T) {
			dst := t.TempDir()
			root, err := os.OpenRoot(dst)
			if err != nil {
				t.Fatal(err)
			}
			defer root.Close()
			var stream bytes.Buffer
			if err := podfiles.Pack(&stream, from, "packed", func(text string) { t.Error(text) }); err != nil {
				t.Fatal(err)
			}
			if err := podfiles.Extract(root, as, &stream, func(text string) { t.Error(text) }); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tree(t, from), tree(t, filepath.Join(dst, as))); diff != "" {
				t.Errorf("the tree (-before +after):\n%s", diff)
			}
		})
	}
	t.Run("a file", func(t *testing.T) {
		dst := t.TempDir()
		root, err := os.OpenRoot(dst)
		if err != nil {
			t.Fatal(err)
		}
		defer root.Close()
		var stream bytes.Buffer
		if err := errors.Join(podfiles.Pack(&stream, filepath.Join(from, "d/link"), "x", nil), podfiles.Extract(root, "y", &stream, nil)); err != nil {
			t.Fatal(err)
		}
		if text, err := os.ReadFile(filepath.Join(dst, "y")); err != nil || !bytes.HasPrefix(text, []byte("d/e/c")) {
			t.Errorf("the file has %d bytes, %v", len(text), err)
		}
	})
}

// tree describes all that is in a folder.
func tree(t *testing.T, dir string) map[string]string {
	t.Helper()
	out := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || path == dir {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		name, _ := filepath.Rel(dir, path)
		text := info.Mode().String()
		switch {
		case info.Mode().IsRegular():
			content, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			text += info.ModTime().UTC().String() + string(content)
		case info.Mode()&fs.ModeSymlink != 0:
			target, _ := os.Readlink(path)
			text += target
		}
		out[name] = text
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// TestWhatIsThereStays: a file of the caller's is replaced by a file alone, and not removed for
// an entry that is left out; a device node is never replaced.
func TestWhatIsThereStays(t *testing.T) {
	for name, c := range map[string]struct {
		entries []tar.Header
		want    string
		fails   bool
	}{
		"a file":                          {[]tar.Header{file("f")}, "new", false},
		"a pipe in its place":             {[]tar.Header{{Typeflag: tar.TypeFifo, Name: "f"}}, "precious", true},
		"a link in its place":             {[]tar.Header{link(tar.TypeSymlink, "f", "/etc/passwd")}, "precious", true},
		"another name in its place":       {[]tar.Header{link(tar.TypeLink, "f", "g")}, "precious", true},
		"a pipe in a folder":              {[]tar.Header{folder("d"), {Typeflag: tar.TypeFifo, Name: "d/f"}}, "precious", false},
		"a link out of a folder":          {[]tar.Header{folder("d"), link(tar.TypeSymlink, "d/f", "../../x")}, "precious", false},
		"another name in a folder":        {[]tar.Header{folder("d"), link(tar.TypeLink, "d/f", "d/none")}, "precious", true},
		"another name for itself":         {[]tar.Header{folder("d"), link(tar.TypeLink, "d/f", "d/f")}, "precious", true},
		"a file in a folder":              {[]tar.Header{folder("d"), file("d/f")}, "new", false},
		"another name of what was copied": {[]tar.Header{folder("d"), file("d/g"), link(tar.TypeLink, "d/f", "d/g")}, "new", false},
	} {
		t.Run(name, func(t *testing.T) {
			dst := t.TempDir()
			root, err := os.OpenRoot(dst)
			if err != nil {
				t.Fatal(err)
			}
			defer root.Close()
			as, path := "f", filepath.Join(dst, "f")
			if c.entries[0].Typeflag == tar.TypeDir {
				as, path = "d", filepath.Join(dst, "d/f")
			}
			if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte("precious"), 0o600)); err != nil {
				t.Fatal(err)
			}
			err = podfiles.Extract(root, as, bytes.NewReader(archive(t, c.entries...)), func(string) {})
			got, unread := os.ReadFile(path)
			if string(got) != c.want || unread != nil || (err != nil) != c.fails {
				t.Errorf("Extract() = %v, and the file has %q, %v, want %q", err, got, unread, c.want)
			}
		})
	}
}

// TestSpecialFileStays: a pipe or a device of the host at the place of a copy is not replaced.
func TestSpecialFileStays(t *testing.T) {
	dst := t.TempDir()
	pipe := filepath.Join(dst, "f")
	if err := unix.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	root, err := os.OpenRoot(dst)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	if err := podfiles.Extract(root, "f", bytes.NewReader(archive(t, file("f"))), func(string) {}); !errors.Is(err, fs.ErrExist) {
		t.Errorf("Extract() = %v, want a refusal", err)
	}
	if info, err := os.Lstat(pipe); err != nil || info.Mode().Type() != fs.ModeNamedPipe {
		t.Errorf("the pipe is gone: %v, %v", info, err)
	}
}
