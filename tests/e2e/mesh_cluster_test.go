//go:build e2e

package e2e_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	v1 "k8s.io/api/core/v1"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/clusternet"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/clusternet/clusternettest"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/initapi"
	"github.com/intertwin-eu/interlink-docker-plugin/tests/certificates"
	"github.com/intertwin-eu/interlink-docker-plugin/tests/clusterpeer"
)

// cluster is one that pods join, with what its Virtual Kubelet fills templates with.
type cluster struct {
	*clusterpeer.Cluster
	values clusternettest.Values
	// authority is a file with that of its certificate.
	authority string
	// members is how many pods of tests are in the mesh.
	members int
}

// clusters so far: each has a network of its own.
var clusters atomic.Int32

// newCluster makes one beside this host. adjust may change its options.
func newCluster(t *testing.T, adjust ...func(*clusterpeer.Options)) *cluster {
	t.Helper()
	number := 80 + clusters.Add(1)
	dir, err := os.MkdirTemp("/tmp", "cl")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	options := clusterpeer.Options{Dir: dir, Name: fmt.Sprintf("c%d%d", number, os.Getpid()%10000), Net: fmt.Sprintf("198.18.%d", number),
		Cert: filepath.Join(dir, "cert.pem"), Key: filepath.Join(dir, "key.pem")}
	for _, change := range adjust {
		change(&options)
	}
	authority := certificates.New(t, "authority.test", nil)
	certificates.New(t, "ingress.test", authority, net.ParseIP(options.Net+".2")).Write(t, options.Cert, options.Key)
	peer, err := clusterpeer.Start(t.Context(), options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := peer.Close(); err != nil {
			t.Error(err)
		}
	})
	passOn(t, "n-"+options.Name)
	v := clusternettest.Typical()
	v.IngressEndpoint, v.RandomPassword, v.PrivateKey, v.PublicKey = peer.Address, peer.Prefix, peer.PrivateKey, peer.PeerKey
	c := &cluster{Cluster: peer, values: v, authority: filepath.Join(dir, "authority.pem")}
	certificates.Replace(t, c.authority, authority.PEM(), 0o644)
	return c
}

// secure are values with the port of the Ingress that has TLS.
func secure(v clusternettest.Values) clusternettest.Values {
	v.IngressProtocol, v.IngressPort = "wss", fmt.Sprint(clusterpeer.TLSIngressPort)
	return v
}

// Scripts of pods: the first has a page at port 8000 and shows what the pod knows of its
// network; the second asks the service of the cluster for its page every second.
const (
	hasPage = "mkdir /w; echo the page of the pod >/w/index.html; httpd -p 8000 -h /w; trap 'exit 0' TERM; " +
		"echo \"IP $IP, $INTERLINK_MESH_CONTACT_HOST.\"; grep -v '^#' /etc/resolv.conf; grep $IP /etc/hosts; /h/peer fetch http://$HOSTNAME:8000/; "
	asks = "while :; do timeout 5 /h/peer fetch http://web/ >>/h/$HOSTNAME 2>&1; sleep 1 & wait $!; done"
	// moves exchanges data with the service once there is a file that tells it to.
	moves = "until [ -e /h/go ]; do usleep 50000; done; echo begun; /h/peer fetch -download BYTES http://web >/dev/null && " +
		"/h/peer fetch -upload BYTES http://web >/dev/null && echo whole; " + untilStopped
)

// moved is how much data goes each way: by a mesh while its Ingress is cut, and by a tunnel.
const moved = 256 << 20

// webPod has the program of the cluster's peer at /h: Debian's static busybox cannot look
// up names.
func (d *daemon) webPod(t *testing.T, c *cluster, annotations map[string]string, containers ...v1.Container) *v1.Pod {
	t.Helper()
	if err := os.Link(c.Peer(), filepath.Join(d.hostPath(), "peer")); err != nil && !errors.Is(err, os.ErrExist) {
		t.Fatal(err)
	}
	pod := withVolume(newPod(containers...), hostDir(d.hostPath()), "/h")
	pod.Spec.Containers[0].Env = []v1.EnvVar{fieldEnv("IP", "status.podIP")}
	pod.Annotations = annotations
	pod.Status.PodIP = "10.244.3.7"
	return pod
}

// join creates a pod whose sandbox's packets the host passes on.
func (d *daemon) join(t *testing.T, pod *v1.Pod) *podRun {
	t.Helper()
	p := d.run(t, pod)
	passOn(t, p.bridgeOf())
	return p
}

// wantPage has the cluster fetch the pod's page.
func (c *cluster) wantPage(t *testing.T, address string) {
	t.Helper()
	last := ""
	eventually(t, runLimit, "the cluster fetches the page of the pod from "+address, func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		text, err := c.Fetch(ctx, address)
		last = fmt.Sprint(text, err)
		return err == nil && text == "the page of the pod\n"
	}, func() string { return last })
}

// fetched is what the pod got of the service. It is there without docker-sd too.
func (p *podRun) fetched() string {
	p.t.Helper()
	text, err := os.ReadFile(filepath.Join(p.d.hostPath(), p.pod.Name))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		p.t.Fatal(err)
	}
	return string(text)
}

// wantMore waits until the pod has fetched the service's page once more.
func (p *podRun) wantMore() {
	p.t.Helper()
	before := strings.Count(p.fetched(), clusterpeer.ServicePage)
	eventually(p.t, runLimit, "the pod fetches the page of the service", func() bool { return strings.Count(p.fetched(), clusterpeer.ServicePage) > before }, p.fetched)
}

// tunnel asks the sandbox's init for the state of the pod's tunnel.
func (p *podRun) tunnel() initapi.TunnelState {
	p.t.Helper()
	key := strings.ReplaceAll(strings.TrimSuffix(p.box, "_dind"), "-", "")
	state, err := initapi.NewClient(filepath.Join(p.d.data(), "sandboxes", key[:min(len(key), 16)])).TunnelState(p.t.Context())
	if err != nil {
		p.t.Fatal(err)
	}
	return state
}

// member is a pod's place in the mesh of a cluster.
type member struct {
	values  clusternettest.Values
	address string
}

// newMember lets one more pod into the mesh. The first one has the address that a Virtual
// Kubelet gives.
func (c *cluster) newMember(t *testing.T) member {
	t.Helper()
	m := member{values: c.values, address: clusterpeer.PodAddress}
	if c.members++; c.members > 1 {
		pod, err := c.AddPod(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		m.address, m.values.PrivateKey = pod.Address, pod.PrivateKey
	}
	return m
}

// annotations with a script that was made of the member's values.
func (m member) annotations(script string) map[string]string {
	own := func(text string) string {
		return strings.ReplaceAll(text, clusterpeer.PodAddress+"/32", m.address+"/32")
	}
	return map[string]string{clusternet.PreExec: own(script), clusternet.Snippet: own(m.values.Snippet())}
}

// page is the address of a page of the member.
func (m member) page() string { return "http://" + m.address + ":8000/" }

// joined are pods of each kind in one cluster.
type joined struct {
	*cluster
	t *testing.T
	// pods by their kind, and the addresses of their pages in the cluster.
	pods  map[string]*podRun
	pages map[string]string
}

// tunnelMode is the kind of a pod that is reached by the cluster and does not reach it.
const tunnelMode = "tunnel"

// joinAll creates a pod of each kind.
func (c *cluster) joinAll(t *testing.T, d *daemon) *joined {
	t.Helper()
	j := &joined{cluster: c, t: t, pods: map[string]*podRun{}, pages: map[string]string{tunnelMode: "http://127.0.0.1:8000/"}}
	for kind, script := range map[string]func(clusternettest.Values) string{
		"released": func(v clusternettest.Values) string { return v.Released() + v.Released() + "echo hello" },
		"proposed": func(v clusternettest.Values) string {
			v = secure(v)
			v.MeshContactHost = contactHost
			return v.Proposed()
		},
		"template": func(v clusternettest.Values) string { return ours(t, v) },
	} {
		m := c.newMember(t)
		containers := []v1.Container{shell("c", hasPage+asks)}
		if kind == "released" {
			containers = append(containers, shell("bulk", strings.ReplaceAll(moves, "BYTES", fmt.Sprint(moved))))
		}
		j.pods[kind], j.pages[kind] = d.join(t, d.webPod(t, c, m.annotations(script(m.values)), containers...)), m.page()
	}
	j.pods[tunnelMode] = d.join(t, d.webPod(t, c, map[string]string{clusternet.Commands: c.values.Commands(8000, 8001)},
		shell("c", hasPage+"exec /h/peer page :8001")))
	for _, p := range j.pods {
		p.waitRunning()
	}
	return j
}

// contactHost is the name that a Virtual Kubelet tells a pod.
const contactHost = "web.default-wstunnel.svc.cluster.local"

// work has the cluster fetch each pod's page, and each pod of the mesh that of the service.
func (j *joined) work(when string) {
	j.t.Helper()
	j.t.Log(when)
	for kind, p := range j.pods {
		j.wantPage(j.t, j.pages[kind])
		if kind != tunnelMode {
			p.wantMore()
		}
	}
}

// await waits until all tunnels are in a state.
func (j *joined) await(what string, ok func(kind string, s initapi.TunnelState) bool) {
	j.t.Helper()
	for kind, p := range j.pods {
		var state initapi.TunnelState
		eventually(j.t, runLimit, "the tunnel of "+kind+" is "+what, func() bool { state = p.tunnel(); return ok(kind, state) },
			func() string { return fmt.Sprintf("%+v", state) })
	}
}

// lose takes something away from all tunnels, and gives it back.
func (j *joined) lose(what string, lose, mend func()) {
	j.t.Helper()
	before := map[string]int{}
	for kind, p := range j.pods {
		before[kind] = p.tunnel().Reconnections
	}
	lose()
	j.await("down without "+what, func(_ string, s initapi.TunnelState) bool { return !s.Up })
	mend()
	j.await("up again with "+what, func(kind string, s initapi.TunnelState) bool { return s.Up && s.Reconnections > before[kind] })
	j.work("after the loss of " + what)
}

// wantKnown: the pods of the mesh know what kubelet tells of a cluster's network.
func (j *joined) wantKnown() {
	j.t.Helper()
	for kind, p := range j.pods {
		wants := []string{"10.244.3.7\t" + p.pod.Name + "\n", "the page of the pod\n", "IP 10.244.3.7, .\n"}
		if kind == "proposed" {
			wants[2] = "IP 10.244.3.7, " + contactHost + ".\n"
		}
		if kind != tunnelMode {
			wants = append(wants, "nameserver "+clusterpeer.DNSAddress+"\n", "options ndots:5\n", "search default.svc.cluster.local svc.cluster.local cluster.local\n")
		}
		for _, want := range wants {
			if log := p.logs("c", logOptions{}); !strings.Contains(log, want) {
				j.t.Errorf("the log of %s lacks %q: %s", kind, want, log)
			}
		}
	}
}

// ours is the script that docker-sd's template makes.
func ours(t *testing.T, v clusternettest.Values) string {
	t.Helper()
	text, err := os.ReadFile("../../docs/mesh-template.txt")
	if err != nil {
		t.Fatal(err)
	}
	return v.Fill(string(text))
}

// do has the server do something.
func (c *cluster) do(t *testing.T, what string) {
	t.Helper()
	if err := c.Do(t.Context(), what); err != nil {
		t.Fatal(err)
	}
}
