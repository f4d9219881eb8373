//go:build e2e

package e2e_test

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net/http"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"golang.org/x/sys/unix"
)

// TestHostStoreIsOutOfReach: five sandboxes share an image of 1 GB, and each
// removes, loads and commits images and writes all over its data root as root.
// The layers and their metadata on the host are bit-identical afterwards.
func TestHostStoreIsOutOfReach(t *testing.T) {
	t.Parallel()
	const sandboxes = 5
	ref := "docker-sd-test/chaos:" + uuid.NewString()[:8]
	buildLarge(t, ref)
	t.Cleanup(func() { suite.engine.removeImage(t, ref) })
	refs := []string{ref, suite.images.busybox, suite.images.bash, suite.images.entry, suite.images.sandbox}
	before := storeSums(t, refs)
	if len(before) < 50 {
		t.Fatalf("only %d entries of the host's store were read", len(before))
	}
	// Small, and not in any sandbox.
	archive := suite.engine.get(t, "/images/"+url.PathEscape(suite.images.entry)+"/get")
	d := ownDaemon(t, 1, nil)
	var pods []*podRun
	for range sandboxes {
		c := shell("c", untilStopped)
		c.Image = ref
		pods = append(pods, d.run(t, newPod(c)))
	}
	for _, p := range pods {
		p.waitRunning()
		p.sandbox()
	}
	var group sync.WaitGroup
	for _, p := range pods {
		group.Go(func() { p.riot(t, ref, archive) })
	}
	group.Wait()
	// The host drops the image while the pods run; their layers stay.
	suite.engine.call(t.Context(), http.MethodDelete, "/images/"+ref+"?force=1", nil)
	for _, p := range pods {
		if p.waitRunning().Container("c").RestartCount != 0 {
			t.Error("a pod did not live through it")
		}
	}
	after := storeSums(t, refs[1:])
	for name, sum := range before {
		if _, shared := after[name]; !shared && strings.HasPrefix(name, "overlay2/") {
			after[name] = sumOf(t, filepath.Join(dataRoot(t), name))
		} else if !shared {
			after[name] = sum // the metadata of what the host dropped
		}
	}
	if diff := cmp.Diff(before, after); diff != "" {
		t.Errorf("the host's store was changed (-before +after):\n%.4000s", diff)
	}
}

// riot is what a sandbox's root may do to its own engine. Some of it fails, as
// the sandbox's store falls apart; what matters is the host's.
func (p *podRun) riot(t *testing.T, ref string, archive []byte) {
	key := strings.ReplaceAll(strings.TrimSuffix(p.box, "_dind"), "-", "")
	inner, err := newEngineReader("unix://" + filepath.Join(p.d.data(), "sandboxes", key[:16], "docker.sock"))
	if err != nil {
		t.Error(err)
		return
	}
	defer inner.http.CloseIdleConnections()
	try := func(method, path string, body []byte) {
		request, err := http.NewRequestWithContext(t.Context(), method, "http://engine"+path, bytes.NewReader(body))
		if err != nil {
			t.Error(err)
			return
		}
		request.Header.Set("Content-Type", "application/x-tar")
		response, err := inner.http.Do(request)
		if err != nil {
			t.Errorf("the sandbox's engine does not answer: %v", err)
			return
		}
		defer response.Body.Close()
		if _, err := io.Copy(io.Discard, response.Body); err != nil {
			t.Errorf("the sandbox's engine broke off: %v", err)
		}
	}
	var running []hostContainer
	if err := inner.call(t.Context(), http.MethodGet, "/containers/json", &running); err != nil || len(running) == 0 {
		t.Errorf("containers in the sandbox: %d, %v", len(running), err)
		return
	}
	for range 3 {
		try(http.MethodPost, "/images/load", archive)
		try(http.MethodPost, "/commit?repo=mine&container="+running[0].ID, nil)
		for _, image := range []string{suite.images.entry, suite.images.bash, suite.images.busybox, "mine", ref} {
			try(http.MethodDelete, "/images/"+image+"?force=1", nil)
		}
	}
	out := suite.engine.exec(t, p.sandbox().ID, `cd /var/lib/docker || exit 1
		for layer in overlay2/*/; do
			echo x >"$layer/diff/riot"; rm -rf "$layer/diff/bin"; chmod 777 "$layer/diff" "$layer/diff/"*; chown 7 "$layer/diff"
			touch "$layer/diff"; ln -sf /riot "$layer/diff/etc"; echo x >"$layer/link"; echo x >"$layer/committed"
		done
		for store in /run/docker-sd/store; do
			echo x >$store/riot; rm -rf $store/overlay2/* $store/image; echo x >$store/image/overlay2/repositories.json
		done
		find image -type f -exec sh -c 'echo x >"$1"' - {} \;
		echo over`)
	if !strings.Contains(out, "over") || !strings.Contains(out, "Read-only file system") {
		t.Errorf("writing in the sandbox said %.500q", out)
	}
}

// buildLarge makes an image with a layer of 1 GB beside busybox.
func buildLarge(t *testing.T, ref string) {
	t.Helper()
	dockerfile := "FROM " + suite.images.busybox + `
RUN dd if=/dev/zero of=/large bs=1M count=1024 && for i in $(seq 100); do echo $i >/file-$i; chown $i /file-$i; chmod 6$((i % 8))0 /file-$i; done
`
	var archive bytes.Buffer
	w := tar.NewWriter(&archive)
	err := w.WriteHeader(&tar.Header{Name: "Dockerfile", Mode: 0o644, Size: int64(len(dockerfile))})
	_, writeErr := io.WriteString(w, dockerfile)
	if err := errors.Join(err, writeErr, w.Close()); err != nil {
		t.Fatal(err)
	}
	suite.engine.post(t, "/build?rm=1&networkmode=none&t="+url.QueryEscape(ref), map[string]string{"Content-Type": "application/x-tar"}, &archive)
}

func dataRoot(t *testing.T) string {
	t.Helper()
	var info struct{ DockerRootDir, Driver string }
	if err := suite.engine.call(t.Context(), http.MethodGet, "/info", &info); err != nil {
		t.Fatal(err)
	}
	if info.Driver != "overlay2" {
		t.Fatalf("the store of the driver %s cannot be read by this test", info.Driver)
	}
	return info.DockerRootDir
}

// storeSums are checksums of all that the host's store has of some images: the
// folders of their layers, file by file, and their metadata.
func storeSums(t *testing.T, refs []string) map[string]string {
	t.Helper()
	root := dataRoot(t)
	trees := map[string]bool{}
	for _, ref := range refs {
		var image struct {
			ID          string `json:"Id"`
			GraphDriver struct{ Data map[string]string }
			RootFS      struct{ Layers []string }
		}
		if err := suite.engine.call(t.Context(), http.MethodGet, "/images/"+ref+"/json", &image); err != nil {
			t.Fatal(err)
		}
		trees["image/overlay2/imagedb/content/sha256/"+strings.TrimPrefix(image.ID, "sha256:")] = true
		for _, key := range []string{"UpperDir", "LowerDir"} {
			for dir := range strings.SplitSeq(image.GraphDriver.Data[key], ":") {
				if dir != "" {
					folder := "overlay2/" + path.Base(path.Dir(dir))
					trees[folder+"/diff"], trees[folder+"/link"] = true, true
				}
			}
		}
		chain := ""
		for _, layer := range image.RootFS.Layers {
			if chain == "" {
				chain = layer
			} else {
				chain = fmt.Sprintf("sha256:%x", sha256.Sum256([]byte(chain+" "+layer)))
			}
			trees["image/overlay2/layerdb/sha256/"+strings.TrimPrefix(chain, "sha256:")] = true
		}
	}
	out := map[string]string{}
	for _, tree := range slices.Sorted(maps.Keys(trees)) {
		err := filepath.WalkDir(filepath.Join(root, tree), func(path string, _ fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			name, err := filepath.Rel(root, path)
			out[name] = sumOf(t, path)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return out
}

// sumOf is a file's content, type, mode, owner, time of change and extended
// attributes.
func sumOf(t *testing.T, path string) string {
	t.Helper()
	info, err := os.Lstat(path)
	if err != nil {
		return err.Error()
	}
	stat := info.Sys().(*syscall.Stat_t)
	hash := sha256.New()
	fmt.Fprintf(hash, "%o %d %d %d %d %d ", stat.Mode, stat.Uid, stat.Gid, stat.Rdev, stat.Mtim.Sec, stat.Mtim.Nsec)
	names := make([]byte, 4096)
	n, err := unix.Llistxattr(path, names)
	if err != nil && !errors.Is(err, unix.ENOTSUP) {
		t.Fatal(err)
	}
	for name := range bytes.SplitSeq(names[:max(n, 0)], []byte{0}) {
		value := make([]byte, 4096)
		if n, err := unix.Lgetxattr(path, string(name), value); len(name) > 0 && err == nil {
			fmt.Fprintf(hash, "%s=%x ", name, value[:n])
		}
	}
	switch {
	case info.Mode().IsRegular():
		file, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		if _, err := io.Copy(hash, file); err != nil {
			t.Fatal(err)
		}
	case info.Mode()&fs.ModeSymlink != 0:
		target, err := os.Readlink(path)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprint(hash, target)
	}
	return fmt.Sprintf("%x", hash.Sum(nil))
}

// get returns the body of an answer.
func (e *engineReader) get(t *testing.T, path string) []byte {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://engine"+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := e.http.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK {
		t.Fatalf("GET %s: %d, %v", path, response.StatusCode, err)
	}
	return body
}

// exec runs a script in a container as root and returns what it wrote.
func (e *engineReader) exec(t *testing.T, container, script string) string {
	t.Helper()
	headers := map[string]string{"Content-Type": "application/json"}
	var made struct {
		ID string `json:"Id"`
	}
	answer := e.post(t, "/containers/"+container+"/exec", headers, bytes.NewReader(encode(t, map[string]any{
		"AttachStdout": true, "AttachStderr": true, "Tty": true, "User": "0", "Cmd": []string{"sh", "-c", script}})))
	if err := json.Unmarshal([]byte(answer), &made); err != nil {
		t.Fatal(err)
	}
	return e.post(t, "/exec/"+made.ID+"/start", headers, strings.NewReader(`{"Tty":true}`))
}
