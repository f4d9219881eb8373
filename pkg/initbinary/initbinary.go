// Package initbinary carries the programs that run in sandboxes beside the engine: the
// first process, and that of the tunnel into a cluster's network, which sandboxes without
// one would pay for in memory if it were the same. It puts them where sandboxes can mount
// them.
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

// ErrNotBuilt says that docker-sd was built without the programs.
var ErrNotBuilt = errors.New("this docker-sd was built without the programs of sandboxes: build it with make")

// Install writes the init into a folder unless it is there, and returns its path.
// The name tells the content, so that sandboxes of an earlier docker-sd keep theirs.
func Install(dir string) (string, error) { return install(files, name, "init-", dir) }

// InstallTunnel does so with the program of the tunnel.
func InstallTunnel(dir string) (string, error) { return install(tunnel, tunnelName, "tunnel-", dir) }

func install(files fs.FS, name, prefix, dir string) (string, error) {
	program, err := fs.ReadFile(files, name)
	if errors.Is(err, fs.ErrNotExist) {
		return "", ErrNotBuilt
	}
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(program)
	path := filepath.Join(dir, prefix+hex.EncodeToString(sum[:8]))
	if installed(path, sum) {
		return path, nil
	}
	if err := writeProgram(path, program); err != nil {
		return "", fmt.Errorf("install a program of sandboxes: %w", err)
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
