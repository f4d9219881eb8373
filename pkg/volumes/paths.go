package volumes

import (
	"errors"
	"fmt"
	"path"
	"path/filepath"
	"strings"
)

// within tells whether a path is a folder or lies below it; both are absolute.
func within(dir, p string) bool {
	rel, err := filepath.Rel(dir, p)
	return err == nil && filepath.IsLocal(rel)
}

// hasBackstep says whether a path has ".." as one of its parts.
func hasBackstep(p string) bool {
	for part := range strings.SplitSeq(p, "/") {
		if part == ".." {
			return true
		}
	}
	return false
}

// cleanItemPath gives the cleaned form of the path of a file in a volume, by
// the kubelet's rules: relative, without "..", and not starting with "..".
func cleanItemPath(p string) (string, error) {
	switch clean := path.Clean(p); {
	case p == "", clean == ".":
		return "", fmt.Errorf("path %s names no file", p)
	case path.IsAbs(p):
		return "", fmt.Errorf("path %s must be relative to the volume", p)
	case hasBackstep(p), strings.HasPrefix(clean, ".."):
		return "", fmt.Errorf("path %s must not have .. in it", p)
	case strings.ContainsRune(p, 0):
		return "", fmt.Errorf("path %s contains a zero byte", p)
	default:
		return clean, nil
	}
}

// checkSubPath refuses a path that leads out of its volume.
func checkSubPath(name string) error {
	if path.IsAbs(name) || hasBackstep(name) || strings.ContainsRune(name, 0) {
		return errors.New("must be relative to the volume and have no .. in it")
	}
	return nil
}
