package preflight

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// Accounting judges the accounting file, which docker-sd makes itself in a folder that is
// there. It makes nothing.
func Accounting(path string) Line {
	const name, remedy = "accounting", "make the folder, writable for docker-sd's user, or leave AccountingFile out"
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		dir := filepath.Dir(path)
		if err := unix.Access(dir, unix.W_OK|unix.X_OK); err != nil {
			return warn(name, remedy, "AccountingFile cannot be made, what pods have used is in the log alone: %s: %v", dir, err)
		}
		return ok(name, "%s will be made", path)
	case err != nil:
		return warn(name, remedy, "AccountingFile cannot be looked at: %v", err)
	case !info.Mode().IsRegular():
		return warn(name, "name a file", "AccountingFile is not a file: %s", path)
	}
	if err := unix.Access(path, unix.R_OK|unix.W_OK); err != nil {
		return warn(name, remedy, "AccountingFile cannot be written, what pods have used is in the log alone: %s: %v", path, err)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return warn(name, "chmod 600 "+path, "AccountingFile is open to other users (mode %s), who see or change what pods have used", info.Mode().Perm())
	}
	return ok(name, "%s", path)
}
