package sandboxinit

import (
	"path/filepath"
	"strings"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/initapi"
)

// check opens a source and lets go of it again.
func check(s initapi.Source) error {
	var err error
	if s.Roots, err = mountedRoots(s.Roots); err != nil {
		return err
	}
	file, err := open(s)
	if err == nil {
		file.close()
	}
	return err
}

// pin opens a source and mounts it at its place, where the engine finds it by a name
// that no pod can change.
func pin(place string, s initapi.Source) (string, error) {
	target, err := placePath(place)
	if err != nil {
		return "", err
	}
	if s.Roots, err = mountedRoots(s.Roots); err != nil {
		return "", err
	}
	file, err := open(s)
	if err != nil {
		return "", err
	}
	defer file.close()
	return mountAt(target, file)
}

// placePath is the mount point of a place: CONTAINER/NUMBER.
func placePath(place string) (string, error) {
	container, number, found := strings.Cut(place, "/")
	if !found || !plain(container) || !plain(number) {
		return "", &initapi.Error{Kind: initapi.KindInvalid, Message: "the place must be CONTAINER/NUMBER"}
	}
	return filepath.Join(pinsPath, container, number), nil
}

// plain says that a name is one step of a path.
func plain(name string) bool {
	return name != "" && name != "." && name != ".." && !strings.ContainsAny(name, "/\x00")
}
