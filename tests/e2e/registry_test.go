//go:build e2e

package e2e_test

import (
	"archive/tar"
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
)

// Name and password of the registry that wants them.
const (
	registryUser     = "e2e"
	registryPassword = "pass word"
)

// registries are two real ones on loopback: one is open, one wants a password.
type registries struct {
	open, locked string
	stop         func() error
}

// startRegistries builds the registry and starts it twice. Its end of file ends
// it, whatever becomes of this process.
func startRegistries(dir string) (*registries, error) {
	binary := filepath.Join(dir, "registry")
	build := exec.Command("go", "build", "-o", binary, ".")
	build.Dir = "../registry"
	if out, err := build.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("build the registry: %w\n%s", err, out)
	}
	open, stopOpen, err := startRegistry(binary, filepath.Join(dir, "open"))
	if err != nil {
		return nil, err
	}
	locked, stopLocked, err := startRegistry(binary, filepath.Join(dir, "locked"), "-user", registryUser)
	if err != nil {
		return nil, errors.Join(err, stopOpen())
	}
	return &registries{open: open, locked: locked, stop: func() error { return errors.Join(stopOpen(), stopLocked()) }}, nil
}

func startRegistry(binary, dir string, args ...string) (address string, stop func() error, err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", nil, err
	}
	cmd := exec.Command(binary, append([]string{"-dir", dir}, args...)...)
	cmd.Env = append(os.Environ(), "REGISTRY_PASSWORD="+registryPassword)
	input, err := cmd.StdinPipe()
	if err != nil {
		return "", nil, err
	}
	output, err := cmd.StdoutPipe()
	if err != nil {
		return "", nil, err
	}
	if err := cmd.Start(); err != nil {
		return "", nil, err
	}
	stop = func() error { return errors.Join(input.Close(), cmd.Wait()) }
	line, err := bufio.NewReader(output).ReadString('\n')
	if err != nil {
		return "", nil, errors.Join(fmt.Errorf("the registry did not start: %w", err), stop())
	}
	return strings.TrimSpace(line), stop, nil
}

// front is a registry as one test sees it: at an address of its own, with its
// requests counted and its answers spoilt as the test wants.
type front struct {
	address string
	server  *httptest.Server
	// pass asks the registry behind.
	pass http.HandlerFunc

	mu sync.Mutex
	// seen counts requests by "METHOD path".
	seen map[string]int
	// spoil answers instead of the registry and returns true, or lets the request
	// through to it.
	spoil func(http.ResponseWriter, *http.Request) bool
}

func newFront(t *testing.T, locked bool) *front {
	t.Helper()
	both, err := suite.registries()
	if err != nil {
		t.Fatal(err)
	}
	behind := both.open
	if locked {
		behind = both.locked
	}
	through := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: behind})
	through.FlushInterval = -1
	// A client that goes away in the middle is what some tests are about.
	through.ErrorHandler = func(w http.ResponseWriter, _ *http.Request, _ error) { w.WriteHeader(http.StatusBadGateway) }
	f := &front{seen: map[string]int{}, pass: through.ServeHTTP}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f.mu.Lock()
		f.seen[r.Method+" "+r.URL.Path]++
		spoil := f.spoil
		f.mu.Unlock()
		if spoil == nil || !spoil(w, r) {
			through.ServeHTTP(w, r)
		}
	}))
	f.server, f.address = server, server.Listener.Addr().String()
	t.Cleanup(func() {
		server.CloseClientConnections()
		server.Close()
	})
	return f
}

func (f *front) spoilWith(spoil func(http.ResponseWriter, *http.Request) bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.spoil = spoil
}

// forget drops the counts.
func (f *front) forget() {
	f.mu.Lock()
	defer f.mu.Unlock()
	clear(f.seen)
}

// count of requests of a method, or of any if it is empty, whose path has a part in it.
func (f *front) count(method, part string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := 0
	for request, times := range f.seen {
		if strings.HasPrefix(request, method) && strings.Contains(request, part) {
			n += times
		}
	}
	return n
}

// most is the largest number of GETs of one path with a part in it.
func (f *front) most(part string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	most := 0
	for request, times := range f.seen {
		if strings.HasPrefix(request, "GET ") && strings.Contains(request, part) {
			most = max(most, times)
		}
	}
	return most
}

// repository takes the name out of /v2/NAME/blobs/... or /v2/NAME/manifests/...
func repository(r *http.Request) string {
	name, _, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/v2/"), "/")
	return name
}

func isBlob(r *http.Request) bool {
	return r.Method == http.MethodGet && strings.Contains(r.URL.Path, "/blobs/")
}

// published is an image in a registry, in a repository of that name.
type published struct{ ref, digest, name string }

// publish builds an image of busybox and size random bytes on the engine, pushes
// it, and leaves nothing of it on the engine. The repository's name begins with name.
func (f *front) publish(t *testing.T, name string, size int) published {
	t.Helper()
	// All fronts lead to the same two registries: a name of the front's own keeps the
	// tests that run at the same time from moving each other's tags.
	name += "-" + f.address[strings.LastIndex(f.address, ":")+1:]
	ref := f.address + "/" + name + ":1"
	buildSmall(t, ref, size)
	auth := base64.URLEncoding.EncodeToString(encode(t, map[string]string{
		"username": registryUser, "password": registryPassword, "serveraddress": f.address}))
	out := suite.engine.post(t, "/images/"+f.address+"/"+name+"/push?tag=1", map[string]string{"X-Registry-Auth": auth}, nil)
	_, digest, found := strings.Cut(out, "digest: ")
	if !found || len(digest) < 71 {
		t.Fatalf("push of %s: %s", ref, out)
	}
	suite.engine.removeImage(t, ref)
	f.forget()
	// What a daemon pulls is removed when the test is over; the engine is shared.
	t.Cleanup(func() { suite.engine.removeImage(t, ref, f.address+"/"+name+"@"+digest[:71]) })
	return published{ref: ref, digest: digest[:71], name: name}
}

// TestFront_HasRepositoriesOfItsOwn: an image that another test publishes under the same
// name is another one. It may be on the host already, and then counts as the host's own.
func TestFront_HasRepositoriesOfItsOwn(t *testing.T) {
	t.Parallel()
	first := newFront(t, false)
	image := first.publish(t, "same", 1<<10)
	other := newFront(t, false).publish(t, "same", 1<<10)
	if image.digest == other.digest {
		t.Fatal("two images with random content have one digest")
	}
	media := map[string]string{"Accept": "application/vnd.docker.distribution.manifest.v2+json"}
	manifest := send(t, http.MethodGet, "http://"+first.address+"/v2/"+image.name+"/manifests/1", media, nil)
	if got := fmt.Sprintf("sha256:%x", sha256.Sum256(manifest)); got != image.digest {
		t.Errorf("%s leads to %s after another test's push, want %s", image.ref, got, image.digest)
	}
}

// buildSmall makes an image of two layers: busybox and size random bytes.
func buildSmall(t *testing.T, ref string, size int) {
	t.Helper()
	blob := make([]byte, size)
	rand.Read(blob)
	buildFrom(t, ref, map[string][]byte{"Dockerfile": []byte("FROM " + suite.images.busybox + "\nCOPY blob /blob\n"), "blob": blob})
}

// buildFrom builds an image of the files of its context, one of them its Dockerfile.
func buildFrom(t *testing.T, ref string, files map[string][]byte) {
	t.Helper()
	var archive bytes.Buffer
	w := tar.NewWriter(&archive)
	for name, content := range files {
		if err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(content))}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(content); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	suite.engine.post(t, "/build?rm=1&t="+url.QueryEscape(ref), map[string]string{"Content-Type": "application/x-tar"}, &archive)
}

// builtImage builds an image of the lines of a Dockerfile upon busybox, and removes it when
// the test is over.
func builtImage(t *testing.T, lines ...string) string {
	t.Helper()
	ref := "docker-sd-test/of:" + uuid.NewString()[:8]
	text := strings.Join(append([]string{"FROM " + suite.images.busybox}, lines...), "\n")
	buildFrom(t, ref, map[string][]byte{"Dockerfile": []byte(text + "\n")})
	t.Cleanup(func() { suite.engine.removeImage(t, ref) })
	return ref
}

// publishIndex puts a list over an image, which claims to be of one platform,
// beside an entry for another.
func (f *front) publishIndex(t *testing.T, of published, platform string) string {
	t.Helper()
	base := "http://" + f.address + "/v2/" + of.name + "/manifests/"
	media := "application/vnd.docker.distribution.manifest.v2+json"
	manifest := send(t, http.MethodGet, base+of.digest, map[string]string{"Accept": media}, nil)
	goos, arch, _ := strings.Cut(platform, "/")
	type entry map[string]any
	list := encode(t, entry{"schemaVersion": 2, "mediaType": "application/vnd.docker.distribution.manifest.list.v2+json",
		"manifests": []entry{{"mediaType": media, "size": len(manifest), "digest": fmt.Sprintf("sha256:%x", sha256.Sum256(manifest)),
			"platform": entry{"os": goos, "architecture": arch}}}})
	tag := "index-" + arch
	send(t, http.MethodPut, base+tag, map[string]string{"Content-Type": "application/vnd.docker.distribution.manifest.list.v2+json"}, list)
	ref := f.address + "/" + of.name + ":" + tag
	t.Cleanup(func() { suite.engine.removeImage(t, ref) })
	return ref
}

func send(t *testing.T, method, url string, headers map[string]string, body []byte) []byte {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, url, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range headers {
		request.Header.Set(name, value)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	out, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode >= 300 {
		t.Fatalf("%s %s: %d, %v: %s", method, url, response.StatusCode, err, out)
	}
	return out
}

// post returns the engine's answer, which may be a stream with an error in it.
func (e *engineReader) post(t *testing.T, path string, headers map[string]string, body io.Reader) string {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://engine"+path, body)
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range headers {
		request.Header.Set(name, value)
	}
	response, err := e.http.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	out, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode >= 300 || bytes.Contains(out, []byte(`"errorDetail"`)) {
		t.Fatalf("POST %s: %d, %v: %s", path, response.StatusCode, err, out)
	}
	return string(out)
}

// removeImage removes names of images; those that are not there are fine. It
// waits for containers that a daemon is removing just now.
func (e *engineReader) removeImage(t *testing.T, refs ...string) {
	t.Helper()
	for _, ref := range refs {
		deadline := time.Now().Add(runLimit)
		for {
			err := e.call(context.Background(), http.MethodDelete, "/images/"+ref, nil)
			if err == nil || errors.Is(err, errNotThere) {
				break
			}
			if time.Now().After(deadline) {
				t.Errorf("remove image %s: %v", ref, err)
				break
			}
			<-time.After(5 * tickPeriod)
		}
	}
}

// hasImage says whether the host's engine has an image.
func (e *engineReader) hasImage(t *testing.T, ref string) bool {
	t.Helper()
	var seen json.RawMessage
	err := e.call(context.Background(), http.MethodGet, "/images/"+ref+"/json", &seen)
	if err != nil && !errors.Is(err, errNotThere) {
		t.Fatal(err)
	}
	return err == nil
}
