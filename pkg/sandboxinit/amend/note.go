// Package amend gives containers of a sandbox what its engine has no option for: an AppArmor
// profile, since the engine finds no AppArmor, and huge pages. The init notes it for a
// container; the program that its engine runs as a runtime adds it to the container's
// description, and becomes the runtime runc.
package amend

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/initapi"
)

// folder has a note for each container, by its id.
const folder = "/run/docker-sd/amend"

// Note keeps what a container is to be given once it is started.
func Note(a initapi.Amendment) error { return note(folder, a) }

// note is Note in a folder.
func note(folder string, a initapi.Amendment) error {
	if !isID(a.Container) {
		return &initapi.Error{Kind: initapi.KindInvalid, Message: "the container must be an id"}
	}
	text, err := json.Marshal(a)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return err
	}
	// Whole or not at all: the runtime may read it at any time.
	whole := filepath.Join(folder, a.Container)
	if err := os.WriteFile(whole+".new", text, 0o600); err != nil {
		return err
	}
	return os.Rename(whole+".new", whole)
}

// noteOf reads what was noted for a container. A container without a note is not run:
// something that it depends on would be missing.
func noteOf(folder, container string) (initapi.Amendment, error) {
	var out initapi.Amendment
	if !isID(container) {
		return out, errors.New("the container must be an id")
	}
	text, err := os.ReadFile(filepath.Join(folder, container))
	if errors.Is(err, fs.ErrNotExist) {
		return out, errors.New("this sandbox was not told what the container is to be given")
	}
	if err == nil {
		err = json.Unmarshal(text, &out)
	}
	if err != nil {
		return out, fmt.Errorf("read what the container is to be given: %w", err)
	}
	return out, nil
}

// isID says whether a text names a file and no other folder.
func isID(text string) bool {
	return text != "" && !strings.HasPrefix(text, ".") && !strings.ContainsAny(text, "/\x00")
}
