//go:build e2e

package e2e_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
)

// oddity is what people have reported of other runtimes: a pod with one container c, and
// what that shows once the pod has succeeded.
type oddity struct {
	name string
	// image is the lines of a Dockerfile, none for busybox.
	image []string
	edit  func(p *v1.Pod, c *v1.Container)
	looks []sight
}

// quotaOf reads the CPU limit as programs do that ask for their control group: its path in
// the hierarchy, and where that hierarchy is mounted from.
const quotaOf = `if [ -f /sys/fs/cgroup/cpu.max ]; then cut -d ' ' -f 1 "/sys/fs/cgroup$(cut -d : -f 3 /proc/self/cgroup)/cpu.max"; else
path=$(awk -F: '$2 ~ /(^|,)cpu(,|$)/ {print $3}' /proc/self/cgroup)
awk -v path="$path" '/ - cgroup / && $NF ~ /(^|,)cpu(,|$)/ && index(path, $4) == 1 {print $5 substr(path, length($4) + 1)}' /proc/self/mountinfo | while read -r dir; do cat "$dir/cpu.cfs_quota_us"; done; fi`

var oddities = []oddity{
	{"control group as programs read it", nil, func(_ *v1.Pod, c *v1.Container) { c.Resources = limits("500m", "64Mi") },
		[]sight{{quotaOf, "50000"}}},
	{"orphans of a shared process namespace", nil, func(p *v1.Pod, _ *v1.Container) { p.Spec.ShareProcessNamespace = ptr(true) },
		[]sight{{"for i in 1 2 3 4 5; do sh -c 'sh -c true & exit 0'; done; until [ $(grep -l '^State:.Z' /proc/[0-9]*/status 2>/dev/null | wc -l) = 0 ]; do usleep 20000; done; echo none left", "none left"}}},
	{"working directory that the user may not enter", []string{"RUN mkdir -m 700 /secret", "WORKDIR /secret", "USER 1234"}, func(*v1.Pod, *v1.Container) {},
		[]sight{{"id -u; readlink /proc/self/cwd", "1234\n/secret"}}},
	{"health check of the image", []string{"HEALTHCHECK --interval=1s --start-period=1ms CMD touch /vol/checked"}, func(p *v1.Pod, _ *v1.Container) { withVolume(p, emptyDir(), "/vol") },
		[]sight{{"usleep 3000000; ls /vol", ""}}},
	{"volume of the image", []string{"RUN mkdir /data && echo from-image >/data/f && chown 1234 /data", "VOLUME /data", "USER 1234"}, func(*v1.Pod, *v1.Container) {},
		[]sight{{"cat /data/f; touch /data/new && echo written; grep -c ' /data ' /proc/mounts", "from-image\nwritten\n1"}}},
	{"name of 80 characters", nil, func(p *v1.Pod, _ *v1.Container) { p.Name = strings.Repeat("n", 62) + "-" + strings.Repeat("m", 17) },
		[]sight{{"hostname", strings.Repeat("n", 62)}, {"hostname >/tmp/h; grep -c $(cat /tmp/h) /etc/hosts", "1"}}},
	{"low ports and ping without root", nil, func(_ *v1.Pod, c *v1.Container) {
		c.SecurityContext = &v1.SecurityContext{RunAsUser: ptr(int64(1234)), Capabilities: &v1.Capabilities{Drop: []v1.Capability{"ALL"}}}
	}, []sight{{"echo served | nc -l -p 80 & until nc 127.0.0.1 80 </dev/null; do usleep 20000; done 2>/dev/null", "served"},
		// Which groups may have the socket of a ping that needs no capability.
		{"cat /proc/sys/net/ipv4/ping_group_range", "0\t2147483647"}}},
	{"no GPUs", nil, func(_ *v1.Pod, c *v1.Container) {
		none := v1.ResourceList{"nvidia.com/gpu": resource.MustParse("0")}
		c.Resources = v1.ResourceRequirements{Limits: none, Requests: none}
	}, []sight{{"ls /dev | grep -c nvidia", "0"}}},
}

// kubeOddities runs each.
func kubeOddities(t *testing.T, d kubeDaemon) {
	for _, odd := range oddities {
		t.Run(odd.name, func(t *testing.T) {
			t.Parallel()
			looks := map[string][]sight{"c": odd.looks}
			pod := lookPod(looks)
			if odd.image != nil {
				pod.Spec.Containers[0].Image = builtImage(t, odd.image...)
			}
			odd.edit(pod, &pod.Spec.Containers[0])
			d.run(t, pod).checkLooks(looks)
		})
	}
}

// kubeStopSignal: a container is stopped with the signal that its image names.
func kubeStopSignal(t *testing.T, d kubeDaemon) {
	dir := d.hostFolder(t, "stopsignal")
	c := shell("c", "trap 'echo USR1 >/vol/got; exit 0' USR1; trap 'echo TERM >/vol/got; exit 0' TERM; touch /vol/ready; while :; do usleep 20000; done")
	c.Image = builtImage(t, "STOPSIGNAL SIGUSR1")
	p := d.run(t, withVolume(newPod(c), hostDir(dir), "/vol"))
	waitFile(t, filepath.Join(dir, "ready"))
	p.delete(60)
	p.waitGone()
	if got, err := os.ReadFile(filepath.Join(dir, "got")); err != nil || string(got) != "USR1\n" {
		t.Errorf("it was stopped with %q, %v", got, err)
	}
}

// kubeVolumeOfTheImage: what a run has left in a volume of the image is not there in the next.
func kubeVolumeOfTheImage(t *testing.T, d kubeDaemon) {
	c := shell("c", "test -e /data/been && echo kept; touch /data/been; echo run; exit 1")
	c.Image = builtImage(t, "VOLUME /data")
	pod := newPod(c)
	pod.Spec.RestartPolicy = v1.RestartPolicyOnFailure
	p := d.run(t, pod)
	p.waitFor("two runs", func(s podStatus) bool {
		c := s.Container("c")
		return c.RestartCount == 1 && c.State.Waiting != nil && c.LastTerminationState.Terminated != nil
	})
	for _, previous := range []bool{true, false} {
		if got := p.logs("c", logOptions{Previous: previous}); got != "run\n" {
			t.Errorf("previous %t: %q", previous, got)
		}
	}
}

// kubeScriptWithCRLF: a script whose first line ends with CR LF has no interpreter. It ends,
// and its log names it, as with kubelet and runc.
func kubeScriptWithCRLF(t *testing.T, d kubeDaemon) {
	pod := withVolume(newPod(container("c", "/cm/script")), configMap("cm"), "/cm")
	pod.Spec.Volumes[0].ConfigMap.DefaultMode = ptr(int32(0o755))
	cm := bytesMap()
	cm.Data["script"] = "#!/bin/sh\r\necho no\r\n"
	request := newCreate(pod)
	request.GiveData([]v1.ConfigMap{cm}, nil, nil)
	p := d.runRequest(t, request)
	if end := p.waitPhase(v1.PodFailed).Container("c").State.Terminated; end.ExitCode == 0 {
		t.Errorf("it ended with %+v", end)
	}
	if got := p.logs("c", logOptions{}); !strings.Contains(got, "/cm/script: no such file or directory") {
		t.Errorf("log = %q", got)
	}
}

// kubeManyLayers: images of as many layers as an engine can have run in sandboxes that share
// them.
func kubeManyLayers(t *testing.T, d kubeDaemon) {
	var lines []string
	for i := range 124 { // the image that it is built upon has one
		lines = append(lines, fmt.Sprintf("COPY Dockerfile /layer%d", i))
	}
	for _, layers := range []int{100, 125} {
		t.Run(fmt.Sprint(layers), func(t *testing.T) {
			c := shell("c", "ls / | grep -c layer; cat /layer0 | head -1")
			c.Image = builtImage(t, lines[:layers-1]...)
			if got, want := d.run(t, newPod(c)).output(), fmt.Sprintf("%d\nFROM %s\n", layers-1, suite.images.busybox); got != want {
				t.Errorf("log = %q, want %q", got, want)
			}
		})
	}
}
