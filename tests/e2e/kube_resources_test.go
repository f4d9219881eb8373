//go:build e2e

package e2e_test

import (
	"net/http"
	"strings"
	"testing"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
)

// Control groups of either version.
const (
	showMemory = "cd /sys/fs/cgroup; cat memory.max memory/memory.limit_in_bytes 2>/dev/null"
	showQuota  = "cd /sys/fs/cgroup; cat cpu.max 2>/dev/null || echo $(cat cpu/cpu.cfs_quota_us cpu/cpu.cfs_period_us)"
	// Version 2 has weights from 1 to 10000 for shares from 2 to 262144.
	showShares = "cd /sys/fs/cgroup; cat cpu/cpu.shares 2>/dev/null || awk '{print int(($1-1)*262142/9999)+2}' cpu.weight"
	showPids   = "cd /sys/fs/cgroup; cat pids.max pids/pids.max 2>/dev/null"
	// No swap on top of memory, where the kernel accounts for swap at all.
	showSwap = "cd /sys/fs/cgroup; if [ -f memory.swap.max ]; then cat memory.swap.max; elif [ -f memory/memory.memsw.limit_in_bytes ];" +
		" then echo $(($(cat memory/memory.memsw.limit_in_bytes)-$(cat memory/memory.limit_in_bytes))); else echo 0; fi"
	showOOM = "cat /proc/self/oom_score_adj"
)

func kubeResources(t *testing.T, d kubeDaemon) {
	burst := map[string][]sight{
		"limited": {{showMemory, "67108864"}, {showSwap, "0"}, {showQuota, "150000 100000"}, {showShares, "512"},
			// The burstable formula on 32Mi of 64 GiB.
			{showOOM, "999"}},
		"plain": {{showQuota + " | sed 's/-1/max/'", "max 100000"}, {showShares, "2"}, {showOOM, "999"},
			{"n=$(ulimit -n); test $n = unlimited || test $n -ge 1024 && test $n -le 1048576 && echo sane", "sane"}},
	}
	pod := lookPod(burst)
	named(t, pod, "limited").Resources = v1.ResourceRequirements{
		Limits:   v1.ResourceList{"cpu": resource.MustParse("1500m"), "memory": resource.MustParse("64Mi")},
		Requests: v1.ResourceList{"cpu": resource.MustParse("500m"), "memory": resource.MustParse("32Mi")}}
	pods := []*podRun{d.run(t, pod)}
	effort := map[string][]sight{"c": {{showOOM, "1000"}}}
	pods = append(pods, d.run(t, lookPod(effort)))
	sure := map[string][]sight{"c": {{showOOM, "0"}, {showShares, "102"}}}
	pod = lookPod(sure)
	pod.Spec.Containers[0].Resources = limits("100m", "32Mi")
	pods = append(pods, d.run(t, pod))
	for i, looks := range []map[string][]sight{burst, effort, sure} {
		pods[i].checkLooks(looks)
	}
}

const flagsKey = "docker-options.vk.io/flags"

// kubeFlags: those that restrict are seen inside, others are refused by name,
// among them those that grant what the cluster may have forbidden.
func kubeFlags(t *testing.T, d kubeDaemon) {
	looks := map[string][]sight{"c": {
		{"ulimit -n; ulimit -Hn", "2048\n4096"},
		{"df -m /dev/shm | awk 'END{print $2}'", "96"},
		{showMemory, "100663296"}, {showQuota, "50000 100000"}, {showPids, "200"},
		{"echo \"$FROM_FLAG\" \"$OWN\"", "a b own"},
		{"id -u; pwd", "0\n/tmp"},
		{"touch /x || echo refused", "touch: /x: Read-only file system\nrefused"},
		{bounding, "00000000a80405fb"},
	}}
	pod := lookPod(looks)
	pod.Spec.Containers[0].Env = []v1.EnvVar{{Name: "OWN", Value: "own"}}
	pod.Annotations = map[string]string{flagsKey: `--ulimit nofile=2048:4096 --shm-size=96m -m 96m --cpus=0.5 --pids-limit 200 ` +
		`-e 'FROM_FLAG=a b' --env=OWN=flag --workdir "/tmp" --read-only --cap-drop=NET_RAW --ipc=host`}
	p := d.run(t, pod)
	for _, flags := range []string{"--privileged", "--network=host", "--net host", "-v /:/host", "--volume=/:/host", "--mount type=bind",
		"--device /dev/sda", "--pid=host", "--security-opt seccomp=unconfined", "--rm", "--name x", "--entrypoint sh", "--cap-add SYS_ADMIN",
		"--cgroup-parent=/", "--gpus all", "--add-host a:1", "--userns=host", "--ipc=container:x",
		"--cap-add ALL", "--cap-add=NET_ADMIN", "--user 0", "--ulimit rtprio=99"} {
		bad := newPod(shell("c", "true"))
		bad.Annotations = map[string]string{flagsKey: "--shm-size=1g " + flags}
		code, text := d.must(t, http.MethodPost, "/create", encode(t, newCreate(bad)))
		name, _, _ := strings.Cut(strings.Fields(flags)[0], "=")
		if want := strings.TrimLeft(name, "-"); code != http.StatusBadRequest || !strings.Contains(text, flagsKey) || !strings.Contains(text, want) {
			t.Errorf("%s was answered with %d %s", flags, code, text)
		}
	}
	p.checkLooks(looks)
}
