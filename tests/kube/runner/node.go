package runner

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/intertwin-eu/interlink-docker-plugin/tests/kit"
)

// instance is a docker-sd that Start has started.
type instance struct {
	process *kit.Process
	engine  *kit.Caller
	dir     string
	name    string
	log     *kit.Log
}

// Start starts a docker-sd of this tree with settings and a pool of warm sandboxes, in the
// environment that tests/lab gives, and waits until it is ready.
func Start(ctx context.Context, settings map[string]any, warm int) (*Node, error) {
	dir, err := os.MkdirTemp("", "kube")
	if err != nil {
		return nil, err
	}
	n, err := start(ctx, dir, settings, warm)
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	return n, nil
}

func start(ctx context.Context, dir string, settings map[string]any, warm int) (*Node, error) {
	host := filepath.Join(dir, "h")
	if err := os.Mkdir(host, 0o755); err != nil {
		return nil, err
	}
	engine, err := kit.HostEngine()
	if err != nil {
		return nil, err
	}
	binary, err := kit.Build(ctx, filepath.Join(dir, "docker-sd"))
	if err != nil {
		return nil, err
	}
	i := &instance{dir: dir, name: "kube-" + uuid.NewString()[:8], engine: engine, log: &kit.Log{}}
	more := map[string]any{"SandboxImage": os.Getenv("DOCKER_SD_TEST_SANDBOX"), "HostPathPrefixes": []string{host}, "AVAILABLEDINDS": warm, "AdminAddress": "off"}
	for key, value := range settings {
		more[key] = value
	}
	i.process = &kit.Process{Binary: binary, Config: filepath.Join(dir, "config.yaml"), Output: i.log, Engine: os.Getenv("DOCKER_HOST")}
	if err := kit.WriteConfig(i.process.Config, kit.Settings(dir, i.name, more)); err != nil {
		return nil, err
	}
	if err := i.process.Start(); err != nil {
		return nil, err
	}
	n := &Node{Caller: kit.Unix(filepath.Join(dir, "api.sock")), Engine: engine, Image: os.Getenv("DOCKER_SD_TEST_BUSYBOX"),
		Values: map[string]string{"HOSTPATH": host}, instance: i}
	if err := n.ready(ctx); err != nil {
		return nil, errors.Join(err, n.Stop())
	}
	return n, nil
}

// ready waits until docker-sd is.
func (n *Node) ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	tick := time.NewTicker(pause)
	defer tick.Stop()
	for {
		if code, _, err := n.Caller.Call(ctx, http.MethodGet, "/readyz", nil, nil); err == nil && code == http.StatusOK {
			return nil
		}
		select {
		case <-n.instance.process.Ended():
			return fmt.Errorf("docker-sd ended at its start: %w\n%s", n.instance.process.Err(), n.instance.log.Tail(20))
		case <-ctx.Done():
			return fmt.Errorf("docker-sd is not ready: %w\n%s", ctx.Err(), n.instance.log.Tail(20))
		case <-tick.C:
		}
	}
}

// Stop ends a docker-sd that was started, and removes what it has left for its next start.
func (n *Node) Stop() error {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	i := n.instance
	err := i.process.Stop(time.Minute)
	n.Caller.Close()
	err = errors.Join(err, kit.RemoveInstance(ctx, i.engine, i.name), os.RemoveAll(i.dir))
	i.engine.Close()
	return err
}

// build makes an image upon the test image and returns its name.
func (n *Node) build(ctx context.Context, lines []string) (string, error) {
	var folder bytes.Buffer
	file := []byte(strings.Join(append([]string{"FROM " + n.Image}, lines...), "\n") + "\n")
	w := tar.NewWriter(&folder)
	if err := w.WriteHeader(&tar.Header{Name: "Dockerfile", Mode: 0o644, Size: int64(len(file))}); err != nil {
		return "", err
	}
	if _, err := w.Write(file); err != nil {
		return "", err
	}
	if err := w.Close(); err != nil {
		return "", err
	}
	ref := "docker-sd-kube/of:" + uuid.NewString()[:8]
	query := url.Values{"t": {ref}, "rm": {"1"}, "forcerm": {"1"}, "networkmode": {"none"}}
	response, err := n.Engine.Send(ctx, http.MethodPost, "/build?"+query.Encode(), folder.Bytes(), map[string]string{"Content-Type": "application/x-tar"})
	if err != nil {
		return "", fmt.Errorf("build an image: %w", err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK || bytes.Contains(text, []byte(`"errorDetail"`)) {
		return "", fmt.Errorf("build an image: %d, %w: %s", response.StatusCode, err, text)
	}
	return ref, nil
}

// unbuild removes an image that was built.
func (n *Node) unbuild(ctx context.Context, ref string) error {
	return n.Engine.JSON(ctx, http.MethodDelete, "/images/"+ref+"?force=1", nil, nil)
}
