//go:build e2e

package e2e_test

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	v1 "k8s.io/api/core/v1"
)

// attackFor is how long each race is run against docker-sd as it is shipped.
var attackFor = flag.Duration("attack", 20*time.Second, "how long each race of the attacker goes on")

// controlLimit is within what a race has to succeed where nothing protects.
const controlLimit = time.Minute

// intruder is the program of tests/attack, on the host and in an image with busybox.
type intruder struct{ binary, image string }

const intruderRepo = "docker-sd-test/intruder"

// makeIntruder builds the program and adds it to the busybox image.
func makeIntruder(dir string) (intruder, error) {
	ctx, cancel := context.WithTimeout(context.Background(), runLimit)
	defer cancel()
	i := intruder{binary: filepath.Join(dir, "intruder"), image: intruderRepo + ":" + uuid.NewString()[:8]}
	command := exec.CommandContext(ctx, "go", "build", "-o", i.binary, "../attack/intruder")
	command.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := command.CombinedOutput(); err != nil {
		return i, fmt.Errorf("build the intruder: %w\n%s", err, out)
	}
	archive, err := archiveOf(i.binary, nil)
	if err != nil {
		return i, err
	}
	id, err := makePlain(ctx, map[string]any{"Image": suite.images.busybox, "Cmd": []string{"true"}})
	if err != nil {
		return i, err
	}
	if err := putArchive(ctx, id, archive); err != nil {
		return i, err
	}
	repo, tag, _ := strings.Cut(i.image, ":")
	query := url.Values{"container": {id}, "repo": {repo}, "tag": {tag}}
	if err := post(ctx, "/commit?"+query.Encode(), "application/json", nil, io.Discard); err != nil {
		return i, err
	}
	importedImages = append(importedImages, i.image)
	return i, suite.engine.removeContainer(ctx, id)
}

// importedImages are removed at the end.
var importedImages []string

func removeImages() error {
	ctx, cancel := context.WithTimeout(context.Background(), runLimit)
	defer cancel()
	for _, image := range importedImages {
		if err := suite.engine.call(ctx, "DELETE", "/images/"+image+"?force=1", nil); err != nil {
			return err
		}
	}
	return nil
}

// archiveOf is a tar of the intruder and of symbolic links by their names.
func archiveOf(binary string, links map[string]string) ([]byte, error) {
	program, err := os.ReadFile(binary)
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	archive := tar.NewWriter(&out)
	if err := archive.WriteHeader(&tar.Header{Name: "intruder", Mode: 0o755, Size: int64(len(program)), Typeflag: tar.TypeReg}); err != nil {
		return nil, err
	}
	if _, err := archive.Write(program); err != nil {
		return nil, err
	}
	for _, name := range sortedKeys(links) {
		if err := archive.WriteHeader(&tar.Header{Name: name, Linkname: links[name], Typeflag: tar.TypeSymlink, Mode: 0o777}); err != nil {
			return nil, err
		}
	}
	return out.Bytes(), archive.Close()
}

func putArchive(ctx context.Context, container string, archive []byte) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodPut, "http://engine/containers/"+container+"/archive?path=/", bytes.NewReader(archive))
	if err != nil {
		return err
	}
	response, err := suite.engine.http.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK {
		return fmt.Errorf("put files into a container: %s: %s: %w", response.Status, text, err)
	}
	return nil
}

// theIntruder is the program, for a test.
func theIntruder(t *testing.T) intruder {
	t.Helper()
	i, err := suite.intruder()
	if err != nil {
		t.Fatal(err)
	}
	return i
}

// attacker is a container that runs a command of the intruder.
func attacker(t *testing.T, name string, argv ...string) v1.Container {
	t.Helper()
	c := container(name, append([]string{"/intruder"}, argv...)...)
	c.Image = theIntruder(t).image
	return c
}

// makePlain makes a container on the host's engine, without docker-sd.
func makePlain(ctx context.Context, spec map[string]any) (string, error) {
	spec["Labels"] = map[string]string{"docker-sd.lab": "attack"}
	body, err := json.Marshal(spec)
	if err != nil {
		return "", err
	}
	var answer bytes.Buffer
	if err := post(ctx, "/containers/create", "application/json", bytes.NewReader(body), &answer); err != nil {
		return "", err
	}
	var created struct{ ID string }
	return created.ID, json.Unmarshal(answer.Bytes(), &created)
}

// runPlain runs the intruder in a container on the host's engine, without docker-sd,
// and returns what it wrote: the control of an attack, with the doors open.
func runPlain(t *testing.T, spec map[string]any) string {
	t.Helper()
	if spec["Image"] == nil {
		spec["Image"] = theIntruder(t).image
	}
	spec["Tty"] = true // the log is one stream, as it was written
	id, err := makePlain(t.Context(), spec)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), runLimit)
		defer cancel()
		if err := suite.engine.removeContainer(ctx, id); err != nil {
			t.Error(err)
		}
	})
	if err := post(t.Context(), "/containers/"+id+"/start", "application/json", nil, io.Discard); err != nil {
		t.Fatal(err)
	}
	if err := post(t.Context(), "/containers/"+id+"/wait", "application/json", nil, io.Discard); err != nil {
		t.Fatal(err)
	}
	response, err := suite.engine.http.Get("http://engine/containers/" + id + "/logs?stdout=1&stderr=1")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return strings.ReplaceAll(string(text), "\r\n", "\n")
}

// finding is what one attack came to.
type finding struct{ state, saw string }

const (
	escaped = "escaped"
	held    = "held"
	absent  = "absent"
)

// findings reads the lines of the intruder.
func findings(text string) map[string]finding {
	out := map[string]finding{}
	for line := range strings.Lines(text) {
		fields := strings.SplitN(strings.TrimSpace(line), "\t", 3)
		if len(fields) != 3 || !slices.Contains([]string{escaped, held, absent}, fields[1]) {
			continue
		}
		saw, err := strconv.Unquote(fields[2])
		if err != nil {
			saw = fields[2]
		}
		out[fields[0]] = finding{fields[1], saw}
	}
	return out
}

// daemonOf starts one of another binary, with a pool of its own size.
func daemonOf(t *testing.T, binary string, pool int, settings map[string]any) *daemon {
	t.Helper()
	all := map[string]any{"AVAILABLEDINDS": pool}
	for key, value := range settings {
		all[key] = value
	}
	d := prepareDaemon(t, all)
	d.Binary = binary
	if err := d.start(); err != nil {
		t.Fatal(err)
	}
	return d
}

// againstBoth runs an attack first against the build without protection, where it has
// to succeed, and then against the one under test, where it must not. The attack
// returns what it saw outside, or nothing when its time was over.
func againstBoth(t *testing.T, pool int, settings map[string]any, attack func(*testing.T, *daemon, time.Duration) string) {
	t.Helper()
	theIntruder(t) // its image is there when sandboxes boot
	t.Run("control", func(t *testing.T) {
		binary, err := suite.unprotected()
		if err != nil {
			t.Fatal(err)
		}
		saw := attack(t, daemonOf(t, binary, pool, settings), controlLimit)
		if saw == "" {
			t.Fatalf("the attack does not succeed within %s where nothing protects: it proves nothing", controlLimit)
		}
		t.Logf("without protection: %s", saw)
	})
	t.Run("protected", func(t *testing.T) {
		if saw := attack(t, daemonOf(t, suite.binary, pool, settings), *attackFor); saw != "" {
			t.Errorf("escaped: %s", saw)
		}
	})
}
