package pods_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	"github.com/google/go-cmp/cmp"
	v1 "k8s.io/api/core/v1"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/clusternet"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/clusternet/clusternettest"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/engine/enginetest"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/initapi"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/pods"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/podstatus"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/sandbox/sandboxtest"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/volumes"
)

// told is an Observer that remembers events and steps.
type told struct {
	mu     sync.Mutex
	events []string
	steps  []string
}

func (o *told) Pod(life, _ context.Context, _ *v1.Pod) context.Context { return life }

func (o *told) Event(_ context.Context, e pods.Event) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.events = append(o.events, e.What)
}

func (o *told) Step(ctx context.Context, step string, _ ...string) (context.Context, func(error)) {
	return ctx, func(err error) {
		o.mu.Lock()
		defer o.mu.Unlock()
		if err != nil {
			step += " failed"
		}
		o.steps = append(o.steps, step)
	}
}

// has says whether an event was told, or a step ended.
func (o *told) has(what string) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.Contains(o.events, what) || slices.Contains(o.steps, what)
}

// meshed has a pod join a full mesh, and tunnelled a tunnel to its port 80.
func meshed(p *v1.Pod) {
	p.Annotations = map[string]string{clusternet.PreExec: clusternettest.Typical().Released()}
	p.Status.PodIP = "10.244.3.7"
}

func tunnelled(p *v1.Pod) {
	p.Annotations = map[string]string{clusternet.Commands: clusternettest.Typical().Commands(80)}
}

// up is a tunnel that carries data, down one whose server is not found.
var (
	up   = initapi.TunnelState{Up: true, Received: 5, Sent: 6, Reconnections: 1}
	down = initapi.TunnelState{Error: "the server h answered 404"}
)

// asked is the wish that the sandbox of a pod was told, which is waited for.
func (n *node) asked(p *v1.Pod, times int) initapi.Tunnel {
	n.t.Helper()
	s := n.sandbox(p)
	n.poll("the init is asked for a tunnel", func() bool { return len(s.Init.Requests(initapi.OpTunnel)) >= times })
	got := s.Init.Requests(initapi.OpTunnel)
	if len(got) != times {
		n.t.Errorf("it was asked for a tunnel %d times", len(got))
	}
	return *got[len(got)-1].Tunnel
}

// TestMeshOfAPod: nothing of the pod runs before it has joined, and its containers have
// what the cluster gives them.
func TestMeshOfAPod(t *testing.T) {
	n := newNode(t)
	var runs atomic.Int32
	n.host.InnerProgram("once", func(*enginetest.Process) int { runs.Add(1); return 0 })
	p := newPod(meshed, withInit(container("first", "once")), withMain(func(c *v1.Container) {
		c.Env = []v1.EnvVar{{Name: "IP", ValueFrom: &v1.EnvVarSource{FieldRef: &v1.ObjectFieldSelector{FieldPath: "status.podIP"}}}}
	}))
	n.create(p)
	wish := n.asked(p, 1)
	want, _, faults := clusternet.Read(p, clusternet.Policy{})
	if diff := cmp.Diff(want.Tunnel, wish); len(faults) > 0 || diff != "" {
		t.Errorf("the init was told (%v, -want +got):\n%s", faults, diff)
	}
	s := n.sandbox(p)
	s.Init.SetTunnel(down)
	n.await(p, "with why it waits", func(r podstatus.Report) bool {
		w := statusOf(r, "main").State.Waiting
		return w != nil && strings.Contains(w.Message, "joining the network of its cluster: "+down.Error)
	})
	if runs.Load() > 0 || n.told.has("init containers") {
		t.Error("an init container has run before the pod has joined")
	}
	s.Init.SetTunnel(up)
	n.awaitRunning(p, "main")
	if !n.told.has(pods.EventJoined) || !n.told.has(pods.StepNetwork) {
		t.Errorf("told: %v, %v", n.told.events, n.told.steps)
	}
	for name, c := range s.Engine.Snapshot().Containers {
		if c.Status == "running" && strings.Contains(name, "main") && !slices.Contains(c.Env, "IP=10.244.3.7") {
			t.Errorf("its variables: %v", c.Env)
		}
	}
	hosts, err := os.ReadFile(filepath.Join(n.folder(p), "managed", "hosts"))
	if err != nil || !strings.Contains(string(hosts), "10.244.3.7\t"+p.Name) {
		t.Errorf("/etc/hosts: %q, %v", hosts, err)
	}
	n.poll("operators see it", func() bool { v := n.view(p).Network; return v != nil && v.Up })
	if v := n.view(p).Network; v.Mode != "mesh" || v.Address != "10.244.3.7" || v.Sent != 6 || v.Received != 5 || v.Reconnections != 1 || v.Error != "" {
		t.Errorf("operators see %+v", v)
	}
	n.delete(p, nil)
}

// folder of a pod's volumes.
func (n *node) folder(p *v1.Pod) string {
	n.t.Helper()
	folder, err := os.Readlink(filepath.Join(n.dir, p.Namespace+"-"+string(p.UID)))
	if err != nil {
		n.t.Fatal(err)
	}
	return folder
}

// TestNetworkFails: the pod fails, with the last reason, and nothing of it has run.
func TestNetworkFails(t *testing.T) {
	for name, test := range map[string]struct {
		timeout time.Duration
		refuse  initapi.Kind
		want    string
	}{
		"in time":             {300 * time.Millisecond, "", "the pod could not join the network of its cluster: within 300ms: " + down.Error},
		"refused by the init": {time.Hour, initapi.KindInvalid, "the pod could not join the network of its cluster: no such key"},
		"not known":           {time.Hour, initapi.KindUnknown, "the pod could not join the network of its cluster: its sandbox was made by an earlier docker-sd"},
	} {
		t.Run(name, func(t *testing.T) {
			n := newNode(t, func(n *node) { n.networkTimeout = test.timeout })
			n.host.Each(func(s *sandboxtest.Sandbox) {
				s.Init.SetTunnel(down)
				if test.refuse != "" {
					s.Init.Refuse(initapi.OpTunnel, test.refuse, "no such key")
				}
			})
			p := newPod(tunnelled)
			n.create(p)
			end := n.awaitEnd(p, "main")
			if end.Reason != "NetworkNotReady" || end.ExitCode != 128 || !strings.HasPrefix(end.Message, test.want) {
				t.Errorf("it ended with %+v", end)
			}
			if !n.told.has(pods.StepNetwork+" failed") || n.told.has(pods.StepCreateContainer) {
				t.Errorf("told: %v", n.told.steps)
			}
			n.delete(p, nil)
		})
	}
}

// TestNetworkIsLost: the pod goes on, and operators see why it is alone, until it is back.
func TestNetworkIsLost(t *testing.T) {
	n := newNode(t)
	p := newPod(tunnelled, func(p *v1.Pod) {
		p.Spec.Containers = append(p.Spec.Containers, container("crashing", "exit", "1"))
		p.Spec.RestartPolicy = v1.RestartPolicyAlways
	})
	n.create(p)
	s := n.sandbox(p)
	s.Init.SetTunnel(up)
	n.awaitRunning(p, "main")
	s.Init.SetTunnel(down)
	n.poll("its loss is told", func() bool { return n.told.has(pods.EventCutOff) })
	n.await(p, "with its loss", func(r podstatus.Report) bool {
		w := statusOf(r, "crashing").State.Waiting
		return isRunning("main")(r) && w != nil && strings.Contains(w.Message, "the network of its cluster is lost: "+down.Error)
	})
	if v := n.view(p).Network; v.Up || v.Error != down.Error {
		t.Errorf("operators see %+v", v)
	}
	s.Init.SetTunnel(up)
	n.poll("it is back", func() bool { return n.view(p).Network.Up })
	if r, _ := n.manager.Status(p); strings.Contains(fmt.Sprint(statusOf(r, "crashing").State), "is lost") {
		t.Errorf("its loss is told still: %+v", statusOf(r, "crashing").State)
	}
	n.delete(p, nil)
}

// TestNetworkAfterRestart: a docker-sd that is started again asks for the same tunnel, and
// what runs is not held, whether the tunnel is up or not.
func TestNetworkAfterRestart(t *testing.T) {
	for name, state := range map[string]initapi.TunnelState{"up": up, "down": down} {
		t.Run(name, func(t *testing.T) {
			n := newNode(t)
			var runs, probed atomic.Int32
			n.host.InnerProgram("serve", counted(&runs))
			n.host.InnerProgram("ask", func(*enginetest.Process) int { probed.Add(1); return 0 })
			p := newPod(meshed, withMain(func(c *v1.Container) { c.LivenessProbe = execProbe("ask") }))
			n.create(p)
			s := n.sandbox(p)
			s.Init.SetTunnel(up)
			first := n.asked(p, 1)
			n.awaitRunning(p, "main")
			n.end()
			s.Init.SetTunnel(state)
			n.network.Servers = []string{"only.example.org"} // what runs was admitted before
			before := probed.Load()
			n.start()
			n.poll("it is looked after", func() bool { return probed.Load() > before })
			if diff := cmp.Diff(first, n.asked(p, 2)); diff != "" {
				t.Errorf("the second wish (-first +second):\n%s", diff)
			}
			n.hasRun(&runs, 1)
			n.poll("it is seen", func() bool { return n.view(p).Network.Up == state.Up && n.view(p).Network.Error == state.Error })
			n.delete(p, nil)
		})
	}
}

// TestNetworkInterrupted: a docker-sd that ends before the pod has joined is followed by
// one that joins it first.
func TestNetworkInterrupted(t *testing.T) {
	n := newNode(t)
	var runs atomic.Int32
	n.host.InnerProgram("serve", counted(&runs))
	p := newPod(tunnelled)
	n.create(p)
	n.asked(p, 1)
	n.crash()
	n.asked(p, 2)
	if runs.Load() > 0 {
		t.Error("it has run before it has joined")
	}
	n.sandbox(p).Init.SetTunnel(up)
	n.awaitRunning(p, "main")
	n.hasRun(&runs, 1)
	n.delete(p, nil)
}

// TestNetworkOfNextSandbox: after the loss of its sandbox the pod joins anew before it runs
// again, from the same sandbox or another one. A pod that has run goes on alone.
func TestNetworkOfNextSandbox(t *testing.T) {
	for name, test := range map[string]struct{ lost, alone bool }{"started again": {}, "another one": {lost: true}, "started again, and alone": {alone: true}} {
		t.Run(name, func(t *testing.T) {
			n := newNode(t, func(n *node) {
				if test.alone {
					n.networkTimeout = 2 * time.Second
				}
			})
			var runs atomic.Int32
			n.host.InnerProgram("serve", counted(&runs))
			p := newPod(tunnelled, restarting(v1.RestartPolicyAlways))
			n.create(p)
			s := n.sandbox(p)
			s.Init.SetTunnel(up)
			n.awaitRunning(p, "main")
			s.Init.SetTunnel(down)
			times := 2
			if test.lost {
				times = 1
				n.host.Lose(s.ID)
				n.poll("it has another sandbox", func() bool { id := n.view(p).ContainerID; return id != "" && id != s.ID })
			} else {
				n.host.Exit(s.ID, 137)
			}
			n.asked(p, times)
			if runs.Load() != 1 {
				t.Error("it has run again before it has joined")
			}
			if !test.alone {
				n.sandbox(p).Init.SetTunnel(up)
			}
			n.hasRun(&runs, 2)
			n.awaitRunning(p, "main")
			if test.alone && !n.told.has(pods.EventCutOff) {
				t.Error("it is not told that it is alone")
			}
			n.delete(p, nil)
		})
	}
}

// TestNoNetwork: pods without a wish, and nodes without a network, ask for nothing.
func TestNoNetwork(t *testing.T) {
	n := newNode(t)
	plain := newPod()
	n.create(plain)
	n.awaitRunning(plain, "main")
	if got := n.sandbox(plain).Init.Requests(initapi.OpTunnel); len(got) > 0 || n.view(plain).Network != nil || n.told.has(pods.StepNetwork) {
		t.Errorf("asked for %v, seen %+v", got, n.view(plain).Network)
	}
	n.delete(plain, nil)
	bad := newPod(func(p *v1.Pod) {
		p.Annotations = map[string]string{clusternet.Commands: "wstunnel client -P x -R tcp://0:localhost:80 ws://h"}
	})
	if _, err := n.manager.Create(n.ctx, bad, volumes.Data{}); !errdefs.IsInvalidArgument(err) || !strings.Contains(err.Error(), clusternet.Commands) {
		t.Errorf("Create() = %v", err)
	}
	n.end()
	n.network.Off = true
	n.start()
	n.create(bad)
	n.awaitRunning(bad, "main")
	n.network.Off = false
	n.restart()
	n.awaitRunning(bad, "main")
	if got := n.sandbox(bad).Init.Requests(initapi.OpTunnel); len(got) > 0 {
		t.Errorf("a pod of a node without a network asked for %v", got)
	}
	n.delete(bad, nil)
}
