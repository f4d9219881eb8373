package images

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

// TestRecordLeavesTMPDIRAlone: what a crash leaves of a write is beside the record,
// where the next start removes it.
func TestRecordLeavesTMPDIRAlone(t *testing.T) {
	tmp, dir, old := t.TempDir(), t.TempDir(), time.Unix(1, 0)
	t.Setenv("TMPDIR", tmp)
	if err := os.Chtimes(tmp, old, old); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "images.json")
	if err := saveFile(path, map[string]string{"a": "b"}); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(tmp); err != nil || !info.ModTime().Equal(old) {
		t.Errorf("a file was made in TMPDIR: %v, %v", info.ModTime(), err)
	}
	left := filepath.Join(dir, ".images.json123456")
	if err := os.WriteFile(left, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	if err := loadFile(path, &got); err != nil || got["a"] != "b" {
		t.Errorf("loadFile() = %v, %v", got, err)
	}
	if _, err := os.Stat(left); !os.IsNotExist(err) {
		t.Errorf("what a crash left is still there: %v", err)
	}
}
