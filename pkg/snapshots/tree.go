package snapshots

import (
	"cmp"
	"crypto/sha256"
	"encoding/base32"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/distribution/reference"
	"github.com/google/renameio/v2"
	"github.com/opencontainers/go-digest"
)

// tree is a folder with the part of an engine's data root that sandboxes are shown: the
// descriptions of images and layers as the storage driver overlay2 keeps them. The content of
// a layer is a link to the folder that containerd unpacked it to.
//
// A sandbox that boots copies it in the reverse of the order in which it is written, so that
// all that is named is there.
type tree struct {
	dir        string
	layersPath string
	name       func(hostID string) string
}

// The parts of a tree.
const (
	layersPart  = "overlay2"
	chainsPart  = "image/overlay2/layerdb/sha256"
	configsPart = "image/overlay2/imagedb/content/sha256"
	namesFile   = "image/overlay2/repositories.json"
	// indexFile has what the tree was made from. It is beside the parts that sandboxes see.
	indexFile = "index.json"
)

// folderPrefix tells the folders of layers from those that an engine makes.
const folderPrefix = "snapshot-"

// folderName is the name in sandboxes of the folder of a layer. containerd never uses a
// number twice.
func folderName(snapshot string) string { return folderPrefix + snapshot }

func isFolderName(name string) bool { return strings.HasPrefix(name, folderPrefix) }

// linkName is the short name that the options of mounts have for a folder. Engines make them
// at random, of this length.
func linkName(folder string) string {
	sum := sha256.Sum256([]byte(folder))
	return base32.StdEncoding.EncodeToString(sum[:])[:26]
}

// open reads what is there, and brings the tree in line with it. An image whose description
// is damaged is left out.
func (t tree) open() (map[string]image, error) {
	images := map[string]image{}
	data, err := os.ReadFile(filepath.Join(t.dir, indexFile))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if err == nil && json.Unmarshal(data, &images) != nil {
		images = map[string]image{}
	}
	for hostID, known := range images {
		config, err := os.ReadFile(filepath.Join(t.dir, configsPart, hexOf(known.Config)))
		if err != nil || digest.FromBytes(config).String() != known.Config {
			delete(images, hostID)
		}
	}
	for _, part := range []string{layersPart, chainsPart, configsPart} {
		if err := os.MkdirAll(filepath.Join(t.dir, part), 0o700); err != nil {
			return nil, err
		}
	}
	for _, known := range images {
		if err := t.addLayers(known); err != nil {
			return nil, err
		}
	}
	return images, t.write(images)
}

// add describes an image, with the others that there are.
func (t tree) add(images map[string]image, added image, config []byte) error {
	if err := t.addLayers(added); err != nil {
		return err
	}
	if err := t.keep(filepath.Join(configsPart, hexOf(added.Config)), config); err != nil {
		return err
	}
	return t.write(images)
}

// addLayers describes the layers of an image, from the lowest on.
func (t tree) addLayers(added image) error {
	var lower []string
	parent := ""
	for _, l := range added.Layers {
		folder := folderName(l.Snapshot)
		below := filepath.Join(layersPart, folder)
		files := map[string]string{"link": linkName(folder)}
		if len(lower) > 0 {
			files["lower"] = strings.Join(lower, ":")
		}
		if err := t.putAll(below, files); err != nil {
			return err
		}
		err := os.Symlink(filepath.Join(t.layersPath, l.Snapshot, "fs"), filepath.Join(t.dir, below, "diff"))
		if err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
		// Nothing asks for the size of a layer that a sandbox shares.
		files = map[string]string{"cache-id": folder, "diff": l.Diff, "size": "0"}
		if parent != "" {
			files["parent"] = parent
		}
		if err := t.putAll(filepath.Join(chainsPart, hexOf(l.Chain)), files); err != nil {
			return err
		}
		parent = l.Chain
		lower = append([]string{"l/" + linkName(folder)}, lower...)
	}
	return nil
}

// write names the images, and removes what is described and belongs to none.
func (t tree) write(images map[string]image) error {
	repositories, err := json.Marshal(map[string]any{"Repositories": t.repositories(images)})
	if err != nil {
		return err
	}
	if err := t.put(namesFile, repositories); err != nil {
		return err
	}
	index, err := json.Marshal(images)
	if err != nil {
		return err
	}
	if err := t.keep(indexFile, index); err != nil {
		return err
	}
	configs, chains, folders := map[string]bool{}, map[string]bool{}, map[string]bool{}
	for _, known := range images {
		configs[hexOf(known.Config)] = true
		for _, l := range known.Layers {
			chains[hexOf(l.Chain)], folders[folderName(l.Snapshot)] = true, true
		}
	}
	return errors.Join(t.retain(configsPart, configs), t.retain(chainsPart, chains), t.retain(layersPart, folders))
}

// repositories are the names of images in the engine's form, ids by name by repository.
func (t tree) repositories(images map[string]image) map[string]map[string]string {
	out := map[string]map[string]string{}
	put := func(repository, name, id string) {
		if out[repository] == nil {
			out[repository] = map[string]string{}
		}
		out[repository][name] = id
	}
	byOrder := func(a, b string) int {
		return cmp.Or(cmp.Compare(images[a].Order, images[b].Order), cmp.Compare(a, b))
	}
	hostIDs := make([]string, 0, len(images))
	for hostID := range images {
		hostIDs = append(hostIDs, hostID)
	}
	slices.SortFunc(hostIDs, byOrder)
	for _, hostID := range hostIDs {
		id := images[hostID].Config
		for _, name := range append(slices.Clone(images[hostID].Names), t.name(hostID)) {
			named, err := reference.ParseDockerRef(name)
			if err != nil {
				continue // what the engine calls an image without a name
			}
			if _, tagged := named.(reference.Tagged); tagged {
				put(reference.FamiliarName(named), reference.FamiliarString(named), id)
			}
		}
	}
	return out
}

// retain removes the entries of a part that are not among the given ones.
func (t tree) retain(part string, keep map[string]bool) error {
	entries, err := os.ReadDir(filepath.Join(t.dir, part))
	if err != nil {
		return err
	}
	var problems []error
	for _, entry := range entries {
		if !keep[entry.Name()] {
			problems = append(problems, os.RemoveAll(filepath.Join(t.dir, part, entry.Name())))
		}
	}
	return errors.Join(problems...)
}

func (t tree) putAll(dir string, files map[string]string) error {
	if err := os.MkdirAll(filepath.Join(t.dir, dir), 0o700); err != nil {
		return err
	}
	for name, content := range files {
		if err := t.put(filepath.Join(dir, name), []byte(content)); err != nil {
			return err
		}
	}
	return nil
}

// keep is put for what outlives a loss of power. The rest is made from it again: a pod may
// need the layers of an image that the host has no more.
func (t tree) keep(name string, content []byte) error {
	path := filepath.Join(t.dir, name)
	if has(path, content) {
		return nil
	}
	return renameio.WriteFile(path, content, 0o600, renameio.WithTempDir(filepath.Dir(path)))
}

// put replaces a file at once, unless it is as it should be. A loss of power may damage it:
// open looks.
func (t tree) put(name string, content []byte) error {
	path := filepath.Join(t.dir, name)
	if has(path, content) {
		return nil
	}
	pending := path + ".new"
	if err := os.WriteFile(pending, content, 0o600); err != nil {
		return err
	}
	return os.Rename(pending, path)
}

func has(path string, content []byte) bool {
	there, err := os.ReadFile(path)
	return err == nil && string(there) == string(content)
}

// hexOf is a digest without its algorithm.
func hexOf(id string) string {
	_, hex, _ := strings.Cut(id, ":")
	return hex
}
