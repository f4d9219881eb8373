//go:build e2e && containerdstore

package e2e_test

import (
	"archive/tar"
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/google/uuid"
)

// layered is an image of two layers. The upper one removes a file of the lower one, replaces
// another, and hides a folder with all it had.
type layered struct {
	ref, id string
	// sum of its big file, and where the host has that file.
	sum, big string
}

// entry of a layer.
type layerEntry struct {
	tar.Header
	content []byte
}

func file(name, content string) layerEntry {
	return layerEntry{Header: tar.Header{Name: name, Mode: 0o755}, content: []byte(content)}
}

func layerOf(t *testing.T, entries []layerEntry) []byte {
	t.Helper()
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for _, e := range entries {
		e.Size = int64(len(e.content))
		if err := w.WriteHeader(&e.Header); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(e.content); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// loadLayered has the engine load an image that it never had.
func loadLayered(t *testing.T, size int) layered {
	t.Helper()
	program, err := exec.LookPath("busybox")
	if err != nil {
		t.Fatal(err)
	}
	busybox, err := os.ReadFile(program)
	if err != nil {
		t.Fatal(err)
	}
	big := make([]byte, size)
	if _, err := rand.Read(big); err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(big)
	dir := func(name string) layerEntry {
		return layerEntry{Header: tar.Header{Name: name, Mode: 0o755, Typeflag: tar.TypeDir}}
	}
	noted := file("noted", "noted\n")
	noted.PAXRecords = map[string]string{"SCHILY.xattr.user.note": "of the lower layer"}
	renoted := file("renoted", "renoted\n")
	renoted.PAXRecords = map[string]string{"SCHILY.xattr.user.note": "of the upper layer", "SCHILY.xattr.user.overlay.opaque": "y"}
	lower := []layerEntry{dir("bin/"), file("bin/busybox", string(busybox)), dir("opaque/"), file("opaque/old", "old\n"), file("gone", "gone\n"),
		file("changed", "before\n"), noted, {Header: tar.Header{Name: "big", Mode: 0o644}, content: big}}
	for _, name := range []string{"sh", "ls", "cat", "sha256sum", "sleep", "test", "mount", "mkdir", "kill", "touch", "grep"} {
		lower = append(lower, layerEntry{Header: tar.Header{Name: "bin/" + name, Typeflag: tar.TypeSymlink, Linkname: "busybox"}})
	}
	upper := []layerEntry{dir("opaque/"), file("opaque/.wh..wh..opq", ""), file("opaque/new", "new\n"), file(".wh.gone", ""), file("changed", "after\n"), renoted}
	image := layered{ref: "docker-sd-test/layered:" + uuid.NewString()[:8], sum: hex.EncodeToString(sum[:])}
	suite.engine.post(t, "/images/load", map[string]string{"Content-Type": "application/x-tar"}, savedImage(t, image.ref, layerOf(t, lower), layerOf(t, upper)))
	t.Cleanup(func() { suite.engine.removeImage(t, image.ref) })
	var seen struct{ ID string }
	if err := suite.engine.call(t.Context(), http.MethodGet, "/images/"+image.ref+"/json", &seen); err != nil {
		t.Fatal(err)
	}
	image.id = seen.ID
	image.big = findBig(t, image.sum)
	return image
}

// savedImage is an image as `docker save` writes it.
func savedImage(t *testing.T, ref string, layers ...[]byte) io.Reader {
	t.Helper()
	config := map[string]any{"architecture": "amd64", "os": "linux", "config": map[string]any{"Env": []string{"PATH=/bin"}, "Cmd": []string{"sh"}}}
	var diffs, names []string
	var entries []layerEntry
	for i, layer := range layers {
		sum := sha256.Sum256(layer)
		diffs = append(diffs, "sha256:"+hex.EncodeToString(sum[:]))
		names = append(names, fmt.Sprintf("layer%d.tar", i))
		entries = append(entries, layerEntry{Header: tar.Header{Name: names[i], Mode: 0o644}, content: layer})
	}
	config["rootfs"] = map[string]any{"type": "layers", "diff_ids": diffs}
	entries = append(entries, file("config.json", string(encode(t, config))),
		file("manifest.json", string(encode(t, []map[string]any{{"Config": "config.json", "RepoTags": []string{ref}, "Layers": names}}))))
	return bytes.NewReader(layerOf(t, entries))
}

// findBig finds the file of an image on the host.
func findBig(t *testing.T, sum string) string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(containerdStore(t).DockerRootDir, "containerd/daemon/io.containerd.snapshotter.v1.overlayfs/snapshots/*/fs/big"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range found {
		if sumOfFile(t, path) == sum {
			return path
		}
	}
	t.Fatalf("none of %q is the file of the image", found)
	return ""
}

func sumOfFile(t *testing.T, path string) string {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	sum := sha256.New()
	if _, err := io.Copy(sum, f); err != nil {
		t.Fatal(err)
	}
	return hex.EncodeToString(sum.Sum(nil))
}
