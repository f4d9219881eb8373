//go:build e2e

package e2e_test

import (
	"strconv"
	"strings"
	"testing"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
)

// bounds are what a container finds of its limits and of what its node gave it.
const bounds = `cat /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/memory.max 2>/dev/null
ulimit -n; ulimit -Hn; df -m /dev/shm | tail -n 1 | awk '{print $2}'; echo "$http_proxy $HTTPS_PROXY"`

// TestPodDefaults: a pod that asks for nothing has this node's limits and proxies, and one
// that asks keeps its own. Without a key, open files alone are bounded.
func TestPodDefaults(t *testing.T) {
	t.Parallel()
	own := func(p *v1.Pod) *v1.Pod {
		c := &p.Spec.Containers[0]
		c.Resources.Limits = v1.ResourceList{v1.ResourceMemory: resource.MustParse("32Mi")}
		c.Env = []v1.EnvVar{{Name: "HTTP_PROXY", Value: "http://own:1"}, {Name: "HTTPS_PROXY", Value: "http://own:2"}}
		p.Annotations = map[string]string{"docker-options.vk.io/flags": "--ulimit nofile=100:200 --shm-size 16m"}
		return p
	}
	site := ownDaemon(t, 2, map[string]any{"PodDefaults": map[string]any{
		"limits": map[string]any{"memory": "64Mi", "cpu": 1}, "ulimits": map[string]any{"nofile": "1000:2000"}, "shmSize": "32Mi",
		"httpProxy": "http://user:word@proxy.example.org:3128", "httpsProxy": "http://proxy.example.org:3129",
	}})
	plain, unbounded := ownDaemon(t, 1, nil), ownDaemon(t, 1, map[string]any{"PodDefaults": map[string]any{"ulimits": map[string]any{}}})
	of := func(d *daemon) int {
		most, err := strconv.Atoi(strings.TrimSpace(d.run(t, newPod(shell("c", "ulimit -Hn"))).output()))
		if err != nil {
			t.Fatal(err)
		}
		return most
	}
	files := strconv.Itoa(min(of(unbounded), 1<<20))
	for _, c := range []struct {
		name string
		d    *daemon
		pod  *v1.Pod
		want []string
	}{
		{"the site's", site, newPod(shell("c", bounds)), []string{"67108864", "1000", "2000", "32", "http://user:word@proxy.example.org:3128 http://proxy.example.org:3129"}},
		{"its own", site, own(newPod(shell("c", bounds))), []string{"33554432", "100", "200", "16", " http://own:2"}},
		{"none", plain, newPod(shell("c", bounds)), []string{"", files, files, "64", " "}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := strings.Split(strings.TrimSuffix(c.d.run(t, c.pod).output(), "\n"), "\n")
			if len(got) != len(c.want) {
				t.Fatalf("the container printed %q, want lines as in %q", got, c.want)
			}
			for i, want := range c.want {
				if want != "" && got[i] != want {
					t.Errorf("line %d of the container's output is %q, want %q", i, got[i], want)
				}
			}
		})
	}
}
