//go:build e2e

package e2e_test

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	v1 "k8s.io/api/core/v1"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/clusternet"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/clusternet/clusternettest"
	"github.com/intertwin-eu/interlink-docker-plugin/tests/clusterpeer"
)

// TestMesh: creates of each kind end with a pod that finds the service by its name and that
// the cluster reaches. That goes on without docker-sd and with the next one, and comes back
// after the Ingress was stopped, of which a transfer loses nothing, and after the server was
// away. No container is started again.
func TestMesh(t *testing.T) {
	t.Parallel()
	c := newCluster(t, func(o *clusterpeer.Options) { o.IngressTimeout = "7s" })
	d := ownDaemon(t, 1, map[string]any{"ClusterNetworkCA": c.authority, "ClusterNetworkServers": []string{c.Address + "/32"}})
	elsewhere := c.values
	elsewhere.IngressEndpoint = "198.51.100.7"
	code, text := d.must(t, http.MethodPost, "/create", encode(t, newCreate(d.webPod(t, c, map[string]string{clusternet.PreExec: elsewhere.Released()}, shell("c", asks)))))
	if code != http.StatusBadRequest || !strings.Contains(text, "the server 198.51.100.7 is none of those that the operator of this node allows") {
		t.Errorf("a create with another server is answered with %d %s", code, text)
	}
	j := c.joinAll(t, d)
	j.work("at first")
	j.wantKnown()
	if err := d.kill(); err != nil {
		t.Fatal(err)
	}
	j.work("without docker-sd")
	if err := d.start(); err != nil {
		t.Fatal(err)
	}
	d.waitReady(t)
	j.work("with the next docker-sd")
	j.loseIngress()
	for _, way := range []string{"-download", "-upload"} {
		if err := c.Transfer(t.Context(), way, moved, "http://127.0.0.1:8001"); err != nil {
			t.Errorf("%s by the tunnel: %v", way, err)
		}
	}
	j.lose("the server", func() { c.do(t, "stop") }, func() {
		time.Sleep(30 * time.Second) // how long it is away
		eventually(t, runLimit, "docker-sd tells the loss", func() bool {
			return strings.Contains(d.log.String(), "the pod has lost the network of its cluster")
		}, nil)
		c.do(t, "start")
	})
	for kind, p := range j.pods {
		if s := p.waitRunning().Container("c"); s.RestartCount != 0 {
			t.Errorf("the pod of %s: %+v", kind, s)
		}
	}
}

// loseIngress cuts all connections while the released pod moves data, which all arrives.
func (j *joined) loseIngress() {
	j.t.Helper()
	p := j.pods["released"]
	if err := os.WriteFile(filepath.Join(p.d.hostPath(), "go"), nil, 0o644); err != nil {
		j.t.Fatal(err)
	}
	p.waitLog("bulk", "begun\n")
	j.lose("the Ingress", j.StopIngress, func() {
		if err := j.StartIngress(j.t.Context()); err != nil {
			j.t.Fatal(err)
		}
	})
	p.waitLog("bulk", "begun\nwhole\n")
}

// TestMeshFails: a pod that cannot join fails in time, in words, and has run nothing. The
// same pod joins where the fault is taken away.
func TestMeshFails(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	d := ownDaemon(t, 1, map[string]any{"ClusterNetworkTimeout": "15s"})
	foreign := c.values
	foreign.PublicKey = clusternettest.Typical().PublicKey
	joins := func(script string) *podRun {
		t.Helper()
		return d.join(t, d.webPod(t, c, map[string]string{clusternet.PreExec: script}, shell("c", asks)))
	}
	failing := map[string]*podRun{}
	for want, script := range map[string]string{
		"handshake":                     foreign.Released(),
		"nobody.invalid":                strings.ReplaceAll(c.values.Released(), c.Address, "nobody.invalid"),
		"authority that is not trusted": secure(c.values).Proposed(),
		"refuses connections":           strings.ReplaceAll(c.values.Released(), c.Address+":80", c.Address+":81"),
	} {
		failing[want] = joins(script)
	}
	for want, p := range failing {
		c.wantNotJoined(p, want)
	}
	c.do(t, "refuse?status=404")
	c.wantNotJoined(joins(c.values.Released()), "answers 404")
	c.do(t, "refuse?status=0")
	p := joins(c.values.Released())
	p.waitRunning()
	p.wantMore()
}

// wantNotJoined waits for the end of a pod that could not join, for a reason.
func (c *cluster) wantNotJoined(p *podRun, want string) {
	p.t.Helper()
	end := p.waitPhase(v1.PodFailed).Container("c").State.Terminated
	if end.Reason != "NetworkNotReady" || !strings.Contains(end.Message, "could not join the network of its cluster: within 15s") || !strings.Contains(end.Message, want) {
		p.t.Errorf("it ended with %+v, want %q", end, want)
	}
	if got := p.fetched(); got != "" {
		p.t.Errorf("its container has run: %s", got)
	}
	p.t.Log(end.Message)
	for _, secret := range []string{c.Prefix, c.PrivateKey} {
		if strings.Contains(end.Message, secret) || strings.Contains(p.d.log.String(), secret) {
			p.t.Error("a secret is told")
		}
	}
}
