package sandboxinit

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/initapi"
)

// images makes a private data root over the host's layers: metadata is copied, and
// only what leads to a layer's files points at the shared store.
type images struct{ store, data string }

func newImages() images { return images{store: initapi.StorePath, data: initapi.DataPath} }

// shared says whether it was done before, as in a sandbox that is started again.
func (i images) shared() bool {
	_, err := os.Lstat(filepath.Join(i.data, "overlay2"))
	return err == nil
}

// share copies in the reverse of the order in which an engine writes, so that all that
// is named has already been written. What the host drops meanwhile is copied in part,
// and then passed over by the engine.
func (i images) share() error {
	from, to := filepath.Join(i.store, "image/overlay2"), filepath.Join(i.data, "image/overlay2")
	names, err := os.ReadFile(filepath.Join(from, "repositories.json"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil // nothing has been imported yet
	}
	if err != nil {
		return err
	}
	for _, dir := range []string{filepath.Join(to, "layerdb"), filepath.Join(i.data, "overlay2/l")} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return err
		}
	}
	if err := os.WriteFile(filepath.Join(to, "repositories.json"), names, 0o600); err != nil {
		return err
	}
	for _, part := range []string{"imagedb", "layerdb/sha256"} {
		if err := copyTree(filepath.Join(from, part), filepath.Join(to, part)); err != nil {
			return err
		}
	}
	return i.shareLayers(filepath.Join(to, "layerdb/sha256"))
}

func (i images) shareLayers(layerdb string) error {
	entries, err := os.ReadDir(layerdb)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		id, err := os.ReadFile(filepath.Join(layerdb, entry.Name(), "cache-id"))
		if err != nil || !fs.ValidPath(strings.TrimSpace(string(id))) {
			continue
		}
		if err := i.shareLayer(strings.TrimSpace(string(id))); err != nil {
			return err
		}
	}
	return nil
}

// shareLayer makes the private folder of one layer, unless the host has dropped it.
func (i images) shareLayer(id string) error {
	shared, own := filepath.Join(i.store, "overlay2", id), filepath.Join(i.data, "overlay2", id)
	link, err := os.ReadFile(filepath.Join(shared, "link"))
	if err != nil || !fs.ValidPath(string(link)) {
		return nil
	}
	if err := os.MkdirAll(filepath.Join(own, "work"), 0o700); err != nil {
		return err
	}
	files := map[string][]byte{"link": link, "committed": nil}
	if lower, err := os.ReadFile(filepath.Join(shared, "lower")); err == nil {
		files["lower"] = lower
	}
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(own, name), content, 0o600); err != nil {
			return err
		}
	}
	if err := symlink(filepath.Join(shared, "diff"), filepath.Join(own, "diff")); err != nil {
		return err
	}
	// The short name of the layer, which mount options use.
	return symlink("../"+id+"/diff", filepath.Join(i.data, "overlay2/l", string(link)))
}

// forget removes what share made, for a standby whose host has other images by now.
func (i images) forget() error {
	return errors.Join(os.RemoveAll(filepath.Join(i.data, "image")), os.RemoveAll(filepath.Join(i.data, "overlay2")))
}

func symlink(target, name string) error {
	if err := os.Symlink(target, name); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return nil
}

// copyTree copies folders and files. What vanishes meanwhile is left out.
func copyTree(from, to string) error {
	if err := os.MkdirAll(to, 0o700); err != nil {
		return err
	}
	entries, err := os.ReadDir(from)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, entry := range entries {
		source, target := filepath.Join(from, entry.Name()), filepath.Join(to, entry.Name())
		switch {
		case entry.IsDir():
			err = copyTree(source, target)
		case entry.Type().IsRegular():
			err = copyFile(source, target)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func copyFile(from, to string) error {
	in, err := os.Open(from)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}
