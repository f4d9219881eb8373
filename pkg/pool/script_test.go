package pool_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/pool"
)

// shells that sandbox images come with; the one of the test's machine and every
// other that is there.
func shells(t *testing.T) map[string][]string {
	t.Helper()
	out := map[string][]string{}
	for name, argv := range map[string][]string{"sh": {"sh"}, "dash": {"dash"}, "busybox": {"busybox", "sh"}} {
		if path, err := exec.LookPath(argv[0]); err == nil {
			out[name] = append([]string{path}, argv[1:]...)
		}
	}
	if len(out) == 0 {
		t.Fatal("no shell to run the boot script in")
	}
	return out
}

func shell(t *testing.T, argv []string, script string, env ...string) string {
	t.Helper()
	command := exec.CommandContext(t.Context(), argv[0], append(slices.Clone(argv[1:]), "-c", script)...)
	command.Env = append(os.Environ(), env...)
	out, err := command.CombinedOutput()
	if err != nil {
		t.Fatalf("boot script: %v\n%s", err, out)
	}
	return string(out)
}

func TestBootScriptParses(t *testing.T) {
	for name, argv := range shells(t) {
		t.Run(name, func(t *testing.T) {
			command := exec.CommandContext(t.Context(), argv[0], append(slices.Clone(argv[1:]), "-n")...)
			command.Stdin = strings.NewReader(pool.BootScript)
			if out, err := command.CombinedOutput(); err != nil || len(out) > 0 {
				t.Errorf("sh -n: %v\n%s", err, out)
			}
		})
	}
}

// functions of the boot script, without what it does at once.
func functions(t *testing.T) string {
	t.Helper()
	head, _, found := strings.Cut(pool.BootScript, "\nif [ -n \"${DOCKER_SD_STORE:-}\" ]; then\n\tprivate_store")
	if !found {
		t.Fatal("the boot script begins otherwise")
	}
	return head + "\n"
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// hostStore lays out an engine's store with two layers, of which the second
// lies over the first, and some that cannot be shared.
func hostStore(t *testing.T) string {
	t.Helper()
	store := t.TempDir()
	image := filepath.Join(store, "image", "overlay2")
	write(t, filepath.Join(image, "repositories.json"), `{"Repositories":{}}`)
	write(t, filepath.Join(image, "imagedb", "content", "sha256", "image"), "{}")
	layer := func(chain, id, link, lower string) {
		db := filepath.Join(image, "layerdb", "sha256", chain)
		write(t, filepath.Join(db, "size"), "7")
		if id == "" {
			return
		}
		write(t, filepath.Join(db, "cache-id"), id)
		if link == "" {
			return
		}
		write(t, filepath.Join(store, "overlay2", id, "link"), link)
		write(t, filepath.Join(store, "overlay2", id, "diff", "file"), id)
		if err := os.MkdirAll(filepath.Join(store, "overlay2", "l"), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink("../"+id+"/diff", filepath.Join(store, "overlay2", "l", link)); err != nil {
			t.Fatal(err)
		}
		if lower != "" {
			write(t, filepath.Join(store, "overlay2", id, "lower"), lower)
		}
	}
	layer("chain1", "base", "LINKBASE", "")
	layer("chain2", "top", "LINKTOP", "l/LINKBASE:l/OTHER")
	layer("chain3", "", "", "")            // being written: no cache-id yet
	layer("chain4", "removed", "", "")     // its image was removed meanwhile
	layer("chain5", "$(touch x)", "L", "") // a name is data, not a command
	return store
}

func TestShareImages(t *testing.T) {
	for name, argv := range shells(t) {
		t.Run(name, func(t *testing.T) {
			store, data, cwd := hostStore(t), filepath.Join(t.TempDir(), "data"), t.TempDir()
			shell(t, argv, functions(t)+"cd "+cwd+"\ndata=$TEST_DATA\nshare_images\n", "DOCKER_SD_STORE="+store, "TEST_DATA="+data)
			got := map[string]string{}
			for _, id := range []string{"base", "top"} {
				for _, file := range []string{"link", "lower", "committed"} {
					if text, err := os.ReadFile(filepath.Join(data, "overlay2", id, file)); err == nil {
						got[id+"/"+file] = string(text)
					}
				}
				target, err := os.Readlink(filepath.Join(data, "overlay2", id, "diff"))
				if err != nil {
					t.Error(err)
				}
				got[id+"/diff"] = strings.TrimPrefix(target, store)
				if info, err := os.Stat(filepath.Join(data, "overlay2", id, "work")); err != nil || !info.IsDir() {
					t.Errorf("work folder of layer %s: %v", id, err)
				}
			}
			wantSame(t, "layers", got, map[string]string{
				"base/link": "LINKBASE", "base/committed": "", "base/diff": "/overlay2/base/diff",
				"top/link": "LINKTOP", "top/committed": "", "top/diff": "/overlay2/top/diff", "top/lower": "l/LINKBASE:l/OTHER"})
			// The short links lead through the private root to the shared files.
			for link, id := range map[string]string{"LINKBASE": "base", "LINKTOP": "top"} {
				text, err := os.ReadFile(filepath.Join(data, "overlay2", "l", link, "file"))
				if err != nil || string(text) != id {
					t.Errorf("file behind l/%s = %q, %v, want %q", link, text, err, id)
				}
			}
			for _, file := range []string{"repositories.json", "imagedb/content/sha256/image", "layerdb/sha256/chain4/cache-id"} {
				if info, err := os.Lstat(filepath.Join(data, "image", "overlay2", file)); err != nil || !info.Mode().IsRegular() {
					t.Errorf("copied metadata %s: %v, %v", file, info, err)
				}
			}
			if _, err := os.Lstat(filepath.Join(data, "overlay2", "removed")); err == nil {
				t.Error("a layer whose image was removed meanwhile is offered")
			}
			if entries, err := os.ReadDir(cwd); err != nil || len(entries) > 0 {
				t.Errorf("the script ran a layer's name: %v, %v", entries, err)
			}
		})
	}
}

func TestShareImagesOfAnEmptyStore(t *testing.T) {
	for name, argv := range shells(t) {
		t.Run(name, func(t *testing.T) {
			store, data := t.TempDir(), filepath.Join(t.TempDir(), "data")
			image := filepath.Join(store, "image", "overlay2")
			write(t, filepath.Join(image, "repositories.json"), `{"Repositories":{}}`)
			for _, dir := range []string{"imagedb", "layerdb/sha256"} {
				if err := os.MkdirAll(filepath.Join(image, dir), 0o700); err != nil {
					t.Fatal(err)
				}
			}
			shell(t, argv, functions(t)+"data=$TEST_DATA\nshare_images\n", "DOCKER_SD_STORE="+store, "TEST_DATA="+data)
			entries, err := os.ReadDir(filepath.Join(data, "overlay2"))
			if err != nil || len(entries) != 1 || entries[0].Name() != "l" {
				t.Errorf("layers of an empty store: %v, %v, want only the folder for short links", entries, err)
			}
		})
	}
}

// TestShareOnce: what was shared stays, also when a sandbox is started again.
func TestShareOnce(t *testing.T) {
	for name, argv := range shells(t) {
		t.Run(name, func(t *testing.T) {
			store, data := hostStore(t), filepath.Join(t.TempDir(), "data")
			script := functions(t) + "data=$TEST_DATA\nshare_once\n"
			shell(t, argv, script, "DOCKER_SD_STORE="+store, "TEST_DATA="+data)
			own := filepath.Join(data, "overlay2", "own")
			write(t, own, "of the sandbox")
			shell(t, argv, script, "DOCKER_SD_STORE="+store, "TEST_DATA="+data)
			if _, err := os.Stat(own); err != nil {
				t.Error(err)
			}
			shell(t, argv, script, "TEST_DATA="+filepath.Join(data, "none"))
			if _, err := os.Stat(filepath.Join(data, "none")); err == nil {
				t.Error("a data root was made although nothing is shared")
			}
		})
	}
}

// TestShareImagesBeforeAnyImport: a store that has never had an image leaves the
// data root to the engine.
func TestShareImagesBeforeAnyImport(t *testing.T) {
	for name, argv := range shells(t) {
		t.Run(name, func(t *testing.T) {
			data := filepath.Join(t.TempDir(), "data")
			shell(t, argv, functions(t)+"data=$TEST_DATA\nshare_images\n", "DOCKER_SD_STORE="+t.TempDir(), "TEST_DATA="+data)
			if _, err := os.Lstat(data); err == nil {
				t.Error("a data root was made")
			}
		})
	}
}

// TestPrivateStore: the roots of the host's containers that lie below its store are
// unmounted. One that goes at that very moment, with its container, must not cost
// the sandbox; one that stays must.
func TestPrivateStore(t *testing.T) {
	for name, c := range map[string]struct {
		umount string
		want   string
	}{
		"unmounted":             {`rm "$ROOT"`, "private"},
		"gone before it can be": {`rm "$ROOT"; echo no such file >&2; return 1`, "private"},
		"stays":                 {`echo busy >&2; return 1`, "busy\nexit 1"},
	} {
		for kind, argv := range shells(t) {
			t.Run(name+"/"+kind, func(t *testing.T) {
				root := filepath.Join(t.TempDir(), "merged")
				write(t, root, "")
				got := shell(t, argv, functions(t)+`
trap 'code=$?; if [ $code != 0 ]; then echo exit $code; fi; exit 0' EXIT
mount() { :; }
umount() { `+c.umount+`; }
mount_points() { echo /store; if [ -e "$ROOT" ]; then echo /store/overlay2/a/merged; fi; }
private_store
echo private`, "DOCKER_SD_STORE=/store", "ROOT="+root)
				if got = strings.TrimSpace(got); got != c.want {
					t.Errorf("private_store said %q, want %q", got, c.want)
				}
			})
		}
	}
}
