package images

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"

	"github.com/google/renameio/v2"
)

// errHoldsNothing is of a file that is JSON and has nothing in it.
var errHoldsNothing = errors.New("it holds nothing")

// loadFile reads a value from a file that saveFile has written. The temporary
// file of a write that a crash cut off is removed.
func loadFile(path string, value any) error {
	// The pattern is a name behind a folder of ours, and so never a bad one.
	left, _ := filepath.Glob(filepath.Join(filepath.Dir(path), "."+filepath.Base(path)+"[0-9]*"))
	for _, file := range left {
		_ = os.Remove(file) // the next start tries again
	}
	content, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	return json.Unmarshal(content, value)
}

// saveFile writes a value so that a crash leaves the old one or the new one; "" is no
// file. The temporary file is beside path, not in TMPDIR, so that loadFile finds it after a
// crash.
func saveFile(path string, value any) error {
	if path == "" {
		return nil
	}
	content, err := json.Marshal(value)
	if err != nil {
		return err
	}
	return renameio.WriteFile(path, content, 0o600, renameio.WithTempDir(filepath.Dir(path)))
}
