package sandboxinit

import (
	"os"
	"path/filepath"
	"testing"
)

// TestMeasure: a folder is summed up by its name, unless that is a link or no folder.
func TestMeasure(t *testing.T) {
	dir := t.TempDir()
	below := filepath.Join(dir, "a", "b")
	if err := os.MkdirAll(below, 0o700); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(below, "f")
	if err := os.WriteFile(file, make([]byte, 1<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(dir, filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	got, err := measure(dir)
	if err != nil || got.Bytes < 1<<20 || got.Bytes > 2<<20 || got.Inodes != 5 {
		t.Errorf("measure() = %+v, %v, want a little over 1 MiB in five inodes", got, err)
	}
	for _, folder := range []string{"relative", filepath.Join(dir, "link"), file, filepath.Join(dir, "none")} {
		if got, err := measure(folder); err == nil {
			t.Errorf("measure(%s) = %+v, want an error", folder, got)
		}
	}
}
