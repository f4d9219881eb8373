package cgroups

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/initapi"
)

// GroupOOM has the kernel kill all processes of a container when it kills one for memory,
// as kubelet does. With version 1, and once the container has ended, there is nothing to do.
func GroupOOM(container string) error { return groupOOM(root, container) }

// groupOOM is GroupOOM for the groups below a folder.
func groupOOM(root, container string) error {
	if container == "" || container == "." || container == ".." || strings.ContainsAny(container, "/\x00") {
		return &initapi.Error{Kind: initapi.KindInvalid, Message: "the container must be an id"}
	}
	if _, err := os.Lstat(filepath.Join(root, "cgroup.controllers")); err != nil {
		return nil
	}
	group, err := findGroup(root, container)
	if err != nil || group == "" {
		return err
	}
	if err := write(filepath.Join(group, "memory.oom.group"), "1"); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("let the kernel kill a container as a whole: %w", err)
	}
	return nil
}

// findGroup returns the group with a name, "" without one. Groups that go meanwhile are
// passed over.
func findGroup(root, name string) (string, error) {
	found := ""
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		switch {
		case errors.Is(err, os.ErrNotExist):
			return nil
		case err != nil:
			return err
		case entry.IsDir() && entry.Name() == name:
			found = path
			return fs.SkipAll
		}
		return nil
	})
	return found, err
}
