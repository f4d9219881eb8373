//go:build e2e

// Package tunnels_test runs the program of a sandbox's tunnel against a cluster, each in a
// network namespace of its own.
package tunnels_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/initapi"
	"github.com/intertwin-eu/interlink-docker-plugin/tests/certificates"
	"github.com/intertwin-eu/interlink-docker-plugin/tests/clusterpeer"
)

// within is how long a condition may take to come true.
const within = time.Minute

// world is a cluster and a pod's network namespace beside it.
type world struct {
	*clusterpeer.Cluster
	t       testing.TB
	pod     string
	program string
	ca      *certificates.Issued
}

var names struct {
	sync.Mutex
	count int
}

// newWorld makes both. adjust may change the cluster's options.
func newWorld(t testing.TB, adjust func(*clusterpeer.Options)) *world {
	t.Helper()
	names.Lock()
	names.count++
	name := fmt.Sprintf("c%d-%d", names.count, os.Getpid()%10000)
	third := 100 + names.count
	names.Unlock()
	dir, err := os.MkdirTemp("/tmp", "cl")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	w := &world{t: t, pod: "p" + name[1:], program: filepath.Join(dir, "docker-sd-tunnel"), ca: certificates.New(t, "ca.test", nil)}
	build := exec.Command("go", "build", "-o", w.program, "github.com/intertwin-eu/interlink-docker-plugin/cmd/docker-sd-tunnel")
	build.Env = append(os.Environ(), "CGO_ENABLED=0") // as docker-sd carries it
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build the tunnel: %v: %s", err, out)
	}
	w.mustRun("ip", "netns", "add", w.pod)
	t.Cleanup(func() { w.mustRun("ip", "netns", "del", w.pod) })
	w.mustRun("ip", "-n", w.pod, "link", "set", "lo", "up")
	options := clusterpeer.Options{Dir: dir, Name: name, From: w.pod, Net: fmt.Sprintf("198.18.%d", third),
		Cert: filepath.Join(dir, "cert.pem"), Key: filepath.Join(dir, "key.pem")}
	certificates.New(t, "ingress.test", w.ca).Write(t, options.Cert, options.Key)
	if adjust != nil {
		adjust(&options)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	if w.Cluster, err = clusterpeer.Start(ctx, options); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.close(dir) })
	w.mustRun("ip", "-n", w.pod, "route", "add", "default", "via", w.Address)
	return w
}

// close removes the cluster, and shows the logs of its programs if the test failed.
func (w *world) close(dir string) {
	if err := w.Close(); err != nil {
		w.t.Error(err)
	}
	if !w.t.Failed() {
		return
	}
	logs, _ := filepath.Glob(filepath.Join(dir, "*.log")) // the pattern is good
	for _, log := range logs {
		text, err := os.ReadFile(log)
		w.t.Logf("%s: %v\n%s", filepath.Base(log), err, text)
	}
}

func (w *world) mustRun(argv ...string) string {
	w.t.Helper()
	out, err := clusterpeer.Run(context.Background(), argv...)
	if err != nil {
		w.t.Fatal(err)
	}
	return out
}

// inPod runs the peer's client in the pod's namespace.
func (w *world) inPod(args ...string) (string, error) {
	return clusterpeer.Run(context.Background(), append([]string{"ip", "netns", "exec", w.pod, w.Peer(), "fetch"}, args...)...)
}

func (w *world) do(what string) {
	w.t.Helper()
	if err := w.Do(context.Background(), what); err != nil {
		w.t.Fatal(err)
	}
}

// mesh is the wish for the mesh of this cluster.
func (w *world) mesh(server string) initapi.Tunnel {
	return initapi.Tunnel{Server: server, PathPrefix: w.Prefix, WireGuard: &initapi.WireGuard{
		Interface: "wg-pod", PrivateKey: w.PrivateKey, PeerKey: w.PeerKey, Addresses: []string{clusterpeer.PodAddress + "/32"},
		AllowedIPs: []string{clusterpeer.ClusterAddress + "/32", "10.0.0.0/8"}, Routes: clusterpeer.Routes(),
		Remote: fmt.Sprintf("127.0.0.1:%d", clusterpeer.MeshPort), MTU: 1280, KeepaliveSeconds: 25}}
}

// direct is the server without an Ingress.
func (w *world) direct() string { return fmt.Sprintf("ws://%s:%d", w.Address, clusterpeer.ServerPort) }

// tunnel is a running program.
type tunnel struct {
	t    testing.TB
	conn net.Conn
	in   *json.Decoder
	cmd  *exec.Cmd
	// stop ends the program as the end of the init does. It may be repeated.
	stop func()
}

// start runs the program in the pod's namespace with a wish, as the init does.
func (w *world) start(wish initapi.Tunnel) *tunnel {
	w.t.Helper()
	conn, far := socketPair(w.t)
	cmd := exec.Command("ip", "netns", "exec", w.pod, w.program)
	cmd.ExtraFiles = []*os.File{far}
	log := &lockedBuffer{}
	cmd.Stderr = log
	if err := cmd.Start(); err != nil {
		w.t.Fatal(err)
	}
	far.Close()
	t := &tunnel{t: w.t, conn: conn, in: json.NewDecoder(conn), cmd: cmd}
	t.stop = sync.OnceFunc(func() {
		conn.Close()
		if err := cmd.Wait(); err != nil {
			w.t.Errorf("the tunnel ended: %v", err)
		}
		if w.t.Failed() {
			w.t.Logf("the tunnel's log:\n%s", log.String())
		}
	})
	w.t.Cleanup(t.stop)
	if err := json.NewEncoder(conn).Encode(wish); err != nil {
		w.t.Fatal(err)
	}
	return t
}

func (t *tunnel) state() initapi.TunnelState {
	t.t.Helper()
	_ = t.conn.SetDeadline(time.Now().Add(within))
	if _, err := t.conn.Write([]byte("{}\n")); err != nil {
		t.t.Fatal(err)
	}
	var out initapi.TunnelState
	if err := t.in.Decode(&out); err != nil {
		t.t.Fatal(err)
	}
	return out
}

// waitFor a state.
func (t *tunnel) waitFor(what string, ok func(initapi.TunnelState) bool) initapi.TunnelState {
	t.t.Helper()
	var state initapi.TunnelState
	for end := time.Now().Add(within); ; time.Sleep(5 * time.Millisecond) {
		if state = t.state(); ok(state) {
			return state
		}
		if time.Now().After(end) {
			t.t.Fatalf("the tunnel never was %s: %+v", what, state)
		}
	}
}

func up(s initapi.TunnelState) bool { return s.Up }

func saying(words string) func(initapi.TunnelState) bool {
	return func(s initapi.TunnelState) bool { return strings.Contains(s.Error, words) }
}

// wantService fetches the cluster's page from the pod by its name.
func (w *world) wantService() {
	w.t.Helper()
	var text string
	var err error
	for end := time.Now().Add(within); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		if text, err = w.inPod("-dns", clusterpeer.DNSAddress+":53", "http://"+clusterpeer.ServiceName+"/"); err == nil {
			break
		}
	}
	if err != nil || text != clusterpeer.ServicePage {
		w.t.Errorf("the service answered %q, %v", text, err)
	}
}
