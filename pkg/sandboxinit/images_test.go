package sandboxinit

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/inittest"
)

// hostStore lays out an engine's store with two layers, of which the second lies over
// the first, and some that cannot be shared.
func hostStore(t *testing.T) string {
	t.Helper()
	store := t.TempDir()
	image := filepath.Join(store, "image", "overlay2")
	inittest.Put(t, filepath.Join(image, "repositories.json"), `{"Repositories":{}}`)
	inittest.Put(t, filepath.Join(image, "imagedb", "content", "sha256", "image"), "{}")
	layer := func(chain, id, link, lower string) {
		db := filepath.Join(image, "layerdb", "sha256", chain)
		inittest.Put(t, filepath.Join(db, "size"), "7")
		if id == "" {
			return
		}
		inittest.Put(t, filepath.Join(db, "cache-id"), id)
		if link == "" {
			return
		}
		inittest.Put(t, filepath.Join(store, "overlay2", id, "link"), link)
		inittest.Put(t, filepath.Join(store, "overlay2", id, "diff", "file"), id)
		if lower != "" {
			inittest.Put(t, filepath.Join(store, "overlay2", id, "lower"), lower)
		}
	}
	layer("chain1", "base", "LINKBASE", "")
	layer("chain2", "top", "LINKTOP", "l/LINKBASE:l/OTHER")
	layer("chain3", "", "", "")                      // being written: no cache-id yet
	layer("chain4", "removed", "", "")               // its image was removed meanwhile
	layer("chain5", "../../image/overlay2", "L", "") // no name of a layer
	layer("chain6", "up", "../../up", "")            // no short name of one
	return store
}

func TestShareImages(t *testing.T) {
	i := images{store: hostStore(t), data: filepath.Join(t.TempDir(), "data")}
	if err := i.share(); err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, id := range []string{"base", "top"} {
		for _, file := range []string{"link", "lower", "committed"} {
			if text, err := os.ReadFile(filepath.Join(i.data, "overlay2", id, file)); err == nil {
				got[id+"/"+file] = string(text)
			}
		}
		target, err := os.Readlink(filepath.Join(i.data, "overlay2", id, "diff"))
		if err != nil {
			t.Error(err)
		}
		got[id+"/diff"] = strings.TrimPrefix(target, i.store)
		if info, err := os.Stat(filepath.Join(i.data, "overlay2", id, "work")); err != nil || !info.IsDir() {
			t.Errorf("work folder of layer %s: %v", id, err)
		}
	}
	if diff := cmp.Diff(map[string]string{
		"base/link": "LINKBASE", "base/committed": "", "base/diff": "/overlay2/base/diff",
		"top/link": "LINKTOP", "top/committed": "", "top/diff": "/overlay2/top/diff", "top/lower": "l/LINKBASE:l/OTHER"}, got); diff != "" {
		t.Errorf("layers (-want +got):\n%s", diff)
	}
	// The short links lead through the private root to the shared files.
	for link, id := range map[string]string{"LINKBASE": "base", "LINKTOP": "top"} {
		text, err := os.ReadFile(filepath.Join(i.data, "overlay2", "l", link, "file"))
		if err != nil || string(text) != id {
			t.Errorf("file behind l/%s = %q, %v, want %q", link, text, err, id)
		}
	}
	for _, file := range []string{"repositories.json", "imagedb/content/sha256/image", "layerdb/sha256/chain3/size", "layerdb/sha256/chain4/cache-id"} {
		if info, err := os.Lstat(filepath.Join(i.data, "image", "overlay2", file)); err != nil || !info.Mode().IsRegular() {
			t.Errorf("copied metadata %s: %v, %v", file, info, err)
		}
	}
	// Neither the layer of an image that was removed meanwhile nor an odd name.
	if layers := inittest.Entries(t, filepath.Join(i.data, "overlay2")); !slices.Equal(layers, []string{"base", "l", "top"}) {
		t.Errorf("the layers are %q", layers)
	}
	if links := inittest.Entries(t, filepath.Join(i.data, "overlay2/l")); !slices.Equal(links, []string{"LINKBASE", "LINKTOP"}) {
		t.Errorf("the short names are %q", links)
	}
	if top := inittest.Entries(t, filepath.Dir(i.data)); !slices.Equal(top, []string{"data"}) {
		t.Errorf("beside the data root: %q", top)
	}
}

// TestShareImagesWithoutLayers: an engine starts on a store that has names and no
// layers, and on one that has never had an image, where the data root is left to it.
func TestShareImagesWithoutLayers(t *testing.T) {
	for name, c := range map[string]struct {
		files []string
		want  []string
	}{
		"no layers":  {[]string{"repositories.json", "imagedb/content/x", "layerdb/sha256/chain/size"}, []string{"l"}},
		"only names": {[]string{"repositories.json"}, []string{"l"}},
		"no import":  {nil, nil},
	} {
		t.Run(name, func(t *testing.T) {
			i := images{store: t.TempDir(), data: filepath.Join(t.TempDir(), "data")}
			for _, file := range c.files {
				inittest.Put(t, filepath.Join(i.store, "image/overlay2", file), "{}")
			}
			if err := i.share(); err != nil {
				t.Fatal(err)
			}
			if c.want == nil {
				if _, err := os.Lstat(i.data); err == nil {
					t.Error("a data root was made")
				}
				return
			}
			if got := inittest.Entries(t, filepath.Join(i.data, "overlay2")); !slices.Equal(got, c.want) {
				t.Errorf("layers %q, want only the folder for short links", got)
			}
		})
	}
}

// TestShareImagesOnce: what was shared is known when a sandbox is started again, and a
// share that was cut short is made up for.
func TestShareImagesOnce(t *testing.T) {
	i := images{store: hostStore(t), data: filepath.Join(t.TempDir(), "data")}
	if i.shared() {
		t.Error("shared before it was")
	}
	for range 2 {
		if err := i.share(); err != nil {
			t.Fatal(err)
		}
	}
	if !i.shared() {
		t.Error("not shared after it was")
	}
	inittest.Put(t, filepath.Join(i.data, "volumes/own"), "of the sandbox")
	if err := i.forget(); err != nil {
		t.Fatal(err)
	}
	if got := inittest.Entries(t, i.data); i.shared() || !slices.Equal(got, []string{"volumes"}) {
		t.Errorf("after forget() there are %q", got)
	}
	if _, err := os.Stat(filepath.Join(i.store, "overlay2/top/diff/file")); err != nil {
		t.Errorf("forget() went through the links into the store: %v", err)
	}
}

// TestRefresh: a standby shares anew unless the images are those that it shared.
func TestRefresh(t *testing.T) {
	for name, c := range map[string]struct {
		store, current bool
		want           []string
	}{
		"current":         {true, true, []string{"base", "l", "top"}},
		"others":          {true, false, []string{"base", "l", "later", "top"}},
		"nothing shared":  {false, false, []string{"base", "l", "top"}},
		"nothing to tell": {false, true, []string{"base", "l", "top"}},
	} {
		t.Run(name, func(t *testing.T) {
			i := images{store: hostStore(t), data: filepath.Join(t.TempDir(), "data")}
			if err := i.share(); err != nil {
				t.Fatal(err)
			}
			for file, text := range map[string]string{"image/overlay2/layerdb/sha256/chain7/cache-id": "later", "overlay2/later/link": "LATER"} {
				inittest.Put(t, filepath.Join(i.store, file), text)
			}
			if err := refreshImages(options{store: c.store}, i, c.current); err != nil {
				t.Fatal(err)
			}
			if got := inittest.Entries(t, filepath.Join(i.data, "overlay2")); !slices.Equal(got, c.want) {
				t.Errorf("layers %q, want %q", got, c.want)
			}
		})
	}
}

// TestCopyTree: links and sockets are left out, and so is what is not there.
func TestCopyTree(t *testing.T) {
	from, to := t.TempDir(), filepath.Join(t.TempDir(), "to")
	inittest.Put(t, filepath.Join(from, "a/b"), "b")
	inittest.Put(t, filepath.Join(to, "a/b"), "longer than before")
	inittest.Link(t, "a", filepath.Join(from, "l"))
	for _, err := range []error{copyTree(from, to), copyTree(filepath.Join(from, "none"), filepath.Join(to, "none")),
		copyFile(filepath.Join(from, "none"), filepath.Join(to, "file"))} {
		if err != nil {
			t.Error(err)
		}
	}
	if text, err := os.ReadFile(filepath.Join(to, "a/b")); string(text) != "b" {
		t.Errorf("a/b = %q, %v", text, err)
	}
	if got := inittest.Entries(t, to); !slices.Equal(got, []string{"a", "none"}) {
		t.Errorf("copied %q", got)
	}
	if err := copyTree(filepath.Join(from, "a/b"), filepath.Join(to, "x")); err == nil {
		t.Error("a file was copied as a folder")
	}
}
