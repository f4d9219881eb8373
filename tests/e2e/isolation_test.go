//go:build e2e

package e2e_test

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	v1 "k8s.io/api/core/v1"
)

var served = regexp.MustCompile(`address="?127\.0\.0\.1:(\d+)`)

// TestPodsReachNothingOfTheHost: neither root nor a privileged container finds
// docker-sd, its files, the host's engine, another pod's files, or a process of
// the host; and from its network none of docker-sd's ports answers.
func TestPodsReachNothingOfTheHost(t *testing.T) {
	t.Parallel()
	d := prepareDaemon(t, map[string]any{"AVAILABLEDINDS": 1, "Socket": "", "SidecarPort": 0, "AdminAddress": "127.0.0.1:0"})
	if err := d.launch(); err != nil {
		t.Fatal(err)
	}
	eventually(t, runLimit, "both ports in the log", func() bool {
		return len(served.FindAllString(d.log.String(), -1)) >= 2
	}, d.log.String)
	ports := []string{}
	for _, found := range served.FindAllStringSubmatch(d.log.String(), -1) {
		ports = append(ports, found[1])
	}
	d.client = overTCP(listening.FindStringSubmatch(d.log.String())[1])

	other := withVolume(newPod(shell("c", "echo private >/vol/theirs; "+untilStopped)), emptyDir(), "/vol")
	theirs := d.run(t, other)
	theirs.waitRunning()

	engine := strings.TrimPrefix(os.Getenv("DOCKER_HOST"), "unix://")
	paths := []string{d.data(), filepath.Join(d.data(), "admin.sock"), d.config, "/var/lib/docker", "/var/run/docker.sock", "/run/docker.sock", engine}
	looks := []sight{
		{fmt.Sprintf("ls -d %s 2>/dev/null", strings.Join(paths, " ")), ""},
		{"find / -xdev -name theirs 2>/dev/null", ""},
		{"find / -xdev -type s 2>/dev/null", ""},
		{fmt.Sprintf("kill -0 %d 2>/dev/null && echo signalled", d.cmd.Process.Pid), ""},
		{fmt.Sprintf("for a in $(ip route | awk '$1 == \"default\" {print $3}') %s 127.0.0.1; do for p in %s; do nc -w 2 $a $p </dev/null >/dev/null 2>&1 && echo open $a $p; done; done",
			strings.Join(hostAddresses(t), " "), strings.Join(ports, " ")), ""},
		{"awk 'NR>2{print $1, $2}' /proc/partitions | while read -r major minor; do mknod /b b $major $minor 2>/dev/null && head -c 1 /b >/dev/null 2>&1 && echo read $major $minor; rm -f /b; done", ""},
		{"{ cat /proc/sys/kernel/core_pattern >/proc/sys/kernel/core_pattern; } 2>/dev/null || echo refused", "refused"},
		{"{ cat /sys/kernel/uevent_helper >/sys/kernel/uevent_helper; } 2>/dev/null || echo refused", "refused"},
		{"{ cat /dev/null >/proc/sysrq-trigger; } 2>/dev/null || echo refused", "refused"},
	}
	lists := map[string][]sight{"root": looks, "privileged": looks}
	pod := lookPod(lists)
	named(t, pod, "privileged").SecurityContext = &v1.SecurityContext{Privileged: ptr(true)}
	ours := d.run(t, pod)
	ours.checkLooks(lists)

	apart := map[string][]sight{"c": {
		{fmt.Sprintf("kill -0 %d 2>/dev/null && echo signalled", d.cmd.Process.Pid), ""},
		{"cat /proc/[0-9]*/comm | grep -c under-test", "0"},
		{"for p in /proc/[0-9]*; do ls $p/root" + d.data() + " 2>/dev/null; done", ""},
	}}
	spy := lookPod(apart)
	spy.Spec.HostPID = true
	spy.Spec.Containers[0].SecurityContext = &v1.SecurityContext{Privileged: ptr(true)}
	d.run(t, spy).checkLooks(apart)
}

// hostAddresses are some that the host answers on beside loopback.
func hostAddresses(t *testing.T) []string {
	t.Helper()
	all, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, address := range all {
		if ip, ok := address.(*net.IPNet); ok && ip.IP.To4() != nil && !ip.IP.IsLoopback() && len(out) < 3 {
			out = append(out, ip.IP.String())
		}
	}
	return out
}
