//go:build e2e

package e2e_test

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	v1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"
)

// composed is what the compose file says about a container.
type composed struct {
	User        string   `json:"user"`
	NetworkMode string   `json:"network_mode"`
	PID         string   `json:"pid"`
	ReadOnly    bool     `json:"read_only"`
	CapDrop     []string `json:"cap_drop"`
	CapAdd      []string `json:"cap_add"`
	SecurityOpt []string `json:"security_opt"`
	Volumes     []string `json:"volumes"`
}

// sidecarRun is docker-sd in a container on the host's engine, made as the compose
// file makes it; only the folders are the test's own.
type sidecarRun struct {
	*daemon
	t    *testing.T
	name string
}

func newSidecar(t *testing.T, image string, settings map[string]any) *sidecarRun {
	t.Helper()
	s := &sidecarRun{daemon: prepareDaemon(t, settings), t: t, name: "e2e-sidecar-" + uuid.NewString()[:8]}
	data, err := os.ReadFile("../../docker/compose.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var file struct{ Services map[string]composed }
	if err := yaml.Unmarshal(data, &file); err != nil {
		t.Fatal(err)
	}
	c := file.Services["docker-sd"]
	s.post("/containers/create?name="+s.name, map[string]any{
		"Image": image, "Labels": map[string]string{"docker-sd.lab": "sidecar"}, "User": c.User,
		// The test that the image brings, more often.
		"Healthcheck": map[string]any{"Interval": time.Second},
		"HostConfig": map[string]any{"NetworkMode": c.NetworkMode, "PidMode": c.PID, "ReadonlyRootfs": c.ReadOnly, "CapDrop": c.CapDrop,
			"CapAdd": c.CapAdd, "SecurityOpt": c.SecurityOpt, "Binds": s.binds(c.Volumes)},
	})
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the container's log:\n%s", s.output())
		}
		ctx, cancel := context.WithTimeout(context.Background(), runLimit)
		defer cancel()
		if err := suite.engine.removeContainer(ctx, s.name); err != nil {
			t.Error(err)
		}
	})
	s.post("/containers/"+s.name+"/start", nil)
	return s
}

// binds are the compose file's with this test's folders; the data folder keeps
// one path on both sides.
func (s *sidecarRun) binds(volumes []string) []string {
	s.t.Helper()
	socket, _ := strings.CutPrefix(os.Getenv("DOCKER_HOST"), "unix://")
	if socket == "" {
		socket = "/var/run/docker.sock"
	}
	ours := map[string]string{
		"/var/run/docker.sock":       socket + ":/var/run/docker.sock",
		"/var/lib/docker-sd":         s.data() + ":" + s.data(),
		"/run/docker-sd":             s.dir + ":" + s.dir,
		"/sys/fs/cgroup":             "/sys/fs/cgroup:/sys/fs/cgroup",
		"./interlink/docker-sd.yaml": s.Config + ":/etc/interlink/InterLinkConfig.yaml:ro",
	}
	var out []string
	for _, volume := range volumes {
		source, _, _ := strings.Cut(volume, ":")
		bind, known := ours[source]
		if !known {
			s.t.Fatalf("the compose file mounts %s, of which the test knows nothing", volume)
		}
		out = append(out, bind)
	}
	if err := os.MkdirAll(s.data(), 0o700); err != nil {
		s.t.Fatal(err)
	}
	return out
}

// waitUp waits until the container's docker-sd listens and has taken over.
func (s *sidecarRun) waitUp() {
	s.t.Helper()
	eventually(s.t, runLimit, "docker-sd is ready", func() bool {
		code, _, err := s.call(s.t.Context(), http.MethodGet, "/readyz", nil)
		return err == nil && code == http.StatusOK
	}, s.output)
}

func (s *sidecarRun) post(path string, body any) {
	s.t.Helper()
	if err := post(s.t.Context(), path, "application/json", bytes.NewReader(encode(s.t, body)), io.Discard); err != nil {
		s.t.Fatal(err)
	}
}

// post calls the host's engine, whose answer may be a stream with an error in it.
func post(ctx context.Context, path, contentType string, body io.Reader, out io.Writer) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://engine"+path, body)
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", contentType)
	response, err := suite.engine.http.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	var text bytes.Buffer
	if _, err := io.Copy(io.MultiWriter(&text, out), response.Body); err != nil {
		return err
	}
	if response.StatusCode >= 400 {
		return fmt.Errorf("POST %s: %s: %s", path, response.Status, text.String())
	}
	for messages := json.NewDecoder(&text); ; {
		var message struct{ Error string }
		if err := messages.Decode(&message); err != nil {
			return nil // the end, or no stream of messages
		}
		if message.Error != "" {
			return errors.New(message.Error)
		}
	}
}

// output is the container's log; the engine frames it, which does not matter to people.
func (s *sidecarRun) output() string {
	request, err := http.NewRequest(http.MethodGet, "http://engine/containers/"+s.name+"/logs?stdout=1&stderr=1&tail=60", nil)
	if err != nil {
		return err.Error()
	}
	response, err := suite.engine.http.Do(request)
	if err != nil {
		return err.Error()
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return err.Error()
	}
	return string(text)
}

type sidecarState struct {
	State struct {
		Status   string
		ExitCode int
		Health   struct{ Status string }
	}
}

func (s *sidecarRun) inspect() sidecarState {
	s.t.Helper()
	var seen sidecarState
	if err := suite.engine.call(s.t.Context(), http.MethodGet, "/containers/"+s.name+"/json", &seen); err != nil {
		s.t.Fatal(err)
	}
	return seen
}

// buildImage builds a Dockerfile that is shipped, without a registry, with the
// files of the context and the arguments given, and returns the image's name.
// Its first stage is built by name before, so that it can be removed by name.
func buildImage(t *testing.T, dockerfile, stage string, files map[string]string, args map[string]string) string {
	t.Helper()
	var tree bytes.Buffer
	w := tar.NewWriter(&tree)
	files["Dockerfile"] = filepath.Join("../../docker", dockerfile)
	for _, name := range slices.Sorted(maps.Keys(files)) {
		data, err := os.ReadFile(files[name])
		if err != nil {
			t.Fatal(err)
		}
		err = w.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(data))})
		if _, writeErr := w.Write(data); err != nil || writeErr != nil {
			t.Fatal(errors.Join(err, writeErr))
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	image := "docker-sd-test/built:" + uuid.NewString()[:8]
	buildTarget(t, dockerfile, stage, image+"-stage", args, tree.Bytes())
	buildTarget(t, dockerfile, "", image, args, tree.Bytes())
	return image
}

func buildTarget(t *testing.T, dockerfile, target, image string, args map[string]string, tree []byte) {
	t.Helper()
	query := url.Values{"t": {image}, "target": {target}, "buildargs": {string(encode(t, args))}, "rm": {"1"}, "forcerm": {"1"}}
	ctx, cancel := context.WithTimeout(t.Context(), runLimit)
	defer cancel()
	var out bytes.Buffer
	if err := post(ctx, "/build?"+query.Encode(), "application/x-tar", bytes.NewReader(tree), &out); err != nil {
		t.Fatalf("build %s: %v\n%s", dockerfile, err, out.String())
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), runLimit)
		defer cancel()
		if err := suite.engine.call(ctx, http.MethodDelete, "/images/"+image+"?force=1", nil); err != nil {
			t.Errorf("remove the image: %v", err)
		}
	})
}

// The image is built as it is shipped, started as the compose file says, and
// does all that depends on where docker-sd runs: it finds its sandboxes' sockets
// and folders, probes pods over the network, reaches volumes in memory, gives
// files to users, and takes pods over when its container is made anew.
func TestSidecarImage(t *testing.T) {
	t.Parallel()
	// The binary under test needs glibc, which the image with bash has.
	image := buildImage(t, "Dockerfile.sidecar-docker", "build", map[string]string{"bin/docker-sd": suite.binary},
		map[string]string{"GO": suite.images.busybox, "BASE": suite.images.bash, "BINARY": "bin/docker-sd", "VERSION": "e2e"})
	sandbox := buildImage(t, "Dockerfile.sandbox", "trimmed", map[string]string{}, map[string]string{"BASE": suite.images.sandbox})
	s := newSidecar(t, image, map[string]any{"AVAILABLEDINDS": 1, "DOCKER_HOST": "unix:///var/run/docker.sock", "SandboxImage": sandbox})
	s.waitUp()

	short := s.run(t, withVolume(newPod(shell("c", "echo hello >/vol/f; cat /vol/f")), hostDir(s.hostPath()), "/vol"))
	if got := short.output(); got != "hello\n" {
		t.Errorf("log %q", got)
	}
	if data, err := os.ReadFile(filepath.Join(s.hostPath(), "f")); err != nil || string(data) != "hello\n" {
		t.Errorf("the host path has %q, %v", data, err)
	}

	user, group := int64(1234), int64(4242)
	// What it leaves is for docker-sd to remove.
	c := shell("c", "stat -c '%a %g' /vol /mem; mkdir -m 700 /vol/private && touch /vol/private/f && chmod 0 /vol/private; "+untilStopped)
	c.SecurityContext = &v1.SecurityContext{RunAsUser: &user}
	c.ReadinessProbe = quickProbe(tcpProbe("7777"))
	listener := shell("l", "while :; do nc -l -p 7777; done")
	c.VolumeMounts = []v1.VolumeMount{{Name: "vol", MountPath: "/vol"}, {Name: "mem", MountPath: "/mem", SubPath: "below"}}
	pod := newPod(c, listener)
	pod.Spec.SecurityContext = &v1.PodSecurityContext{FSGroup: &group}
	pod.Spec.Volumes = []v1.Volume{{Name: "vol", VolumeSource: emptyDir()},
		{Name: "mem", VolumeSource: v1.VolumeSource{EmptyDir: &v1.EmptyDirVolumeSource{Medium: v1.StorageMediumMemory}}}}
	long := s.run(t, pod)
	long.waitFor("ready, by a probe over the network", func(p podStatus) bool { return p.Container("c").Ready })
	before := long.waitRunning().Container("c")
	if got, want := long.logs("c", logOptions{}), "2777 4242\n3777 4242\n"; got != want {
		t.Errorf("modes and groups of the volumes are %q, want %q", got, want)
	}

	eventually(t, runLimit, "the container is healthy", func() bool { return s.inspect().State.Health.Status == "healthy" }, s.output)
	s.post("/containers/"+s.name+"/restart?t=30", nil)
	if got := s.inspect().State; got.Status != "running" {
		t.Fatalf("after its restart the container is %q", got.Status)
	}
	s.waitUp()
	after := long.waitRunning().Container("c")
	if after.ContainerID != before.ContainerID || after.RestartCount != 0 {
		t.Errorf("the container was %s and is %s, restarted %d times", before.ContainerID, after.ContainerID, after.RestartCount)
	}
	long.delete(1)
	long.waitGone()
	short.delete(1)
	short.waitGone()
	ctx, cancel := context.WithTimeout(t.Context(), runLimit)
	defer cancel()
	if err := s.idle(ctx); err != nil {
		t.Error(err)
	}
	s.post("/containers/"+s.name+"/stop?t=30", nil)
	if got := s.inspect().State; got.Status != "exited" || got.ExitCode != 0 {
		t.Errorf("stopped, the container is %q with code %d", got.Status, got.ExitCode)
	}
}
