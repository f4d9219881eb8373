package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/google/uuid"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/firewall"
)

// node is a docker-sd at work, and the Prometheus that watches it.
type node struct {
	dir, instance string
	client        *http.Client
	daemon, prom  *exec.Cmd
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
	n := &node{dir: dir, instance: "pictures-" + uuid.NewString()[:8], client: &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", filepath.Join(dir, "s"))
		}}}}
	files := map[string]string{
		"docker-sd.yaml": fmt.Sprintf("Socket: unix://%s/s\nDataRootFolder: %s/data\nAdminAddress: %s\nInstance: %s\nSandboxImage: %s\nAVAILABLEDINDS: 3\n",
			dir, dir, watched, n.instance, os.Getenv("DOCKER_SD_TEST_SANDBOX")),
		"prometheus.yaml": "global: {scrape_interval: 2s}\nscrape_configs: [{job_name: docker-sd, static_configs: [{targets: ['" + watched + "']}]}]\n",
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			return nil, err
		}
	}
	n.daemon = exec.CommandContext(ctx, "bin/docker-sd", "-interlinkconfigpath", filepath.Join(dir, "docker-sd.yaml"), "-errorsonly")
	n.prom = exec.CommandContext(ctx, "prometheus", "--config.file="+filepath.Join(dir, "prometheus.yaml"),
		"--storage.tsdb.path="+filepath.Join(dir, "tsdb"), "--web.listen-address="+watcher, "--log.level=error")
	for _, command := range []*exec.Cmd{n.daemon, n.prom} {
		command.Stderr = os.Stderr
		if err := command.Start(); err != nil {
			return nil, errors.Join(fmt.Errorf("start %s: %w", command.Path, err), n.stop(ctx))
		}
	}
	return n, nil
}

// stop ends both, and removes the sandboxes that waited in the pool.
func (n *node) stop(ctx context.Context) error {
	var problems []error
	for _, command := range []*exec.Cmd{n.daemon, n.prom} {
		if command.Process != nil {
			problems = append(problems, command.Process.Signal(syscall.SIGTERM), command.Wait())
		}
	}
	label := "label=docker-sd.instance=" + n.instance
	for _, kind := range [][]string{{"container", "ls", "-aq"}, {"network", "ls", "-q"}} {
		ids, err := exec.CommandContext(ctx, "docker", append(kind, "--filter", label)...).Output()
		problems = append(problems, err)
		for id := range strings.FieldsSeq(string(ids)) {
			remove := []string{kind[0], "rm", id}
			if kind[0] == "container" {
				remove = []string{"container", "rm", "-f", "-v", id}
			}
			problems = append(problems, exec.CommandContext(ctx, "docker", remove...).Run())
		}
	}
	return errors.Join(append(problems, firewall.Remove(n.instance), os.RemoveAll(n.dir))...)
}

func (n *node) call(ctx context.Context, path string, body any) error {
	encoded, err := json.Marshal(body)
	if err != nil {
		return err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://unix"+path, bytes.NewReader(encoded))
	if err != nil {
		return err
	}
	response, err := n.client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s is answered %s", path, response.Status)
	}
	return nil
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
