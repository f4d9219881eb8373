//go:build e2e

package e2e_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	v1 "k8s.io/api/core/v1"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/clusternet"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/clusternet/clusternettest"
	"github.com/intertwin-eu/interlink-docker-plugin/tests/certificates"
	"github.com/intertwin-eu/interlink-docker-plugin/tests/clusterpeer"
)

// cluster is one that pods join, with what its Virtual Kubelet fills templates with.
type cluster struct {
	*clusterpeer.Cluster
	values clusternettest.Values
}

// clusters so far: each has a network of its own.
var clusters atomic.Int32

// newCluster makes one beside this host.
func newCluster(t *testing.T) *cluster {
	t.Helper()
	number := 80 + clusters.Add(1)
	dir, err := os.MkdirTemp("/tmp", "cl")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	options := clusterpeer.Options{Dir: dir, Name: fmt.Sprintf("c%d%d", number, os.Getpid()%10000), Net: fmt.Sprintf("198.18.%d", number),
		Cert: filepath.Join(dir, "cert.pem"), Key: filepath.Join(dir, "key.pem")}
	certificates.New(t, "ingress.test", nil).Write(t, options.Cert, options.Key)
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
	return &cluster{Cluster: peer, values: v}
}

// webPod asks the service of the cluster for its page every second, and has one of its own
// at port 8000. Debian's static busybox cannot look up names, so that is another program's.
func (d *daemon) webPod(t *testing.T, annotations map[string]string) *v1.Pod {
	t.Helper()
	build := exec.Command("go", "build", "-o", filepath.Join(d.hostPath(), "peer"), "github.com/intertwin-eu/interlink-docker-plugin/tests/clusterpeer/peer")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build the client: %v: %s", err, out)
	}
	pod := withVolume(newPod(shell("c", "mkdir /w; echo the page of the pod >/w/index.html; httpd -p 8000 -h /w; trap 'exit 0' TERM; "+
		"echo \"IP $IP, $INTERLINK_MESH_CONTACT_HOST.\"; grep -v '^#' /etc/resolv.conf; grep $IP /etc/hosts; /h/peer fetch http://$HOSTNAME:8000/; "+
		"while :; do timeout 5 /h/peer fetch http://web/ 2>&1; sleep 1 & wait $!; done")), hostDir(d.hostPath()), "/h")
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

// wantMore waits until the pod has fetched the service's page once more.
func (p *podRun) wantMore() {
	p.t.Helper()
	count := func() int { return strings.Count(p.logs("c", logOptions{}), clusterpeer.ServicePage) }
	before := count()
	eventually(p.t, runLimit, "the pod fetches the page of the service", func() bool { return count() > before },
		func() string { return p.logs("c", logOptions{}) })
}

// ours is the script that docker-sd's template makes.
func (c *cluster) ours(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("../../docs/mesh-template.txt")
	if err != nil {
		t.Fatal(err)
	}
	return c.values.Fill(string(text))
}

// TestMesh: creates of each kind end with a pod that finds the service by its name and that
// the cluster reaches.
func TestMesh(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	d := ownDaemon(t, 1, map[string]any{"ClusterNetworkInsecure": true, "ClusterNetworkServers": []string{c.Address + "/32"}})
	secure := c.values
	secure.IngressProtocol, secure.IngressPort, secure.MeshContactHost = "wss", fmt.Sprint(clusterpeer.TLSIngressPort), "web.default-wstunnel.svc.cluster.local"
	for name, script := range map[string]string{
		"released": c.values.Released() + c.values.Released() + "echo hello", "proposed": secure.Proposed(), "template": c.ours(t),
	} {
		t.Run(name, func(t *testing.T) {
			p := d.join(t, d.webPod(t, map[string]string{clusternet.PreExec: script, clusternet.Snippet: c.values.Snippet()}))
			p.waitRunning()
			p.wantMore()
			c.wantPage(t, "http://"+clusterpeer.PodAddress+":8000/")
			contact := ""
			if name == "proposed" {
				contact = secure.MeshContactHost
			}
			for _, want := range []string{"IP 10.244.3.7, " + contact + ".\n", "nameserver " + clusterpeer.DNSAddress + "\n", "options ndots:5\n",
				"search default.svc.cluster.local svc.cluster.local cluster.local\n", "10.244.3.7\t" + p.pod.Name + "\n", "the page of the pod\n"} {
				if log := p.logs("c", logOptions{}); !strings.Contains(log, want) {
					t.Errorf("the pod's log lacks %q: %s", want, log)
				}
			}
			p.delete(0)
			p.waitGone()
		})
	}
}

// TestMeshSurvives: the mesh works while docker-sd is dead and after it is back, and after
// the server was away; the container is the same.
func TestMeshSurvives(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	d := ownDaemon(t, 1, nil)
	pods := map[string]*podRun{
		"http://" + clusterpeer.PodAddress + ":8000/": d.join(t, d.webPod(t, map[string]string{clusternet.PreExec: c.values.Released()})),
		"http://127.0.0.1:8000/":                      d.join(t, d.webPod(t, map[string]string{clusternet.Commands: c.values.Commands(8000)})),
	}
	works := func(when string) {
		t.Helper()
		t.Log(when)
		for address := range pods {
			c.wantPage(t, address)
		}
	}
	for _, p := range pods {
		p.waitRunning()
	}
	works("at first")
	mesh := pods["http://"+clusterpeer.PodAddress+":8000/"]
	mesh.wantMore()
	if err := d.kill(); err != nil {
		t.Fatal(err)
	}
	works("without docker-sd")
	if err := d.start(); err != nil {
		t.Fatal(err)
	}
	d.waitReady(t)
	mesh.waitRunning()
	works("with the next docker-sd")
	mesh.wantMore()
	c.do(t, "stop")
	eventually(t, runLimit, "docker-sd tells the loss", func() bool {
		return strings.Contains(d.log.String(), "the pod has lost the network of its cluster")
	}, nil)
	c.do(t, "start")
	works("after the server was away")
	mesh.wantMore()
	for address, p := range pods {
		if s := p.status().Container("c"); s.RestartCount != 0 || s.State.Running == nil {
			t.Errorf("the pod at %s: %+v", address, s)
		}
	}
}

// do has the server do something.
func (c *cluster) do(t *testing.T, what string) {
	t.Helper()
	if err := c.Do(t.Context(), what); err != nil {
		t.Fatal(err)
	}
}

// TestMeshFails: a pod that cannot join fails in time, in words, and has run nothing. The
// same pod joins where the fault is taken away.
func TestMeshFails(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	d := ownDaemon(t, 1, map[string]any{"ClusterNetworkTimeout": "15s"})
	secure := c.values
	secure.IngressProtocol, secure.IngressPort = "wss", fmt.Sprint(clusterpeer.TLSIngressPort)
	foreign := c.values
	foreign.PublicKey = clusternettest.Typical().PublicKey
	for name, test := range map[string]struct{ script, status, want string }{
		"a wrong key":         {foreign.Released(), "", "handshake"},
		"404 of the Ingress":  {c.values.Released(), "404", "404"},
		"a name of nobody":    {strings.ReplaceAll(c.values.Released(), c.Address, "nobody.invalid"), "", "nobody.invalid"},
		"another certificate": {secure.Proposed(), "", "certificate"},
		"a port without peer": {strings.ReplaceAll(c.values.Released(), c.Address+":80", c.Address+":81"), "", "refuse"},
	} {
		t.Run(name, func(t *testing.T) {
			if test.status != "" {
				c.do(t, "refuse?status="+test.status)
				defer c.do(t, "refuse?status=0")
			}
			p := d.join(t, d.webPod(t, map[string]string{clusternet.PreExec: test.script}))
			end := p.waitPhase(v1.PodFailed).Container("c").State.Terminated
			if end.Reason != "NetworkNotReady" || !strings.Contains(end.Message, "could not join the network of its cluster: within 15s") || !strings.Contains(end.Message, test.want) {
				t.Errorf("it ended with %+v, want %q", end, test.want)
			}
			t.Log(end.Message)
			for _, secret := range []string{c.Prefix, c.PrivateKey} {
				if strings.Contains(end.Message, secret) || strings.Contains(d.log.String(), secret) {
					t.Error("a secret is told")
				}
			}
		})
	}
	p := d.join(t, d.webPod(t, map[string]string{clusternet.PreExec: c.values.Released()}))
	p.waitRunning()
	p.wantMore()
}
