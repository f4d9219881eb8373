//go:build e2e

package e2e_test

import (
	"encoding/json"
	"path/filepath"
	"testing"

	v1 "k8s.io/api/core/v1"
)

// kubeFullPod runs the recorded pod to its end. Only its images, its uid and
// what its main container executes are other than recorded.
func kubeFullPod(t *testing.T, d kubeDaemon) {
	var request createRequest
	if err := json.Unmarshal(readRecording(t, d.daemon, "create-full-pod").Body, &request); err != nil {
		t.Fatal(err)
	}
	request.Pod.UID = newPod().UID
	looks := map[string][]sight{"main": fullPodLooks}
	main := named(t, request.Pod, "main")
	main.Args = []string{"echo served >/shared/index.html; httpd -p 8080 -h /shared; until test -e /host/finish; do usleep 20000; done\n" +
		lookScript(fullPodLooks)}
	p := d.runRequest(t, request)
	// Running, so startup and readiness have found the server by its port and its name.
	p.waitRunning()
	if p.pod.Status.Phase != v1.PodRunning {
		t.Errorf("phase = %s", p.pod.Status.Phase)
	}
	if got := p.status().Container("main"); !got.Ready || got.Started == nil || !*got.Started {
		t.Errorf("main = %+v", got)
	}
	if got := fetch(t, 18080); got != "served\n" {
		t.Errorf("the hostPort gives %q", got)
	}
	touch(t, filepath.Join(d.hostPath(), "hp", "finish"))
	p.checkLooks(looks)
	seen := p.status()
	if len(seen.InitContainers) != 2 || seen.InitContainers[0].Name != "init1" || seen.InitContainers[1].State != (v1.ContainerState{}) {
		t.Errorf("init containers = %s", encode(t, seen.InitContainers))
	}
	for _, c := range seen.Containers {
		if c.RestartCount != 0 {
			t.Errorf("container %s was restarted", c.Name)
		}
	}
}

const account = "/var/run/secrets/kubernetes.io/serviceaccount"

var fullPodLooks = []sight{
	{"cat /shared/one; touch /shared/mine; stat -c '%u %g %a' /shared/mine; stat -c '%g %a' /shared", "one\n1000 3000 644\n3000 2777"},
	{"df -m /mem | awk 'END{print $1, $2}'; touch /mem/x", "tmpfs 16"},
	{"ls /etc/cm; cat /etc/cm/a.txt /etc/cm/b.conf", "a.txt\nb.conf\nraw.bin\nalpha\nk=v"},
	{"xxd -p /etc/cm/raw.bin; stat -c %a /etc/cm/raw.bin", "0001020304ff\n440"},
	{"cat /etc/one/a; stat -c '%g %a' /etc/one/a", "alpha\n3000 440"},
	{"cat /etc/sec/user; echo; cat /etc/sec/pass; echo; stat -c '%g %a' /etc/sec/pass", "me\np$w'\"d with spaces\n3000 440"},
	{"touch /etc/sec/x 2>/dev/null || echo refused", "refused"},
	{"cat /etc/down/labels; cat /etc/down/cpu", "app=\"x\"\ntier=\"1\"\n2"},
	{"cat /etc/proj/cfg/a; cat /etc/proj/ns; echo; cat /etc/proj/user; echo; cat /etc/proj/token", "alpha\ndefault\nme\nservice-account-token"},
	{"stat -c %a /etc/proj/cfg/a /etc/proj/token", "644\n640"},
	{"cat " + account + "/token " + account + "/namespace; grep -c 'BEGIN CERTIFICATE' " + account + "/ca.crt", "service-account-tokendefault2"},
	{"touch " + account + "/x 2>/dev/null || echo refused", "refused"},
	{"ls /host; touch /host/x 2>/dev/null || echo 'not mine'", "finish\nnot mine"},
	// GREETING comes before what it refers to.
	{`echo "$GREETING|$PASS|$user|$pass"`, "hello $(POD_NAME)|p$w'\"d with spaces|me|p$w'\"d with spaces"},
	// A shell does not pass such names on, so its own list is read; Kubernetes takes $({ ...) for a name that
	// is not defined and leaves it alone.
	{"tr '\\0' '\\n' </proc/$$/environ | grep '^CM_'", "CM_b.conf=k=v\nCM_a.txt=alpha"},
	{"pwd", "/srv"},
	{"id -u; id -g; " + sortedGroups, "1000\n2000\n2000 3000 4000 "},
	{effective + "; " + bounding, "0000000000000000\n0000000000001000"},
	{"grep NoNewPrivs /proc/self/status | cut -f2", "1"},
	{"touch /x 2>/dev/null || echo refused", "refused"},
	{showQuota, "150000 100000"}, {showMemory, "134217728"}, {showShares, "256"}, {showOOM, "999"},
	{"df -m /dev/shm | awk 'END{print $2}'", "1024"},
	{"hostname", "myhost"},
	{"grep -c 'myhost$' /etc/hosts; grep db.local /etc/hosts | tr '\\t' ' '", "1\n10.1.2.3 db.local"},
	{"grep -v '^#' /etc/resolv.conf | grep . | sort", "nameserver 1.1.1.1\noptions ndots:2\nsearch example.org"},
	// The sidecar's process, in the pod's shared namespace.
	{"cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' '\\n' | grep -q -e '^sleep 1000$' -e '^1000$' && echo there", "there"},
	{"wget -q -O - http://127.0.0.1:8080/", "served"},
}
