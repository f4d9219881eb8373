package preflight_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/preflight"
)

// TestSocketFolders: a folder that is closed to the group is named.
func TestSocketFolders(t *testing.T) {
	group := uint32(os.Getgid())
	base := t.TempDir()
	at := func(mode os.FileMode) string {
		dir := filepath.Join(base, mode.String())
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(dir, mode); err != nil {
			t.Fatal(err)
		}
		return filepath.Join(dir, "s")
	}
	// The folders above belong to the machine.
	open := func(path string) (os.FileInfo, error) {
		if len(path) <= len(base) {
			return os.Stat("/")
		}
		return os.Stat(path)
	}
	everybody, members, owner := at(0o701), at(0o710), at(0o700)
	holds(t, map[string]judged{
		"everybody":      {preflight.SocketFolders(everybody, group+1, open), preflight.OK, "can connect"},
		"the group":      {preflight.SocketFolders(members, group, open), preflight.OK, "can connect"},
		"another group":  {preflight.SocketFolders(members, group+1, open), preflight.Fail, filepath.Dir(members) + " is closed"},
		"the owner only": {preflight.SocketFolders(owner, group, open), preflight.Fail, filepath.Dir(owner) + " is closed"},
		"no folder":      {preflight.SocketFolders(filepath.Join(base, "none", "s"), group, open), preflight.Fail, "cannot be seen"},
	})
}
