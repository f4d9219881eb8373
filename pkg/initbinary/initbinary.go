// Package initbinary carries the program that is the first process of sandboxes, and
// puts it where they can mount it.
package initbinary

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/google/renameio/v2"
)

// ErrNotBuilt says that docker-sd was built without the program.
var ErrNotBuilt = errors.New("this docker-sd was built without the init of sandboxes: build it with make")

// Install writes the program into a folder unless it is there, and returns its path.
// The name tells the content, so that sandboxes of an earlier docker-sd keep theirs.
func Install(dir string) (string, error) { return install(files, dir) }

func install(files fs.FS, dir string) (string, error) {
	program, err := fs.ReadFile(files, name)
	if errors.Is(err, fs.ErrNotExist) {
		return "", ErrNotBuilt
	}
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(program)
	path := filepath.Join(dir, "init-"+hex.EncodeToString(sum[:8]))
	if installed(path, sum) {
		return path, nil
	}
	if err := writeProgram(path, program); err != nil {
		return "", fmt.Errorf("install the init of sandboxes: %w", err)
	}
	return path, nil
}

// writeProgram replaces what is at a path at once, and its mode too.
func writeProgram(path string, program []byte) error {
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	file, err := renameio.NewPendingFile(path, renameio.WithTempDir(dir), renameio.WithStaticPermissions(mode))
	if err != nil {
		return err
	}
	defer file.Cleanup()
	if _, err := file.Write(program); err != nil {
		return err
	}
	return file.CloseAtomicallyReplace()
}

// mode of the program: sandboxes execute it.
const mode fs.FileMode = 0o755

func installed(path string, sum [sha256.Size]byte) bool {
	info, err := os.Lstat(path)
	if err != nil || info.Mode() != mode {
		return false
	}
	there, err := os.ReadFile(path)
	return err == nil && sha256.Sum256(there) == sum
}
