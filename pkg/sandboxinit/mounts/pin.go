package mounts

import (
	"path/filepath"
	"strings"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/initapi"
)

// pinsPath holds the mount points of what was pinned.
const pinsPath = "/run/docker-sd/pins"

// Check opens a source and lets go of it again.
func Check(s initapi.Source) error {
	var err error
	if s.Roots, err = mountedRoots(s.Roots); err != nil {
		return err
	}
	file, err := openSource(s)
	if err == nil {
		file.close()
	}
	return err
}

// Pin opens a source and mounts it at its place, where the engine finds it by a name
// that no pod can change.
func Pin(place string, s initapi.Source) (string, error) {
	target, err := placePath(place)
	if err != nil {
		return "", err
	}
	if s.Roots, err = mountedRoots(s.Roots); err != nil {
		return "", err
	}
	file, err := openSource(s)
	if err != nil {
		return "", err
	}
	defer file.close()
	return mountAt(target, file)
}

// placePath is the mount point of a place: CONTAINER/NUMBER.
func placePath(place string) (string, error) {
	container, number, found := strings.Cut(place, "/")
	if !found || !isName(container) || !isName(number) {
		return "", &initapi.Error{Kind: initapi.KindInvalid, Message: "the place must be CONTAINER/NUMBER"}
	}
	return filepath.Join(pinsPath, container, number), nil
}
