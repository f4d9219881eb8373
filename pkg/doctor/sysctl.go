package doctor

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/google/renameio/v2"
	"golang.org/x/sys/unix"
)

const (
	// sysctlFile is the only file that --fix writes. Files are read in the order of their names.
	sysctlFile = "90-docker-sd.conf"
	// sysctlHeader tells it from a file of the administrator's.
	sysctlHeader = "# Written by docker-sd check --fix. These limits hold for the whole host."
)

// sysctls are kernel parameters of the host whose file system begins at root, which is / but in
// tests.
type sysctls struct{ root string }

func (s sysctls) path() string { return filepath.Join(s.root, "etc/sysctl.d", sysctlFile) }

func (s sysctls) kernel(key string) string {
	return filepath.Join(s.root, "proc/sys", strings.ReplaceAll(key, ".", "/"))
}

// change is what is to be written and set.
type change struct {
	text string            // of the file
	set  map[string]uint64 // by key
	had  map[string]uint64
}

// plan is the change after which each parameter is at least as large as wanted. It keeps what
// an earlier run has written, and takes nothing away that is larger.
func (s sysctls) plan(wanted map[string]uint64) (change, error) {
	c := change{set: map[string]uint64{}, had: map[string]uint64{}}
	lasting, err := s.written()
	if err != nil {
		return c, err
	}
	for key, want := range wanted {
		text, err := os.ReadFile(s.kernel(key))
		if err != nil {
			return c, fmt.Errorf("read %s: %w", key, err)
		}
		have, err := strconv.ParseUint(strings.TrimSpace(string(text)), 10, 64)
		if err != nil {
			return c, fmt.Errorf("read %s: %w", key, err)
		}
		want = max(want, lasting[key])
		if lasting[key] = want; have < want {
			c.set[key], c.had[key] = want, have
		}
	}
	var out strings.Builder
	fmt.Fprintln(&out, sysctlHeader)
	for _, key := range slices.Sorted(maps.Keys(lasting)) {
		fmt.Fprintf(&out, "%s = %d\n", key, lasting[key])
	}
	c.text = out.String()
	return c, nil
}

// written is what an earlier run has put into the file. One that is not ours is an error.
func (s sysctls) written() (map[string]uint64, error) {
	out := map[string]uint64{}
	info, err := os.Lstat(s.path())
	if errors.Is(err, fs.ErrNotExist) {
		return out, nil
	}
	if err != nil {
		return nil, err
	}
	text := []byte{}
	if info.Mode().IsRegular() {
		if text, err = os.ReadFile(s.path()); err != nil {
			return nil, err
		}
	}
	if !strings.HasPrefix(string(text), sysctlHeader+"\n") {
		return nil, fmt.Errorf("%s is there and was not written by docker-sd: move it away, or set the limits yourself", s.path())
	}
	values, err := settings(string(text))
	if err != nil {
		return nil, fmt.Errorf("%s has been changed: %w; remove it, or set the limits yourself", s.path(), err)
	}
	return values, nil
}

// settings are the numbers in a file of sysctl(8). An error is about a line that has none; what
// the others have is returned beside it.
func settings(text string) (map[string]uint64, error) {
	out := map[string]uint64{}
	var problems []error
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' || line[0] == ';' {
			continue
		}
		key, value, _ := strings.Cut(line, "=")
		number, err := strconv.ParseUint(strings.TrimSpace(value), 10, 64)
		if err != nil {
			problems = append(problems, fmt.Errorf("the line %q has no number", line))
			continue
		}
		key = strings.TrimPrefix(strings.TrimSpace(key), "-")
		out[strings.ReplaceAll(key, "/", ".")] = number
	}
	return out, errors.Join(problems...)
}

// apply writes the file and then tells the kernel.
func (s sysctls) apply(c change) error {
	for key := range c.set {
		// Before anything is written: a container may read the host's parameters alone.
		if err := unix.Access(s.kernel(key), unix.W_OK); err != nil {
			return fmt.Errorf("%s cannot be set from here, so nothing was written: %w; run docker-sd check --fix as root on the host itself", key, err)
		}
	}
	if err := os.MkdirAll(filepath.Dir(s.path()), 0o755); err != nil { //nolint:gosec // for everybody, as sysctl.d is
		return err
	}
	if err := renameio.WriteFile(s.path(), []byte(c.text), 0o644); err != nil {
		return fmt.Errorf("write %s: %w", s.path(), err)
	}
	var problems []error
	for _, key := range slices.Sorted(maps.Keys(c.set)) {
		if err := os.WriteFile(s.kernel(key), []byte(strconv.FormatUint(c.set[key], 10)+"\n"), 0); err != nil {
			problems = append(problems, fmt.Errorf("set %s, which is in the file and holds after the next boot: %w", key, err))
		}
	}
	return errors.Join(problems...)
}

// undone are sentences about files that set a parameter lower and are read after ours.
func (s sysctls) undone(c change) []string {
	lasting, err := settings(c.text)
	if err != nil {
		return nil
	}
	var later []string
	for _, dir := range []string{"etc/sysctl.d", "run/sysctl.d", "usr/local/lib/sysctl.d", "usr/lib/sysctl.d", "lib/sysctl.d"} {
		paths, _ := filepath.Glob(filepath.Join(s.root, dir, "*.conf")) // the pattern is right
		for _, path := range paths {
			if filepath.Base(path) > sysctlFile {
				later = append(later, path)
			}
		}
	}
	var out []string
	for _, path := range append(later, filepath.Join(s.root, "etc/sysctl.conf")) {
		text, err := os.ReadFile(path)
		if err != nil {
			continue
		}
		found, _ := settings(string(text)) // of the lines that have numbers
		for _, key := range slices.Sorted(maps.Keys(lasting)) {
			if value, there := found[key]; there && value < lasting[key] {
				out = append(out, fmt.Sprintf("%s sets %s to %d and may be read later: correct it, or the next boot undoes this", path, key, value))
			}
		}
	}
	return out
}
