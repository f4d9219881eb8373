//go:build e2e

package e2e_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	v1 "k8s.io/api/core/v1"
)

func fieldEnv(name, path string) v1.EnvVar {
	return v1.EnvVar{Name: name, ValueFrom: &v1.EnvVarSource{FieldRef: &v1.ObjectFieldSelector{FieldPath: path}}}
}

func kubeNames(t *testing.T, d kubeDaemon) {
	address := "ip -4 addr show scope global | awk '/inet /{sub(\"/.*\",\"\",$2); print $2}'"
	shared := []sight{
		{"test \"$POD_IP\" = \"$(" + address + ")\" && echo same", "same"},
		{"grep -c \"^$POD_IP\" /etc/hosts", "1"},
		{"grep 'db.local' /etc/hosts | tr '\\t' ' '", "10.1.2.3 db.local db"},
		{"grep -c '^127.0.0.1.localhost' /etc/hosts", "1"},
		{"mkdir -p /w; echo six >/w/index.html; httpd -p '[::1]:8096' -h /w; wget -q -O - 'http://[::1]:8096/'", "six"},
		{"echo $NAME $SPACE $NODE", "$POD default e2e"},
	}
	for _, c := range []struct {
		name  string
		edit  func(*v1.PodSpec)
		looks []sight
	}{
		{"name of the pod", func(*v1.PodSpec) {}, []sight{{"hostname", "$POD"}}},
		{"hostname", func(s *v1.PodSpec) { s.Hostname = "myhost" }, []sight{{"hostname", "myhost"},
			{"grep -c 'myhost$' /etc/hosts", "1"}}},
		{"hostnameOverride", func(s *v1.PodSpec) {
			s.Hostname, s.Subdomain, s.HostnameOverride = "h", "sub", ptr("over.ride.example")
		},
			[]sight{{"hostname", "over.ride.example"}, {"grep -c '\tover.ride.example$' /etc/hosts", "1"}, {"grep -c 'h.sub' /etc/hosts", "0"}}},
		{"subdomain", func(s *v1.PodSpec) { s.Hostname, s.Subdomain = "h", "sub" }, []sight{{"hostname", "h"},
			{"grep -c 'h.sub.default.svc.cluster.local\th$' /etc/hosts", "1"}}},
		{"setHostnameAsFQDN", func(s *v1.PodSpec) { s.Hostname, s.Subdomain, s.SetHostnameAsFQDN = "h", "sub", ptr(true) },
			[]sight{{"hostname", "h.sub.default.svc.cluster.local"}, {"cat /proc/sys/kernel/hostname", "h.sub.default.svc.cluster.local"}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			list := append(append([]sight{}, c.looks...), shared...)
			pod := lookPod(map[string][]sight{"c": list})
			for i := range list {
				list[i].want = strings.ReplaceAll(list[i].want, "$POD", pod.Name)
			}
			pod.Spec.Containers[0].Env = []v1.EnvVar{fieldEnv("POD_IP", "status.podIP"), fieldEnv("NAME", "metadata.name"),
				fieldEnv("SPACE", "metadata.namespace"), fieldEnv("NODE", "spec.nodeName")}
			pod.Spec.HostAliases = []v1.HostAlias{{IP: "10.1.2.3", Hostnames: []string{"db.local", "db"}}}
			c.edit(&pod.Spec)
			d.run(t, pod).checkLooks(map[string][]sight{"c": list})
		})
	}
}

func kubeResolver(t *testing.T, d kubeDaemon) {
	settled := "grep -v '^#' /etc/resolv.conf | grep . | sort"
	none := map[string][]sight{"c": {{settled, "nameserver 1.1.1.1\nnameserver 9.9.9.9\noptions ndots:2 edns0\nsearch example.org sub.example.org"}}}
	pod := lookPod(none)
	pod.Spec.DNSPolicy = v1.DNSNone
	pod.Spec.DNSConfig = &v1.PodDNSConfig{Nameservers: []string{"1.1.1.1", "9.9.9.9"}, Searches: []string{"example.org", "sub.example.org"},
		Options: []v1.PodDNSConfigOption{{Name: "ndots", Value: ptr("2")}, {Name: "edns0"}}}
	withNone := d.run(t, pod)
	// Under another policy the host's servers come with the options added.
	added := map[string][]sight{"c": {{"grep -c '^nameserver' /etc/resolv.conf | sed 's/[1-9]/some/'", "some"},
		{"grep -c 'ndots:3' /etc/resolv.conf", "1"}}}
	pod = lookPod(added)
	pod.Spec.DNSPolicy = v1.DNSClusterFirst
	pod.Spec.DNSConfig = &v1.PodDNSConfig{Options: []v1.PodDNSConfigOption{{Name: "ndots", Value: ptr("3")}}}
	withAdded := d.run(t, pod)
	withNone.checkLooks(none)
	withAdded.checkLooks(added)
}

func freePort(t *testing.T) int {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().(*net.TCPAddr).Port
}

// fetch asks the host's own address until it is answered.
func fetch(t *testing.T, port int) string {
	t.Helper()
	call := &http.Client{Timeout: time.Minute, Transport: &http.Transport{DisableKeepAlives: true}}
	var text []byte
	eventually(t, runLimit, "the port answers on 127.0.0.1", func() bool {
		response, err := call.Get(fmt.Sprintf("http://127.0.0.1:%d/", port))
		if err != nil {
			return false
		}
		defer response.Body.Close()
		text, err = io.ReadAll(response.Body)
		return err == nil && response.StatusCode == http.StatusOK
	}, nil)
	return string(text)
}

// kubeHostPort: it is reachable on the host, refused to another pod, and free
// again after the delete.
func kubeHostPort(t *testing.T, d kubeDaemon) {
	port := freePort(t)
	serving := func(text string) *v1.Pod {
		c := shell("c", "mkdir /www; echo "+text+" >/www/index.html; httpd -f -p 8095 -h /www")
		c.Ports = []v1.ContainerPort{{ContainerPort: 8095, HostPort: int32(port), Protocol: v1.ProtocolTCP}}
		return newPod(c)
	}
	first := d.run(t, serving("first"))
	first.waitRunning()
	if got := fetch(t, port); got != "first\n" {
		t.Errorf("the port gives %q", got)
	}
	code, text := d.must(t, http.MethodPost, "/create", encode(t, newCreate(serving("second"))))
	if code != http.StatusConflict || !strings.Contains(text, "hostPort "+strconv.Itoa(port)) {
		t.Errorf("a second pod with the port was answered with %d %s", code, text)
	}
	first.delete(0)
	first.waitGone()
	third := d.run(t, serving("third"))
	third.waitRunning()
	if got := fetch(t, port); got != "third\n" {
		t.Errorf("the port gives %q after the first pod's delete", got)
	}
}

// kubeSandboxBounds: whatever its containers ask for, the sandbox is limited.
func kubeSandboxBounds(t *testing.T, d kubeDaemon) {
	p := d.run(t, newPod(shell("c", untilStopped)))
	p.waitRunning()
	var seen struct {
		HostConfig struct {
			Memory, PidsLimit int64
			Privileged        bool
		}
	}
	if err := suite.engine.call(t.Context(), http.MethodGet, "/containers/"+p.sandbox().ID+"/json", &seen); err != nil {
		t.Fatal(err)
	}
	var host struct{ MemTotal int64 }
	if err := suite.engine.call(t.Context(), http.MethodGet, "/info", &host); err != nil {
		t.Fatal(err)
	}
	if got := seen.HostConfig; got.Memory <= 0 || got.Memory >= host.MemTotal || got.PidsLimit <= 0 || got.Privileged {
		text, _ := json.Marshal(got)
		t.Errorf("the sandbox has %s on a host with %d bytes of memory", text, host.MemTotal)
	}
}
