//go:build e2e

package tunnels_test

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/initapi"
	"github.com/intertwin-eu/interlink-docker-plugin/tests/clusterpeer"
)

// anonymous memory of a process in bytes: what is not of files, which all tunnels of a
// host share.
func anonymous(t testing.TB, pid int) int64 {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if fields := strings.Fields(line); fields[0] == "Anonymous:" {
			kilobytes, err := strconv.ParseInt(fields[1], 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			return kilobytes << 10
		}
	}
	t.Fatal("the kernel tells no anonymous memory")
	return 0
}

// transfer moves bytes to or from the service of the cluster and returns the time it took.
func (w *world) transfer(way string, bytes int64) time.Duration {
	w.t.Helper()
	text, err := w.inPod(way, strconv.FormatInt(bytes, 10), "http://"+clusterpeer.ServiceAddress)
	if err != nil {
		w.t.Fatal(err)
	}
	seconds, err := strconv.ParseFloat(strings.TrimSpace(text), 64)
	if err != nil {
		w.t.Fatal(err)
	}
	return time.Duration(seconds * float64(time.Second))
}

// plainPair joins the pod to the cluster by wireguard-go, without anything of ours, until
// stop is called.
func (w *world) plainPair() (stop func()) {
	w.t.Helper()
	stop, err := w.JoinPlainly(context.Background(), []string{"ip", "netns", "exec", w.pod}, clusterpeer.Pod{Address: clusterpeer.PodAddress, PrivateKey: w.PrivateKey})
	if err != nil {
		w.t.Fatal(err)
	}
	w.wantService()
	return stop
}

// until waits for a condition.
func (w *world) until(what string, ok func() bool) {
	w.t.Helper()
	for end := time.Now().Add(within); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			w.t.Fatalf("it never came true that %s", what)
		}
	}
}

// BenchmarkMesh tells the throughput of the mesh, by the websocket and by the Ingress with
// TLS, in bytes a second and in parts of a plain pair's, and the memory of the process.
func BenchmarkMesh(b *testing.B) {
	const size = 256 << 20
	w := newWorld(b, nil)
	for range b.N {
		for _, way := range []string{"-download", "-upload"} {
			stop := w.plainPair()
			plain := w.transfer(way, size)
			stop()
			for name, tls := range map[string]bool{"ws": false, "wss": true} {
				wish := w.mesh(w.direct())
				if tls {
					wish.Server, wish.Insecure = fmt.Sprintf("wss://%s:%d", w.Address, clusterpeer.TLSIngressPort), true
				}
				func() {
					tunnel := w.start(wish)
					defer tunnel.stop()
					tunnel.waitFor("up", up)
					idle := anonymous(b, tunnel.cmd.Process.Pid)
					ctx, cancel := context.WithCancel(context.Background())
					peak := make(chan int64, 1)
					go func() { peak <- peakOf(ctx, b, tunnel.cmd.Process.Pid) }()
					took := w.transfer(way, size)
					cancel()
					after := anonymous(b, tunnel.cmd.Process.Pid)
					b.Logf("%s %s: %.0f MB/s, plain %.0f MB/s, ratio %.2f; memory: idle %.1f, peak %.1f, after %.1f MB",
						name, way, size/took.Seconds()/1e6, size/plain.Seconds()/1e6, plain.Seconds()/took.Seconds(), float64(idle)/1e6, float64(<-peak)/1e6, float64(after)/1e6)
					b.ReportMetric(plain.Seconds()/took.Seconds(), name+way+"-ratio")
					b.ReportMetric(float64(after)/1e6, name+way+"-MB")
				}()
			}
		}
	}
}

// peakOf the anonymous memory of a process until ctx ends.
func peakOf(ctx context.Context, t testing.TB, pid int) int64 {
	var most int64
	for ctx.Err() == nil {
		most = max(most, anonymous(t, pid))
		time.Sleep(100 * time.Millisecond)
	}
	return most
}

// BenchmarkStart tells how long after the start of its process a tunnel is up.
func BenchmarkStart(b *testing.B) {
	w := newWorld(b, nil)
	ports := initapi.Tunnel{Server: w.direct(), PathPrefix: w.Prefix, Reverse: []initapi.Reverse{{Listen: "0.0.0.0:8100", Target: "localhost:8000"}}}
	for name, wish := range map[string]initapi.Tunnel{"mesh": w.mesh(w.direct()), "ports": ports} {
		b.Run(name, func(b *testing.B) {
			for range b.N {
				tunnel := w.start(wish)
				tunnel.waitFor("up", up)
				b.StopTimer()
				tunnel.stop()
				b.StartTimer()
			}
		})
	}
}
