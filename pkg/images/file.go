package images

import (
	"os"
	"path/filepath"

	"github.com/google/renameio/v2"
)

// readRecord reads a file of writeRecord. What a crash has left of a write is removed:
// nobody else looks for it.
func readRecord(path string) ([]byte, error) {
	// The pattern is a name behind a folder of ours, and so never a bad one.
	left, _ := filepath.Glob(filepath.Join(filepath.Dir(path), "."+filepath.Base(path)+"[0-9]*"))
	for _, file := range left {
		_ = os.Remove(file) // the next start tries again
	}
	return os.ReadFile(path)
}

// writeRecord replaces a file that its owner alone may read. It is written beside its
// place, and not in TMPDIR, where what a crash leaves would stay.
func writeRecord(path string, content []byte) error {
	return renameio.WriteFile(path, content, 0o600, renameio.WithTempDir(filepath.Dir(path)))
}
