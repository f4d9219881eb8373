//go:build e2e

package tunnels_test

import (
	"context"
	"fmt"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/initapi"
	"github.com/intertwin-eu/interlink-docker-plugin/tests/certificates"
	"github.com/intertwin-eu/interlink-docker-plugin/tests/clusterpeer"
)

// TestMesh: the pod fetches a page of a service by its name, the cluster one of the pod,
// and a gigabyte goes each way.
func TestMesh(t *testing.T) {
	w := newWorld(t, nil)
	wish := w.mesh(w.direct())
	wish.Own = []string{"10.244.7.7/32"}
	tunnel := w.start(wish)
	state := tunnel.waitFor("up", up)
	if !state.Wanted || state.Error != "" || time.Since(state.Handshake) > within || state.Reconnections != 0 {
		t.Errorf("the state is %+v", state)
	}
	w.wantService()
	w.inPodRuns("page", "0.0.0.0:8000")
	w.wantPage("http://" + clusterpeer.PodAddress + ":8000/")
	w.wantInPod("http://10.244.7.7:8000/") // itself
	const gigabyte = 1 << 30
	for _, way := range []string{"-download", "-upload"} {
		took := w.transfer(way, gigabyte)
		t.Logf("%s of a gigabyte: %.0f MB/s", way, gigabyte/took.Seconds()/1e6)
	}
	after := tunnel.state()
	if after.Received < gigabyte || after.Sent < gigabyte || !after.Up || after.Reconnections != 0 {
		t.Errorf("the state is %+v", after)
	}
	if memory := anonymous(t, tunnel.cmd.Process.Pid); memory > 12e6 {
		t.Errorf("the tunnel has %.1f MB of its own after that", float64(memory)/1e6)
	}
}

// TestMeshComesBack from each loss while data flows, of which nothing is lost.
func TestMeshComesBack(t *testing.T) {
	w := newWorld(t, nil)
	wish := w.mesh(fmt.Sprintf("ws://%s:%d", w.Address, clusterpeer.IngressPort))
	tunnel := w.start(wish)
	for _, loss := range []struct {
		name       string
		words      []string // any of them
		lose, mend func()
	}{
		// One end of the tunnel may notice the cut before the other, and names it then.
		{"the server cuts it", []string{"cut the connection", "was left"}, func() { w.do("cut") }, func() {}},
		{"the server is away for 30 s", []string{"reaches no running wstunnel server"}, func() { w.do("stop") }, func() { time.Sleep(30 * time.Second); w.do("start") }},
		{"the Ingress is away", []string{"refuses connections"}, w.StopIngress, func() {
			if err := w.StartIngress(t.Context()); err != nil {
				t.Fatal(err)
			}
		}},
	} {
		before := tunnel.waitFor("up", up)
		moved := make(chan error, 1)
		go func() {
			_, err := w.inPod("-download", strconv.Itoa(200<<20), "http://"+clusterpeer.ServiceAddress)
			moved <- err
		}()
		tunnel.waitFor("carrying data", func(s initapi.TunnelState) bool { return s.Received > before.Received+(4<<20) })
		loss.lose()
		tunnel.waitFor("down because "+loss.name, func(s initapi.TunnelState) bool {
			return slices.ContainsFunc(loss.words, func(words string) bool { return strings.Contains(s.Error, words) })
		})
		loss.mend()
		after := tunnel.waitFor("up again after "+loss.name, func(s initapi.TunnelState) bool { return s.Up && s.Reconnections > before.Reconnections })
		if !after.Changed.After(before.Changed) || !after.Handshake.After(before.Handshake) {
			t.Errorf("%s: %+v after %+v", loss.name, after, before)
		}
		select {
		case err := <-moved:
			if err != nil {
				t.Errorf("%s: the transfer broke: %v", loss.name, err)
			}
		case <-time.After(3 * within):
			t.Fatalf("%s: the transfer hangs", loss.name)
		}
	}
}

// TestMeshThroughAnIngressThatCuts idle connections.
func TestMeshThroughAnIngressThatCuts(t *testing.T) {
	w := newWorld(t, func(o *clusterpeer.Options) { o.IngressTimeout = "2s" })
	tunnel := w.start(w.mesh(fmt.Sprintf("ws://%s:%d", w.Address, clusterpeer.IngressPort)))
	tunnel.waitFor("up", up)
	tunnel.waitFor("cut twice", func(s initapi.TunnelState) bool { return s.Reconnections >= 2 && s.Up })
	w.wantService()
}

// TestMeshByTLS: the certificate of the Ingress is checked.
func TestMeshByTLS(t *testing.T) {
	w := newWorld(t, nil)
	other := certificates.New(t, "other.test", nil)
	address := fmt.Sprintf("ingress.test:%d", clusterpeer.TLSIngressPort)
	w.hosts(w.Address + " ingress.test")
	w.inPodRuns("proxy", "127.0.0.1:3128")
	for _, c := range []struct {
		name  string
		wish  func(*initapi.Tunnel)
		words string
	}{
		{"no authority", func(*initapi.Tunnel) {}, "authority that is not trusted"},
		{"another authority", func(wish *initapi.Tunnel) { wish.CAs = other.PEM() }, "authority that is not trusted"},
		{"another name", func(wish *initapi.Tunnel) {
			wish.CAs, wish.Server = w.ca.PEM(), fmt.Sprintf("wss://%s:%d", w.Address, clusterpeer.TLSIngressPort)
		}, "certificate for other names"},
		{"its authority", func(wish *initapi.Tunnel) { wish.CAs = w.ca.PEM() }, ""},
		{"unchecked", func(wish *initapi.Tunnel) { wish.Insecure = true }, ""},
		{"by a proxy", func(wish *initapi.Tunnel) { wish.CAs, wish.Proxy = w.ca.PEM(), "http://u:p@127.0.0.1:3128" }, ""},
		{"by a proxy that does not know us", func(wish *initapi.Tunnel) { wish.CAs, wish.Proxy = w.ca.PEM(), "http://127.0.0.1:3128" }, "asks for a user name"},
	} {
		wish := w.mesh("wss://" + address)
		c.wish(&wish)
		tunnel := w.start(wish)
		if c.words == "" {
			tunnel.waitFor("up with "+c.name, up)
			w.wantService()
		} else if state := tunnel.waitFor("refused: "+c.name, saying(c.words)); state.Up {
			t.Errorf("%s: it is up: %+v", c.name, state)
		}
		tunnel.stop()
	}
}

// TestMeshWithoutAHandshake says what may be wrong.
func TestMeshWithoutAHandshake(t *testing.T) {
	w := newWorld(t, nil)
	for name, spoil := range map[string]func(*initapi.WireGuard){
		"another key of the pod":  func(g *initapi.WireGuard) { g.PrivateKey = newKey(t) },
		"another key of the peer": func(g *initapi.WireGuard) { g.PeerKey = newKey(t) },
		"another port":            func(g *initapi.WireGuard) { g.Remote = "127.0.0.1:9" },
	} {
		wish := w.mesh(w.direct())
		spoil(wish.WireGuard)
		tunnel := w.start(wish)
		if state := tunnel.waitFor("told: "+name, saying("no handshake for")); state.Up || !state.Handshake.IsZero() {
			t.Errorf("%s: %+v", name, state)
		}
		tunnel.stop()
	}
}

func newKey(t *testing.T) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "wg", "genkey").Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(out))
}

// TestRoutesOfTheMesh never take the way to the server or the sandbox's own network.
func TestRoutesOfTheMesh(t *testing.T) {
	w := newWorld(t, nil)
	around := w.mesh(w.direct())
	around.WireGuard.Routes = append(around.WireGuard.Routes, "198.18.0.0/15") // the server lies in it
	around.WireGuard.AllowedIPs = append(around.WireGuard.AllowedIPs, "198.18.0.0/15")
	tunnel := w.start(around)
	tunnel.waitFor("up", up)
	w.do("cut")
	tunnel.waitFor("up again", func(s initapi.TunnelState) bool { return s.Up && s.Reconnections == 1 })
	w.wantService()
	tunnel.stop()
	for _, c := range []struct{ route, words string }{
		{w.Address + "/32", "in the sandbox's own network"},
		{"127.0.0.0/8", "in the sandbox's own network"},
		{"0.0.0.0/0", "covers too much"},
		{"0.0.0.0/1", "covers too much"},
	} {
		wish := w.mesh(w.direct())
		wish.WireGuard.Routes = append(wish.WireGuard.Routes, c.route)
		tunnel := w.start(wish)
		if state := tunnel.waitFor("refused: "+c.route, saying(c.words)); state.Up {
			t.Errorf("%s: %+v", c.route, state)
		}
		tunnel.stop()
	}
	if routes := w.mustRun("ip", "-n", w.pod, "route"); strings.Count(routes, "\n") != 2 {
		t.Errorf("the routes are left:\n%s", routes)
	}
}

// wantPage has the cluster fetch a page of the pod.
func (w *world) wantPage(url string) {
	w.t.Helper()
	var text string
	var err error
	for end := time.Now().Add(within); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		if text, err = w.Fetch(context.Background(), url); err == nil {
			break
		}
	}
	if err != nil || text != clusterpeer.ServicePage {
		w.t.Errorf("the pod answered %q, %v", text, err)
	}
}
