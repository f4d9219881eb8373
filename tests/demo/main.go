// Command demo shows docker-sd at work on a real engine: it replays a create
// that a real interLink server sent and runs a pod of two containers, printing
// each answer as it comes. It needs the environment that tests/lab gives.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/intertwin-eu/interlink-docker-plugin/tests/kit"
)

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), 4*time.Minute)
	defer cancel()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) (err error) {
	dir, err := os.MkdirTemp("", "demo")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	d, err := start(ctx, dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.stop()) }()

	hello, err := recorded("tests/e2e/testdata/wire/create-hello-world.json", os.Getenv("DOCKER_SD_TEST_BASH"))
	if err != nil {
		return err
	}
	fmt.Println("\nA pod as a real interLink server sent it")
	if err := d.pod(ctx, hello, "hello-world"); err != nil {
		return err
	}
	fmt.Println("\nA pod of two containers that talk over localhost")
	if err := d.pod(ctx, twoContainers(os.Getenv("DOCKER_SD_TEST_BUSYBOX")), "server", "client"); err != nil {
		return err
	}
	return d.empty(ctx)
}

// recorded reads the body of a recorded request, with another image.
func recorded(path, image string) (map[string]any, error) {
	file, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var request struct{ Body map[string]any }
	text := strings.ReplaceAll(string(file), "ghcr.io/grycap/cowsay", image)
	err = json.Unmarshal([]byte(text), &request)
	return request.Body, err
}

func twoContainers(image string) map[string]any {
	container := func(name, script string) map[string]any {
		return map[string]any{"name": name, "image": image, "command": []string{"sh", "-c", script}, "imagePullPolicy": "IfNotPresent"}
	}
	return map[string]any{"pod": map[string]any{
		"metadata": map[string]any{"name": "two-containers", "namespace": "default", "uid": "7d9f6c1e-0d0b-4f1f-9a53-5d3f0c6a2b11"},
		"spec": map[string]any{"restartPolicy": "Never", "containers": []any{
			container("server", "echo 'hello over localhost' | nc -l -p 8080 && echo served"),
			container("client", "until nc 127.0.0.1 8080 </dev/null; do sleep 0.1; done"),
		}},
		"status": map[string]any{"phase": "Pending"},
	}, "container": []any{}}
}

// daemon is a running docker-sd.
type daemon struct {
	kit.Process
	*kit.Caller
	dir, instance string
}

func start(ctx context.Context, dir string) (*daemon, error) {
	d := &daemon{dir: dir, instance: fmt.Sprintf("demo-%d", os.Getpid()), Caller: kit.Unix(filepath.Join(dir, "api.sock"))}
	d.Process = kit.Process{Binary: "bin/docker-sd", Config: filepath.Join(dir, "config.yaml"), Output: os.Stderr, Engine: os.Getenv("DOCKER_HOST")}
	settings := kit.Settings(dir, d.instance, map[string]any{"SandboxImage": os.Getenv("DOCKER_SD_TEST_SANDBOX")})
	if err := kit.WriteConfig(d.Config, settings); err != nil {
		return nil, err
	}
	if err := d.Start(); err != nil {
		return nil, fmt.Errorf("%w (build it with make)", err)
	}
	err := d.await(ctx, func() (bool, error) {
		status, _, err := d.call(ctx, "/readyz", nil)
		return err == nil && status == http.StatusOK, nil
	})
	if err != nil {
		return nil, errors.Join(err, d.stop())
	}
	return d, nil
}

// stop ends docker-sd and removes the sandboxes that waited in the pool, which it leaves
// for its next start.
func (d *daemon) stop() error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	err := d.Stop(time.Minute)
	engine, dialled := kit.HostEngine()
	if dialled != nil {
		return errors.Join(err, dialled)
	}
	defer engine.Close()
	return errors.Join(err, kit.RemoveInstance(ctx, engine, d.instance))
}

func (d *daemon) call(ctx context.Context, path string, body any) (int, string, error) {
	encoded, err := json.Marshal(body)
	if err != nil {
		return 0, "", err
	}
	return d.Call(ctx, http.MethodPost, path, encoded, kit.Headers("demo"))
}

// say calls and prints; anything but 200 is an error.
func (d *daemon) say(ctx context.Context, path string, body any) (string, error) {
	began := time.Now()
	status, answer, err := d.call(ctx, path, body)
	if err != nil {
		return "", err
	}
	fmt.Printf("%-8s %d in %s  %s\n", path, status, time.Since(began).Round(100*time.Microsecond), strings.TrimSpace(answer))
	if status != http.StatusOK {
		return "", fmt.Errorf("%s answered %d", path, status)
	}
	return answer, nil
}

func (d *daemon) await(ctx context.Context, done func() (bool, error)) error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		if ok, err := done(); ok || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}

// pod runs one pod from create to delete.
func (d *daemon) pod(ctx context.Context, create map[string]any, containers ...string) error {
	if _, err := d.say(ctx, "/create", create); err != nil {
		return err
	}
	pod := create["pod"].(map[string]any)
	err := d.await(ctx, func() (bool, error) {
		_, answer, err := d.call(ctx, "/status", []any{pod})
		return strings.Count(answer, `"terminated"`) >= len(containers), err
	})
	if err != nil {
		return err
	}
	if _, err := d.say(ctx, "/status", []any{pod}); err != nil {
		return err
	}
	metadata := pod["metadata"].(map[string]any)
	for _, name := range containers {
		if _, err := d.say(ctx, "/getLogs", map[string]any{"Namespace": metadata["namespace"], "PodUID": metadata["uid"],
			"PodName": metadata["name"], "ContainerName": name, "Opts": map[string]any{"Timestamps": true}}); err != nil {
			return err
		}
	}
	_, err = d.say(ctx, "/delete", pod)
	return err
}

// empty checks that the deleted pods left no record and no file.
func (d *daemon) empty(ctx context.Context) error {
	err := d.await(ctx, func() (bool, error) {
		records, err := os.ReadDir(filepath.Join(d.dir, "d", "records"))
		return len(records) == 0, err
	})
	if err != nil {
		return fmt.Errorf("a deleted pod left a record: %w", err)
	}
	named, err := filepath.Glob(filepath.Join(d.dir, "d", "default-*"))
	if err == nil && len(named) > 0 {
		err = fmt.Errorf("deleted pods left %v", named)
	}
	if err == nil {
		fmt.Println("\nBoth pods are gone: no record, no file, no sandbox left.")
	}
	return err
}
