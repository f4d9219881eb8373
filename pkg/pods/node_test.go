package pods_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/containerd/containerd/log"
	"github.com/sirupsen/logrus"
	v1 "k8s.io/api/core/v1"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/clusternet"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/engine"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/engine/enginetest"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/eviction"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/images"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/podlogs"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/pods"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/podspec"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/podstatus"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/pool"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/sandbox"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/sandbox/sandboxtest"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/tree"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/volumes"
)

// The tests of this package look at the life of pods from outside: through a Manager
// with the real pool and images, on a host's engine in memory.

// imageName is what the host has from the start.
const imageName = "busybox:1.36"

// node is a docker-sd without its HTTP side, which can be ended and started again.
type node struct {
	t    *testing.T
	host *sandboxtest.Host
	dir  string
	// size of the pool, and maxPods.
	size, maxPods int
	// shared says that sandboxes share the host's images.
	shared  bool
	devices *devices
	// rules are what pods may ask for.
	rules podspec.Node
	// network is what pods may join, networkTimeout how long they try to.
	network        clusternet.Policy
	networkTimeout time.Duration
	// told are the events of pods so far.
	told *told
	// meter is told of what pods use, nil for none.
	meter pods.Meter

	manager *pods.Manager
	pool    *pool.Pool
	// ctx is that of calls, with a logger that says nothing.
	ctx context.Context
	end func()
}

// newNode makes one and starts it.
func newNode(t *testing.T, edits ...func(*node)) *node {
	t.Helper()
	t.Parallel()
	// Sockets are below it, whose paths must be short.
	dir, err := os.MkdirTemp("", "ds")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := tree.Remove(context.Background(), dir); err != nil {
			t.Error(err)
		}
	})
	n := &node{t: t, host: sandboxtest.Start(t), dir: dir, size: 1, maxPods: 10, shared: true, devices: &devices{held: map[string]bool{}},
		networkTimeout: enginetest.Patience, told: &told{}}
	n.host.AddImage(enginetest.Image{Tags: []string{"sandbox:1"}, Cmd: []string{"dockerd"}, Layers: []string{"dind"}})
	n.host.AddImage(enginetest.Image{Tags: []string{imageName}, Cmd: []string{"sh"}, Layers: []string{"busybox"}})
	for _, edit := range edits {
		edit(n)
	}
	n.start()
	t.Cleanup(func() {
		if n.end != nil {
			n.end()
		}
	})
	return n
}

// start is what a docker-sd does at its start.
func (n *node) start() {
	n.t.Helper()
	host, err := engine.Connect(n.host.Address())
	if err != nil {
		n.t.Fatal(err)
	}
	life, stop := context.WithCancel(context.Background())
	quiet := logrus.New()
	quiet.SetOutput(io.Discard)
	life = log.WithLogger(life, logrus.NewEntry(quiet))
	n.ctx = context.WithoutCancel(life)
	if _, err := host.Info(life); err != nil {
		n.t.Fatal(err)
	}
	provider := images.New(images.Config{Instance: "test", Shared: n.shared}, host)
	config := pool.Config{Size: n.size, Parallel: 2, StrayGrace: time.Hour,
		Config: sandbox.Config{Instance: "test", Dir: filepath.Join(n.dir, "sandboxes"), Image: "sandbox:1", Init: "/init",
			BootTimeout: enginetest.Patience, RemoveFolder: tree.Remove}}
	if n.shared {
		config.Store = "/var/lib/docker"
	}
	n.pool = pool.New(config, host)
	n.manager = pods.New(pods.Config{Dir: n.dir, MaxPods: n.maxPods, Tombstones: time.Hour, Node: n.rules, Volumes: volumes.Policy{Private: n.dir, Fuse: n.rules.Fuse, NFSServers: []string{"192.0.2.7"}},
		Network: n.network, NetworkTimeout: n.networkTimeout, Observer: n.told, Meter: n.meter,
		Measure: func(context.Context, string, string) (eviction.Amount, error) {
			return eviction.Amount{Bytes: 5, Inodes: 2}, nil
		}},
		n.pool, provider, n.devices)
	if err := n.manager.Recover(life, n.pool.Keep); err != nil {
		n.t.Fatal(err)
	}
	if err := n.pool.Restore(life); err != nil {
		n.t.Error(err)
	}
	var running sync.WaitGroup
	running.Go(func() { n.pool.Run(life) })
	running.Go(func() { provider.Run(life) })
	n.end = func() {
		stop()
		n.manager.Close()
		running.Wait()
		n.pool.Close()
		provider.Close()
		_ = host.Close()
		n.end = nil
	}
}

// restart ends docker-sd and starts it again. Whatever was under way is broken off.
func (n *node) restart() {
	n.t.Helper()
	n.end()
	n.start()
}

// crash is restart without a farewell: from one moment on no call reaches the host's engine.
func (n *node) crash() {
	n.t.Helper()
	path := n.host.Down()
	n.end()
	if err := n.host.Listen(path); err != nil {
		n.t.Fatal(err)
	}
	n.start()
}

// create a pod, which must be admitted.
func (n *node) create(pod *v1.Pod) {
	n.t.Helper()
	if _, err := n.manager.Create(n.ctx, pod, volumes.Data{}); err != nil {
		n.t.Fatalf("Create() = %v", err)
	}
}

// await a pod's status, and return it.
func (n *node) await(pod *v1.Pod, what string, check func(podstatus.Report) bool) podstatus.Report {
	n.t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(enginetest.Patience); ; <-tick.C {
		report, known := n.manager.Status(pod)
		if known && check(report) {
			return report
		}
		if time.Now().After(deadline) {
			text, _ := json.Marshal(report)
			n.t.Fatalf("pod %s was never seen %s; it is %s (known: %t)", pod.Name, what, text, known)
		}
	}
}

// statusOf a container in a report.
func statusOf(r podstatus.Report, name string) v1.ContainerStatus {
	for _, s := range slices.Concat(r.InitContainers, r.Containers) {
		if s.Name == name {
			return s
		}
	}
	return v1.ContainerStatus{}
}

func isRunning(name string) func(podstatus.Report) bool {
	return func(r podstatus.Report) bool { return statusOf(r, name).State.Running != nil }
}

func isWaiting(name, reason string) func(podstatus.Report) bool {
	return func(r podstatus.Report) bool {
		w := statusOf(r, name).State.Waiting
		return w != nil && w.Reason == reason
	}
}

// awaitEnd of a container, and how it ended.
func (n *node) awaitEnd(pod *v1.Pod, name string) v1.ContainerStateTerminated {
	n.t.Helper()
	r := n.await(pod, "with "+name+" ended", func(r podstatus.Report) bool { return statusOf(r, name).State.Terminated != nil })
	return *statusOf(r, name).State.Terminated
}

func (n *node) awaitRunning(pod *v1.Pod, name string) {
	n.t.Helper()
	n.await(pod, "with "+name+" running", isRunning(name))
}

// awaitPhase of a pod.
func (n *node) awaitPhase(pod *v1.Pod, phase podstatus.Phase) {
	n.t.Helper()
	n.await(pod, string(phase), func(podstatus.Report) bool { return n.view(pod).Phase == phase })
}

// view of a pod, as operators see it.
func (n *node) view(pod *v1.Pod) podstatus.View {
	for _, v := range n.manager.List() {
		if v.UID == pod.UID {
			return v
		}
	}
	return podstatus.View{}
}

// instance is the engine's id of a container that has been made.
func (n *node) instance(pod *v1.Pod, name string) string {
	n.t.Helper()
	r := n.await(pod, "with an id of "+name, func(r podstatus.Report) bool { return statusOf(r, name).ContainerID != "" })
	return strings.TrimPrefix(statusOf(r, name).ContainerID, "docker://")
}

// delete a pod and wait until nothing is left of it.
func (n *node) delete(pod *v1.Pod, grace *int64) {
	n.t.Helper()
	if err := n.manager.Delete(n.ctx, pod.UID, grace); err != nil {
		n.t.Fatalf("Delete() = %v", err)
	}
	n.awaitGone(pod)
}

func (n *node) awaitGone(pod *v1.Pod) {
	n.t.Helper()
	n.poll("pod "+pod.Name+" is gone", func() bool {
		return !slices.ContainsFunc(n.manager.List(), func(v podstatus.View) bool { return v.UID == pod.UID })
	})
	if _, known := n.manager.Status(pod); known {
		n.t.Errorf("pod %s has a status after its delete", pod.Name)
	}
	if _, there := n.host.Snapshot().Containers[sandbox.AssignedName(string(pod.UID))]; there {
		n.t.Errorf("the sandbox of pod %s is left", pod.Name)
	}
	for _, kind := range []string{"records", "held", "archive"} {
		entries, err := os.ReadDir(filepath.Join(n.dir, kind))
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			n.t.Error(err)
		}
		for _, e := range entries {
			if bytes.Contains([]byte(e.Name()), []byte(pod.UID)) {
				n.t.Errorf("%s/%s is left of pod %s", kind, e.Name(), pod.Name)
			}
		}
	}
	if n.devices.holds(string(pod.UID)) {
		n.t.Errorf("pod %s still holds devices", pod.Name)
	}
}

// sandbox of a pod, which is waited for.
func (n *node) sandbox(pod *v1.Pod) *sandboxtest.Sandbox {
	n.t.Helper()
	return n.host.Sandbox(sandbox.AssignedName(string(pod.UID)))
}

// log of a container.
func (n *node) log(query podlogs.Query) string {
	n.t.Helper()
	source, err := n.manager.FindLogs(query)
	if err != nil {
		n.t.Errorf("FindLogs() = %v", err)
		return ""
	}
	var out bytes.Buffer
	if err := source.Copy(n.t.Context(), &out); err != nil {
		n.t.Errorf("read the log: %v", err)
	}
	return out.String()
}

// awaitWarm waits until the pool is full.
func (n *node) awaitWarm() {
	n.t.Helper()
	n.poll("the pool is full", func() bool { return n.pool.Stats().Warm >= n.size })
}

// poll until a condition holds that nobody tells of.
func (n *node) poll(what string, ok func() bool) {
	n.t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(enginetest.Patience); !ok(); <-tick.C {
		if time.Now().After(deadline) {
			n.t.Fatalf("in vain waited until %s", what)
		}
	}
}

// hasRun fails unless a counter of runs gets to want, and not further.
func (n *node) hasRun(runs *atomic.Int32, want int32) {
	n.t.Helper()
	n.poll(fmt.Sprintf("there were %d runs", want), func() bool { return runs.Load() >= want })
	if got := runs.Load(); got != want {
		n.t.Errorf("it has run %d times", got)
	}
}
