//go:build e2e

package e2e_test

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/uuid"
	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// machine is a container in a network of the engine's that plays everything that is
// not this host: another machine, and the metadata services of two clouds.
type machine struct{ address, gateway, bridge string }

// metadataAddresses are routed to the machine.
var metadataAddresses = []string{"169.254.169.254", "100.100.100.200"}

// newMachine has a web server answer on the machine's address and the metadata
// services', and the host route these to it.
func newMachine(t *testing.T) *machine {
	t.Helper()
	m := &machine{address: "10.214.77.2", gateway: "10.214.77.1", bridge: "e2e-machine"}
	label := map[string]string{instanceLabel: "e2e-machine-" + uuid.NewString()[:8]}
	t.Cleanup(func() {
		if err := suite.engine.removeInstance(context.Background(), label[instanceLabel]); err != nil {
			t.Error(err)
		}
	})
	headers := map[string]string{"Content-Type": "application/json"}
	suite.engine.post(t, "/networks/create", headers, bytes.NewReader(encode(t, map[string]any{"Name": label[instanceLabel], "Driver": "bridge",
		"Labels": label, "Options": map[string]string{"com.docker.network.bridge.name": m.bridge},
		"IPAM": map[string]any{"Config": []map[string]string{{"Subnet": "10.214.77.0/29"}}}})))
	script := "mkdir /www; echo machine >/www/index.html; "
	for _, address := range metadataAddresses {
		script += "ip addr add " + address + "/32 dev lo; "
	}
	suite.engine.post(t, "/containers/create?name="+label[instanceLabel], headers, bytes.NewReader(encode(t, map[string]any{
		"Image": suite.images.busybox, "Labels": label, "Entrypoint": []string{"sh", "-c", script + "exec httpd -f -p 80 -h /www"},
		"HostConfig": map[string]any{"NetworkMode": label[instanceLabel], "CapAdd": []string{"NET_ADMIN"}}})))
	suite.engine.post(t, "/containers/"+label[instanceLabel]+"/start", headers, nil)
	for _, address := range metadataAddresses {
		hostIP(t, "route", "add", address+"/32", "via", m.address)
		t.Cleanup(func() { hostIP(t, "route", "del", address+"/32", "via", m.address) })
	}
	passOn(t, m.bridge)
	return m
}

// hostIP changes addresses and routes of the host.
func hostIP(t *testing.T, args ...string) {
	t.Helper()
	if out, err := exec.Command("busybox", append([]string{"ip"}, args...)...).CombinedOutput(); err != nil {
		t.Errorf("ip %s: %v: %s", strings.Join(args, " "), err, out)
	}
}

// passOn has the host pass on what comes in by an interface, as it does with all of
// them where the engine may change that.
func passOn(t *testing.T, bridge string) {
	t.Helper()
	if err := os.WriteFile("/proc/sys/net/ipv4/conf/"+bridge+"/forwarding", []byte("1"), 0o644); err != nil {
		t.Fatal(err)
	}
}

// passOnUntilDied has the host pass on what comes from the daemon's networks, whichever of
// them the pod gets. The daemon may die before the pod's sandbox has its name.
func (c *crashRun) passOnUntilDied() {
	c.t.Helper()
	eventually(c.t, runLimit, "docker-sd dies", func() bool {
		running := c.d.Running()
		for _, bridge := range c.d.bridges(c.t) {
			// A network may be gone again.
			if err := os.WriteFile("/proc/sys/net/ipv4/conf/"+bridge+"/forwarding", []byte("1"), 0o644); err != nil && !errors.Is(err, os.ErrNotExist) {
				c.t.Fatal(err)
			}
		}
		return !running
	}, nil)
}

// bridgeOf is the host's interface of a pod's sandbox.
func (p *podRun) bridgeOf() string {
	p.t.Helper()
	found := p.d.bridges(p.t, sandboxLabel+"="+p.sandbox().Labels[sandboxLabel])
	if len(found) != 1 {
		p.t.Fatalf("interfaces of the pod's networks: %q", found)
	}
	return found[0]
}

// bridges are the host's interfaces of the daemon's networks that have the labels.
func (d *daemon) bridges(t *testing.T, labels ...string) (names []string) {
	t.Helper()
	var found []struct {
		ID      string `json:"Id"`
		Options map[string]string
	}
	if err := d.engine.call(t.Context(), http.MethodGet, "/networks?"+labelQuery(append(labels, d.label())...), &found); err != nil {
		t.Fatal(err)
	}
	for _, n := range found {
		names = append(names, cmp.Or(n.Options["com.docker.network.bridge.name"], "br-"+n.ID[:12]))
	}
	return names
}

// address of a pod's sandbox.
func (p *podRun) address() string {
	p.t.Helper()
	var seen struct {
		NetworkSettings struct {
			Networks map[string]struct{ IPAddress string }
		}
	}
	if err := p.d.engine.call(p.t.Context(), http.MethodGet, "/containers/"+p.sandbox().ID+"/json", &seen); err != nil {
		p.t.Fatal(err)
	}
	for _, n := range seen.NetworkSettings.Networks {
		return n.IPAddress
	}
	p.t.Fatal("the sandbox has no network")
	return ""
}

// hostServer listens on all interfaces of the host, for TCP and datagrams.
type hostServer struct {
	port  string
	plain net.PacketConn

	mu  sync.Mutex
	got map[string]bool
}

func newHostServer(t *testing.T) *hostServer {
	t.Helper()
	listener, err := net.Listen("tcp4", "0.0.0.0:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "host") })}
	go server.Serve(listener) //nolint:errcheck // until it is closed
	t.Cleanup(func() { server.Close() })
	s := &hostServer{got: map[string]bool{}}
	_, s.port, _ = net.SplitHostPort(listener.Addr().String())
	if s.plain, err = net.ListenPacket("udp4", "0.0.0.0:"+s.port); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.plain.Close() })
	go func() {
		buffer := make([]byte, 1500)
		for {
			n, from, err := s.plain.ReadFrom(buffer)
			if err != nil {
				return
			}
			host, _, _ := net.SplitHostPort(from.String())
			s.mu.Lock()
			s.got[host+" "+strings.TrimSpace(string(buffer[:n]))] = true
			s.mu.Unlock()
		}
	}()
	return s
}

// has says whether a datagram came from an address.
func (s *hostServer) has(from, text string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.got[from+" "+text]
}

// attempts are what a pod tries, by name, as scripts that say yes where it works.
type attempts map[string]string

func get(address string) string { return "/vol/reach tcp " + address }

// gateway of a pod, in its scripts.
const gateway = "$(ip route | awk '$1 == \"default\" {print $3}')"

// attacker is a pod that may change its network and is root, from an image with
// tools for that. It waits for a word of the test, then has every attempt.
func (d *daemon) attacker(t *testing.T, tries attempts) *podRun {
	t.Helper()
	script := "until test -e /vol/go; do usleep 50000; done; iptables -F; iptables -t nat -F; iptables -P OUTPUT ACCEPT\n"
	for _, name := range sortedKeys(tries) {
		script += fmt.Sprintf("printf '<%s>%%s\\n' \"$({ %s\n} | grep yes)\"\n", name, tries[name])
	}
	c := container("c", "sh", "-c", script)
	c.Image = suite.images.sandbox
	c.SecurityContext = &v1.SecurityContext{Capabilities: &v1.Capabilities{Add: []v1.Capability{"NET_ADMIN", "NET_RAW"}}}
	word := filepath.Join(d.hostPath(), uuid.NewString())
	buildReach(t, word)
	p := d.run(t, withVolume(newPod(c), hostDir(word), "/vol"))
	p.waitRunning()
	passOn(t, p.bridgeOf())
	if err := os.WriteFile(filepath.Join(word, "go"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	return p
}

// buildReach puts the program for attempts into a folder of the host's.
func buildReach(t *testing.T, dir string) {
	t.Helper()
	build := exec.Command("go", "build", "-o", filepath.Join(dir, "reach"), "./testdata/reach")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build reach: %v\n%s", err, out)
	}
}

// worked are the attempts of a pod that worked.
func (p *podRun) worked(tries attempts) map[string]bool {
	p.t.Helper()
	p.waitPhase(v1.PodSucceeded)
	text, out := p.logs("c", logOptions{}), map[string]bool{}
	p.t.Logf("the attempts said:\n%s", text)
	for name := range tries {
		_, rest, found := strings.Cut(text, "<"+name+">")
		if !found {
			p.t.Errorf("attempt %q is not in the log: %q", name, text)
		}
		out[name] = strings.HasPrefix(rest, "yes")
	}
	return out
}

// TestPodFirewall: what a pod with NET_ADMIN and NET_RAW reaches of the host, of
// metadata services, of other machines and other pods, by configuration. With
// disabled rules all of it works, so the attempts are good.
func TestPodFirewall(t *testing.T) {
	m, s := newMachine(t), newHostServer(t)
	own := hostAddresses(t)[0]
	for _, c := range []struct {
		name     string
		settings map[string]any
		want     map[string]bool
	}{
		{"disabled", map[string]any{"PodFirewall": "disabled"},
			map[string]bool{"host": true, "gateway": true, "datagram": true, "forged": true, "metadata": true, "metadata2": true, "pod": true, "machine": true}},
		{"enabled", nil, map[string]bool{"machine": true}},
		{"the host's port", map[string]any{"PodFirewall": "required", "PodsMayReachHost": []string{s.port}},
			map[string]bool{"host": true, "gateway": true, "machine": true}},
		{"an address of the host", map[string]any{"PodsMayReachHost": []string{own + ":" + s.port + "/tcp"}},
			map[string]bool{"host": true, "machine": true}},
		{"the whole host", map[string]any{"PodsMayReachHost": []string{"all"}},
			map[string]bool{"host": true, "gateway": true, "datagram": true, "machine": true}},
		{"metadata", map[string]any{"PodsMayReachMetadata": true}, map[string]bool{"metadata": true, "metadata2": true, "machine": true}},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := ownDaemon(t, 0, c.settings)
			// A neighbour that a probe of docker-sd and a published port have to reach.
			port := freePort(t)
			n := shell("c", "mkdir /www; echo neighbour >/www/index.html; httpd -f -p 80 -h /www")
			n.Ports = []v1.ContainerPort{{ContainerPort: 80, HostPort: int32(port), Protocol: v1.ProtocolTCP}}
			n.ReadinessProbe = &v1.Probe{ProbeHandler: v1.ProbeHandler{HTTPGet: &v1.HTTPGetAction{Port: intstr.FromInt32(80)}}, PeriodSeconds: 1}
			neighbour := d.run(t, newPod(n))
			neighbour.waitFor("ready", func(s podStatus) bool { return s.Container("c").Ready })
			passOn(t, neighbour.bridgeOf())
			if got := fetch(t, port); got != "neighbour\n" {
				t.Errorf("the published port gives %q", got)
			}
			// The host has asked the machine, whose answer the forged datagram pretends to be.
			if _, err := s.plain.WriteTo([]byte("question"), &net.UDPAddr{IP: net.ParseIP(m.address), Port: 9999}); err != nil {
				t.Fatal(err)
			}
			mark := uuid.NewString()[:8]
			tries := attempts{
				"host":      get(own + ":" + s.port),
				"gateway":   get(gateway + ":" + s.port),
				"metadata":  get(metadataAddresses[0] + ":80"),
				"metadata2": get(metadataAddresses[1] + ":80"),
				"machine":   get(m.address + ":80"),
				"pod":       get(neighbour.address() + ":80"),
				"datagram":  "/vol/reach udp " + own + ":" + s.port + " plain" + mark + " :0",
				"forged": "ip addr add " + m.address + "/32 dev eth0; /vol/reach udp " + m.gateway + ":" + s.port + " forged" + mark + " " +
					m.address + ":9999; ip addr del " + m.address + "/32 dev eth0",
			}
			p := d.attacker(t, tries)
			from := p.address()
			got := p.worked(tries)
			// Datagrams are answered by nobody; the listener knows.
			got["datagram"] = s.has(from, "plain"+mark)
			got["forged"] = s.has(m.address, "forged"+mark)
			for name := range tries {
				if got[name] != c.want[name] {
					t.Errorf("%s works: %t, want %t", name, got[name], c.want[name])
				}
			}
		})
	}
}
