package preflight_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/preflight"
)

// TestOwnFolderIsRemoved: with the init and the folder of sandboxes that a check puts
// there, and with the folders above it that were made for it, but with no other.
func TestOwnFolderIsRemoved(t *testing.T) {
	above := t.TempDir()
	data := filepath.Join(above, "data")
	path, remove, err := preflight.OwnFolder(data)
	if err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{"init", "s"} {
		if err := os.Mkdir(filepath.Join(path, dir), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(path, "init", "init-1"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := remove(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(data); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%s is there: %v", data, err)
	}
	if _, err := os.Stat(above); err != nil {
		t.Error(err)
	}
}
