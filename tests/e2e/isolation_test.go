//go:build e2e

package e2e_test

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	v1 "k8s.io/api/core/v1"
)

var served = regexp.MustCompile(`address="?127\.0\.0\.1:(\d+)`)

// TestPodsReachNothingOfTheHost: neither root nor a privileged container finds
// docker-sd, its files, the host's engine, another pod's files, or a process of
// the host; and from its network none of docker-sd's ports answers. Each attempt succeeds
// where nothing is in its way: on the host, in the other pod, or on what is the container's.
func TestPodsReachNothingOfTheHost(t *testing.T) {
	t.Parallel()
	d := prepareDaemon(t, map[string]any{"AVAILABLEDINDS": 1, "Socket": "", "SidecarPort": 0, "AdminAddress": "127.0.0.1:0"})
	if err := d.Start(); err != nil {
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

	// Below all mounts, but for what the kernel shows.
	find := func(what string) string {
		return "find / \\( -path /proc -o -path /sys \\) -prune -o " + what + " -print 2>/dev/null"
	}
	theirFile := find("-name theirs")
	theirs := d.run(t, withVolume(newPod(shell("c", "echo private >/vol/theirs; "+theirFile+"; echo looked; "+untilStopped)), emptyDir(), "/vol"))
	theirs.waitLog("c", "/vol/theirs\nlooked\n")

	engine := strings.TrimPrefix(os.Getenv("DOCKER_HOST"), "unix://")
	paths := []string{d.data(), filepath.Join(d.data(), "admin.sock"), d.Config, "/var/lib/docker", "/var/run/docker.sock", "/run/docker.sock", engine}
	listPaths := fmt.Sprintf("ls -d %s 2>/dev/null", strings.Join(paths, " "))
	signal := fmt.Sprintf("kill -0 %d 2>/dev/null && echo signalled", d.PID())
	read := "mknod /b %s %s %s 2>/dev/null && head -c 1 /b >/dev/null 2>&1 && echo read; rm -f /b"
	write := "{ cat %[1]s >%[1]s; } 2>/dev/null && echo written || echo refused"
	looksOn := func(port int, sockets string) []sight {
		return []sight{
			{listPaths, ""},
			{theirFile, ""},
			{find("-type s"), sockets},
			{signal, ""},
			{fmt.Sprintf("for a in $(ip route | awk '$1 == \"default\" {print $3}') %s 127.0.0.1; do for p in %s; do nc -w 2 $a $p </dev/null >/dev/null 2>&1 && echo open $a $p; done; done",
				strings.Join(hostAddresses(t), " "), strings.Join(ports, " ")), ""},
			{fmt.Sprintf("nc -l -p %[1]d >/dev/null 2>&1 & for i in $(seq 100); do nc -w 2 127.0.0.1 %[1]d </dev/null >/dev/null 2>&1 && echo open && break; sleep 0.1; done", port), "open"},
			{"awk 'NR>2{print $1, $2}' /proc/partitions | while read -r major minor; do " + fmt.Sprintf(read, "b", "$major", "$minor") + "; done", ""},
			{fmt.Sprintf(read, "c", "1", "5"), "read"},
			{fmt.Sprintf(write, "/proc/sys/kernel/core_pattern"), "refused"},
			{fmt.Sprintf(write, "/sys/kernel/uevent_helper"), "refused"},
			{"{ cat /dev/null >/proc/sysrq-trigger; } 2>/dev/null && echo written || echo refused", "refused"},
			{fmt.Sprintf(write, "/proc/self/oom_score_adj"), "written"},
		}
	}
	onHost(t, listPaths, d.data())
	onHost(t, signal, "signalled")
	onHost(t, "find "+d.data()+" -type s -print", filepath.Join(d.data(), "admin.sock"))
	for _, port := range ports {
		conn, err := net.Dial("tcp", net.JoinHostPort("127.0.0.1", port))
		if err != nil {
			t.Fatalf("docker-sd answers nobody at its port: %v", err)
		}
		conn.Close()
	}
	lists := map[string][]sight{"root": looksOn(5001, ""),
		// At this one the sandbox's init answers fusermount, see TestFuse.
		"privileged": looksOn(5002, "/dev/docker-sd-fuse")}
	pod := lookPod(lists)
	named(t, pod, "privileged").SecurityContext = &v1.SecurityContext{Privileged: ptr(true)}
	ours := d.run(t, pod)
	ours.checkLooks(lists)

	names := "cat /proc/[0-9]*/comm 2>/dev/null | grep under-test"
	roots := "for p in /proc/[0-9]*; do ls -d $p/root" + d.data() + " 2>/dev/null; done"
	onHost(t, names, "under-test")
	onHost(t, roots, fmt.Sprintf("/proc/%d/root%s", os.Getpid(), d.data()))
	apart := map[string][]sight{"c": {{signal, ""}, {names, ""}, {roots, ""}}}
	spy := lookPod(apart)
	spy.Spec.HostPID = true
	spy.Spec.Containers[0].SecurityContext = &v1.SecurityContext{Privileged: ptr(true)}
	d.run(t, spy).checkLooks(apart)
}

// onHost runs a command of a pod on the host, where nothing is in its way: a line of what it
// prints is want.
func onHost(t *testing.T, command, want string) {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "sh", "-c", command).Output()
	if !slices.Contains(strings.Split(string(out), "\n"), want) {
		t.Fatalf("on the host %s prints %q (%v), want a line %q", command, out, err, want)
	}
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
