package initbinary

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"testing/fstest"
	"time"
)

func program(content string) fs.FS {
	return fstest.MapFS{name: &fstest.MapFile{Data: []byte(content)}}
}

func installOf(t *testing.T, content, dir string) string {
	t.Helper()
	path, err := install(program(content), name, "init-", dir)
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// wantProgram looks at what a sandbox would execute.
func wantProgram(t *testing.T, path, content string) {
	t.Helper()
	got, err := os.ReadFile(path)
	if err != nil || string(got) != content {
		t.Errorf("%s holds %q, %v, want %q", path, got, err, content)
	}
	if info, err := os.Lstat(path); err != nil || info.Mode() != 0o755 {
		t.Errorf("%s is %v, %v, want a program", path, info.Mode(), err)
	}
}

func TestInstall(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data/init")
	first := installOf(t, "one", dir)
	wantProgram(t, first, "one")
	if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("its folder: %v, %v", info, err)
	}
	// Again leaves the file as it is: sandboxes execute it.
	old := time.Now().Add(-time.Hour)
	if err := os.Chtimes(first, old, old); err != nil {
		t.Fatal(err)
	}
	if again := installOf(t, "one", dir); again != first {
		t.Errorf("installed at %s, and again at %s", first, again)
	}
	if info, err := os.Stat(first); err != nil || time.Since(info.ModTime()) < time.Minute {
		t.Errorf("it was written again: %v, %v", info.ModTime(), err)
	}
	// Another docker-sd has another one beside it.
	second := installOf(t, "two", dir)
	wantProgram(t, second, "two")
	wantProgram(t, first, "one")
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 2 {
		t.Errorf("the folder holds %v, %v, want the two", entries, err)
	}
}

func TestInstallOverDamage(t *testing.T) {
	for what, damage := range map[string]func(path string) error{
		"cut short":      func(path string) error { return os.Truncate(path, 1) },
		"other content":  func(path string) error { return os.WriteFile(path, []byte("eno"), 0o755) },
		"not executable": func(path string) error { return os.Chmod(path, 0o644) },
		"a link": func(path string) error {
			return errors.Join(os.Rename(path, path+"-real"), os.Symlink(path+"-real", path))
		},
	} {
		t.Run(what, func(t *testing.T) {
			dir := t.TempDir()
			path := installOf(t, "one", dir)
			if err := damage(path); err != nil {
				t.Fatal(err)
			}
			if again := installOf(t, "one", dir); again != path {
				t.Errorf("installed at %s, and again at %s", path, again)
			}
			wantProgram(t, path, "one")
		})
	}
}

func TestInstallFails(t *testing.T) {
	dir := t.TempDir()
	if _, err := install(fstest.MapFS{}, name, "init-", filepath.Join(dir, "new")); !errors.Is(err, ErrNotBuilt) {
		t.Errorf("without the program: %v, want ErrNotBuilt", err)
	}
	if _, err := os.Stat(filepath.Join(dir, "new")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a folder was made for nothing: %v", err)
	}
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if path, err := install(program("one"), name, "init-", file); err == nil {
		t.Errorf("installed at %s", path)
	}
}

// TestEmbedded: a docker-sd carries no programs but those of its kind.
func TestEmbedded(t *testing.T) {
	for name, c := range map[string]struct {
		files   fs.FS
		install func(string) (string, error)
	}{name: {files, Install}, tunnelName: {tunnel, InstallTunnel}} {
		err := fs.WalkDir(c.files, ".", func(path string, entry fs.DirEntry, err error) error {
			if err == nil && !entry.IsDir() && path != name && entry.Name() != "README" {
				t.Errorf("it carries %s", path)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		content, err := fs.ReadFile(c.files, name)
		if errors.Is(err, fs.ErrNotExist) {
			if _, err := c.install(t.TempDir()); !errors.Is(err, ErrNotBuilt) {
				t.Errorf("%s: installed with %v, want ErrNotBuilt", name, err)
			}
			continue
		}
		if err != nil || !bytes.HasPrefix(content, []byte("\x7fELF")) {
			t.Errorf("%s begins with %q, %v", name, content[:min(4, len(content))], err)
		}
	}
}
