// Package initbinary carries the program that is the first process of sandboxes, and
// puts it where they can mount it.
package initbinary

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/google/renameio/v2"
)

// The folder holds a text beside the program, so that packages compile and are
// checked before the program was built.
//
//go:embed all:files
var files embed.FS

// ErrNotBuilt says that docker-sd was built without the program.
var ErrNotBuilt = errors.New("this docker-sd was built without the init of sandboxes: build it with make")

// Install writes the program into a folder unless it is there, and returns its path.
// The name tells the content, so that sandboxes of an earlier docker-sd keep theirs.
func Install(dir string) (string, error) {
	program, err := files.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return "", ErrNotBuilt
	}
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(program)
	path := filepath.Join(dir, "init-"+hex.EncodeToString(sum[:8]))
	if there, err := os.ReadFile(path); err == nil && sha256.Sum256(there) == sum {
		return path, nil
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", fmt.Errorf("install the init of sandboxes: %w", err)
	}
	if err := renameio.WriteFile(path, program, 0o755, renameio.WithTempDir(dir), renameio.WithStaticPermissions(0o755)); err != nil {
		return "", fmt.Errorf("install the init of sandboxes: %w", err)
	}
	return path, nil
}
