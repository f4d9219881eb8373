package preflight

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// folderName of what a check keeps in DataRootFolder while it boots a sandbox. It
// is not longer than that of docker-sd's own sandboxes, so that sockets in it
// have names that fit where theirs do.
const folderName = "check"

// OwnFolder makes the folder for a check's sandbox. It is locked, since two
// checks at a time would take each other's sandbox for one that was left behind.
// The function that it returns removes it, and the folders above it that were
// made for it.
func OwnFolder(dataRootFolder string) (path string, remove func() error, err error) {
	path = filepath.Join(dataRootFolder, folderName)
	var made []string
	for dir := path; ; dir = filepath.Dir(dir) {
		if _, err := os.Stat(dir); err == nil || dir == filepath.Dir(dir) {
			break
		}
		made = append(made, dir)
	}
	if err := os.MkdirAll(path, 0o700); err != nil {
		return "", nil, err
	}
	lock, err := os.Open(path)
	if err != nil {
		return "", nil, err
	}
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil { //nolint:gosec // a file descriptor
		return "", nil, errors.Join(fmt.Errorf("another check runs in %s, try again when it has ended: %w", path, err), lock.Close())
	}
	if len(made) == 0 {
		made = []string{path} // a check that was killed has left it
	}
	return path, func() error {
		// In it are the init of its sandbox and the folder of sandboxes.
		problems := []error{os.RemoveAll(path)}
		for _, dir := range made {
			if dir == path {
				continue
			}
			if problems = append(problems, os.Remove(dir)); problems[len(problems)-1] != nil {
				break // a docker-sd that has started meanwhile uses it
			}
		}
		// What is not empty above the check's own folder is somebody's.
		return errors.Join(problems[0], lock.Close())
	}, nil
}
