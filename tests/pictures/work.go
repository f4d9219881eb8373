package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/google/uuid"
	"github.com/intertwin-eu/interlink-docker-plugin/tests/kit"
)

// node is a docker-sd at work, and the Prometheus that watches it.
type node struct {
	kit.Process
	*kit.Caller
	dir, instance string
	prom          *exec.Cmd
}

// addresses of the two; nothing else may listen there.
const (
	watched = "127.0.0.1:14001"
	watcher = "127.0.0.1:14090"
)

func startNode(ctx context.Context) (*node, error) {
	dir, err := os.MkdirTemp("", "sd")
	if err != nil {
		return nil, err
	}
	n := &node{dir: dir, instance: "pictures-" + uuid.NewString()[:8], Caller: kit.Unix(filepath.Join(dir, "api.sock"))}
	n.Process = kit.Process{Binary: "bin/docker-sd", Config: filepath.Join(dir, "docker-sd.yaml"), Args: []string{"-errorsonly"}, Output: os.Stderr, Engine: os.Getenv("DOCKER_HOST")}
	settings := kit.Settings(dir, n.instance, map[string]any{"AdminAddress": watched, "SandboxImage": os.Getenv("DOCKER_SD_TEST_SANDBOX"), "AVAILABLEDINDS": 3})
	prometheus := "global: {scrape_interval: 2s}\nscrape_configs: [{job_name: docker-sd, static_configs: [{targets: ['" + watched + "']}]}]\n"
	err = errors.Join(kit.WriteConfig(n.Config, settings), os.WriteFile(filepath.Join(dir, "prometheus.yaml"), []byte(prometheus), 0o600))
	if err != nil {
		return nil, err
	}
	if err := n.Start(); err != nil {
		return nil, err
	}
	n.prom = exec.CommandContext(ctx, "prometheus", "--config.file="+filepath.Join(dir, "prometheus.yaml"),
		"--storage.tsdb.path="+filepath.Join(dir, "tsdb"), "--web.listen-address="+watcher, "--log.level=error")
	n.prom.Stderr = os.Stderr
	if err := n.prom.Start(); err != nil {
		return nil, errors.Join(fmt.Errorf("start %s: %w", n.prom.Path, err), n.stop(ctx))
	}
	return n, nil
}

// stop ends both, and removes the sandboxes that waited in the pool.
func (n *node) stop(ctx context.Context) error {
	problems := []error{n.Stop(time.Minute)}
	if n.prom.Process != nil {
		problems = append(problems, n.prom.Process.Signal(syscall.SIGTERM), n.prom.Wait())
	}
	engine, err := kit.Dial(cmp.Or(os.Getenv("DOCKER_HOST"), "unix:///var/run/docker.sock"))
	if err != nil {
		return errors.Join(append(problems, err)...)
	}
	defer engine.Close()
	return errors.Join(append(problems, kit.RemoveInstance(ctx, engine, n.instance), os.RemoveAll(n.dir))...)
}

func (n *node) call(ctx context.Context, path string, body any) error {
	return n.JSON(ctx, http.MethodPost, path, body, nil)
}

// work creates pods in waves for a while, polls them as a Virtual Kubelet does,
// and deletes them some time after.
func (n *node) work(ctx context.Context, length time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, length)
	defer cancel()
	var pods sync.WaitGroup
	defer pods.Wait()
	tick := time.NewTicker(3 * time.Second)
	defer tick.Stop()
	for i := 0; ; i++ {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		for range 1 + 3*(i%10/8) { // now and then a burst
			pods.Go(func() {
				if err := n.pod(ctx, i); err != nil && ctx.Err() == nil {
					fmt.Fprintln(os.Stderr, "pictures: a pod:", err)
				}
			})
		}
	}
}

// pod lives for some seconds; every seventh fails, every ninth restarts once.
func (n *node) pod(ctx context.Context, i int) error {
	script, policy := fmt.Sprintf("sleep %d", 5+i*7%20), "Never"
	switch {
	case i%9 == 4:
		script, policy = "sleep 2; exit 1", "OnFailure"
	case i%7 == 3:
		script += "; exit 1"
	}
	pod := map[string]any{
		"metadata": map[string]any{"name": fmt.Sprintf("job-%d", i), "namespace": "default", "uid": uuid.NewString()},
		"spec": map[string]any{"restartPolicy": policy, "containers": []any{map[string]any{"name": "main", "image": os.Getenv("DOCKER_SD_TEST_BUSYBOX"),
			"command": []string{"sh", "-c", script}, "imagePullPolicy": "IfNotPresent"}}},
		"status": map[string]any{"phase": "Pending"},
	}
	if err := n.call(ctx, "/create", map[string]any{"pod": pod, "container": []any{}}); err != nil {
		return err
	}
	for range 6 {
		select {
		case <-ctx.Done():
		case <-time.After(5 * time.Second):
		}
		if ctx.Err() != nil {
			break
		}
		if err := n.call(ctx, "/status", []any{pod}); err != nil {
			return err
		}
	}
	return n.call(context.WithoutCancel(ctx), "/delete", pod)
}
