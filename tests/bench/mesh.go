package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"time"

	v1 "k8s.io/api/core/v1"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/clusternet"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/clusternet/clusternettest"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/initapi"
	"github.com/intertwin-eu/interlink-docker-plugin/tests/clusterpeer"
)

// measureMesh takes what the network of a cluster adds to the start of a pod, what a mesh
// carries, and what its process needs.
func (b *bench) measureMesh(ctx context.Context) error {
	restore, err := passPacketsOn()
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp(b.dir, "cl")
	if err != nil {
		return errors.Join(err, restore())
	}
	peer, err := clusterpeer.Start(ctx, clusterpeer.Options{Dir: dir, Name: fmt.Sprintf("b%d", os.Getpid()%10000)})
	if err != nil {
		return errors.Join(err, restore())
	}
	return errors.Join(b.withDaemon(ctx, usual(3), func(d *daemon) error {
		m := meshBench{d, peer}
		if err := m.starts(ctx); err != nil {
			return err
		}
		return m.transfers(ctx)
	}), peer.Close(), restore())
}

// forwarding is whether this host passes packets of sandboxes on, as an engine has it do
// unless it is told not to.
const forwarding = "/proc/sys/net/ipv4/ip_forward"

// passPacketsOn has it do so until restore is called.
func passPacketsOn() (restore func() error, err error) {
	was, err := os.ReadFile(forwarding)
	if err != nil {
		return nil, fmt.Errorf("see whether packets are passed on: %w", err)
	}
	return func() error { return os.WriteFile(forwarding, was, 0o644) }, os.WriteFile(forwarding, []byte("1"), 0o644)
}

// meshBench is a docker-sd beside a cluster.
type meshBench struct {
	*daemon
	cluster *clusterpeer.Cluster
}

// Kinds of networks that pods have of their cluster.
const (
	meshNone   = "none"
	meshTunnel = "tunnel"
	meshFull   = "full"
)

// pod with the annotations of a kind.
func (m meshBench) pod(kind string) *v1.Pod {
	pod := m.b.newPod(m.b.image, "")
	v := clusternettest.Typical()
	v.IngressEndpoint, v.RandomPassword, v.PrivateKey, v.PublicKey = m.cluster.Address, m.cluster.Prefix, m.cluster.PrivateKey, m.cluster.PeerKey
	switch kind {
	case meshTunnel:
		pod.Annotations = map[string]string{clusternet.Commands: v.Commands(8000)}
	case meshFull:
		pod.Annotations = map[string]string{clusternet.PreExec: v.Released(), clusternet.Snippet: v.Snippet()}
	}
	pod.Status.PodIP = "10.244.3.7"
	return pod
}

// starts takes those of pods of each kind in turns, so that all see the same machine, and
// how much more each network takes than none in the same turn.
func (m meshBench) starts(ctx context.Context) error {
	kinds := []string{meshNone, meshTunnel, meshFull}
	took := map[string][]time.Duration{}
	for i := range m.b.times(4, 20) + warmUps {
		for _, kind := range kinds {
			if err := m.awaitWarm(ctx); err != nil {
				return err
			}
			s, err := m.start(ctx, m.pod(kind))
			if err != nil {
				return err
			}
			if i >= warmUps {
				took[kind] = append(took[kind], s.started.Sub(s.sent))
			}
			if err := errors.Join(m.awaitWarm(ctx), m.remove(ctx, s)); err != nil {
				return err
			}
		}
	}
	for _, kind := range kinds {
		m.b.report.addTimes("mesh_start_"+kind, took[kind], "mesh_start_"+meshNone)
	}
	for _, kind := range kinds[1:] {
		more := make([]time.Duration, len(took[kind]))
		for i := range more {
			more[i] = took[kind][i] - took[meshNone][i]
		}
		m.b.report.addTimes("mesh_start_"+kind+"_more", more, "")
	}
	return nil
}

// transfers takes how long a gigabyte takes each way by the mesh of a pod, against the same
// by wireguard-go in the sandbox of a pod without one, and the memory of the tunnel before
// and after. The sums of both ends are compared. A further pod has a tunnel, because all
// tunnels of a host share the memory of their program.
func (m meshBench) transfers(ctx context.Context) error {
	pods := map[string]*sample{}
	for _, kind := range []string{meshFull, meshNone, meshTunnel} {
		s, err := m.start(ctx, m.pod(kind))
		if err != nil {
			return err
		}
		pods[kind] = s
	}
	if err := m.tunnelMemory(ctx, "idle", pods[meshFull]); err != nil {
		return err
	}
	end, err := m.plainPair(ctx, pods[meshNone])
	if err != nil {
		return err
	}
	defer end()
	size := int64(m.b.times(256<<20, 1<<30))
	for _, way := range []string{"download", "upload"} {
		plainTook, err := m.transfer(ctx, pods[meshNone], way, size)
		if err != nil {
			return err
		}
		took, err := m.transfer(ctx, pods[meshFull], way, size)
		if err != nil {
			return err
		}
		name := fmt.Sprintf("%s_%d_mib", way, size>>20)
		m.b.report.addTimes("plain_wireguard_"+name, []time.Duration{plainTook}, "")
		m.b.report.addTimes("mesh_"+name, []time.Duration{took}, "plain_wireguard_"+name)
	}
	return errors.Join(m.tunnelMemory(ctx, "used", pods[meshFull]), m.remove(ctx, slices.Collect(maps.Values(pods))...))
}

// container is the id of a pod's sandbox, and pid its first process.
func (m meshBench) container(ctx context.Context, s *sample) (id string, pid int, err error) {
	found, err := m.b.containers(ctx, sandboxLabel+"="+s.sandbox)
	if err != nil {
		return "", 0, err
	}
	for _, c := range found {
		if c.holder() {
			continue
		}
		var state struct{ State struct{ Pid int } }
		err := m.b.engine.call(ctx, http.MethodGet, "/containers/"+c.ID+"/json", nil, &state)
		return c.ID, state.State.Pid, err
	}
	return "", 0, fmt.Errorf("pod %s has no sandbox", s.pod.UID)
}

// inSandbox is how a command is run in the network of a pod's sandbox.
func (m meshBench) inSandbox(ctx context.Context, s *sample) ([]string, error) {
	_, pid, err := m.container(ctx, s)
	return []string{"nsenter", fmt.Sprintf("--net=/proc/%d/ns/net", pid)}, err
}

// transfer moves bytes between a pod and the service of the cluster.
func (m meshBench) transfer(ctx context.Context, s *sample, way string, bytes int64) (time.Duration, error) {
	in, err := m.inSandbox(ctx, s)
	if err != nil {
		return 0, err
	}
	began := time.Now()
	_, err = clusterpeer.Run(ctx, append(in, m.cluster.Peer(), "fetch", "-"+way, fmt.Sprint(bytes), "http://"+clusterpeer.ServiceAddress)...)
	return time.Since(began), err
}

// plainPair joins a pod to the cluster by wireguard-go in its sandbox's network, over UDP
// and without anything of docker-sd, until end is called.
func (m meshBench) plainPair(ctx context.Context, s *sample) (end func(), err error) {
	in, err := m.inSandbox(ctx, s)
	if err != nil {
		return nil, err
	}
	member, err := m.cluster.AddPod(ctx)
	if err != nil {
		return nil, err
	}
	return m.cluster.JoinPlainly(ctx, in, member)
}

// tunnelMemory reports that of a pod's tunnel.
func (m meshBench) tunnelMemory(ctx context.Context, when string, s *sample) error {
	id, _, err := m.container(ctx, s)
	if err != nil {
		return err
	}
	pids, err := m.b.pids(ctx, id)
	if err != nil {
		return err
	}
	for _, pid := range pids {
		program, err := os.Readlink(filepath.Join("/proc", fmt.Sprint(pid), "exe"))
		if err != nil || program != initapi.TunnelPath {
			continue // it has ended, or is another
		}
		used, err := memoryOf([]int{pid})
		if err != nil {
			return err
		}
		m.b.report.addMemory("memory_mesh_tunnel_"+when, used, 1)
		return nil
	}
	return fmt.Errorf("pod %s has no tunnel", s.pod.UID)
}
