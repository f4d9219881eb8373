package usage

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/google/renameio/v2"
)

// storedVersion changes when the file means something else.
const storedVersion = 1

// FileName of the accounts in DataRootFolder.
const FileName = "usage.json"

// stored is the file with the accounts of all pods that have not ended.
type stored struct {
	Version  int                `json:"version"`
	Accounts map[string]Account `json:"accounts"`
	// Unwritten are lines of the accounting file that could not be written yet.
	Unwritten []Bill `json:"unwritten,omitempty"`
}

// load reads the accounts of an earlier run. A file of a newer version is an error. The
// temporary file of a write that a crash cut off is removed.
func load(path string) (stored, error) {
	s := stored{Version: storedVersion, Accounts: map[string]Account{}}
	if path == "" {
		return s, nil
	}
	// The pattern is a name behind a folder of ours, and so never a bad one.
	left, _ := filepath.Glob(filepath.Join(filepath.Dir(path), "."+filepath.Base(path)+"[0-9]*"))
	for _, file := range left {
		_ = os.Remove(file) // the next start tries again
	}
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return s, nil
	}
	var found stored
	if err == nil {
		err = json.Unmarshal(text, &found)
	}
	if err == nil && found.Version != s.Version {
		err = fmt.Errorf("it has version %d", found.Version)
	}
	if err != nil {
		return s, fmt.Errorf("what pods used before this start, in %s, cannot be read: %w", path, err)
	}
	if found.Accounts == nil {
		found.Accounts = s.Accounts
	}
	return found, nil
}

// save replaces the file as a whole.
func (s stored) save(path string) error {
	if path == "" {
		return nil
	}
	text, err := json.Marshal(s)
	if err == nil {
		// The temporary file is beside it, not in TMPDIR, so that load finds it after a crash.
		err = renameio.WriteFile(path, text, 0o600, renameio.WithTempDir(filepath.Dir(path)))
	}
	if err != nil {
		return fmt.Errorf("save what pods have used: %w", err)
	}
	return nil
}

// bootID names the boot of the host, which the numbers of control groups are of.
func bootID(proc string) string {
	text, err := os.ReadFile(proc + "/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(text))
}
