package pods

import (
	"context"
	"path"
	"time"

	"github.com/containerd/containerd/log"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/component-helpers/resource"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/eviction"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/initapi"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/podspec"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/sandbox"
)

// measureLimit bounds the measuring of one pod. What was seen until then counts.
const measureLimit = 30 * time.Second

// reasonEvicted is kubelet's.
const reasonEvicted = "Evicted"

// DiskUsers measures the pods that run, one after the other.
func (m *Manager) DiskUsers(ctx context.Context) []eviction.User {
	m.mu.Lock()
	var running []*pod
	for _, p := range m.pods {
		if p.evict.Load() != nil {
			running = append(running, p)
		}
	}
	m.mu.Unlock()
	var out []eviction.User
	for _, p := range running {
		if s := p.sandbox.Load(); s != nil && ctx.Err() == nil {
			out = append(out, p.diskUser(ctx, s))
		}
	}
	return out
}

// diskUser sums up the sandbox's folder, and the data of its engine, which its init
// measures: a docker-sd in a container does not see it.
func (p *pod) diskUser(ctx context.Context, s *sandbox.Sandbox) eviction.User {
	ctx, cancel := context.WithTimeout(log.WithLogger(ctx, log.G(p.life)), measureLimit)
	defer cancel()
	requests := resource.PodRequests(p.spec, resource.PodResourcesOptions{ExcludeOverhead: true})
	u := eviction.User{UID: string(p.spec.UID), Name: p.spec.Name, Request: requests.StorageEphemeral().Value(),
		Folder: p.measure(ctx, s.Dir, "."), Containers: p.containerUsers(ctx, s)}
	u.Data = measureInside(ctx, s, initapi.DataPath)
	return u
}

// containerUsers measures the containers that exist, those that have ended included: what
// each has written to its file system, and its log.
func (p *pod) containerUsers(ctx context.Context, s *sandbox.Sandbox) []eviction.Container {
	var out []eviction.Container
	for _, c := range podspec.Containers(p.spec) {
		now, _ := p.statuses.Instance(c.Name)
		if now.ID == "" {
			continue
		}
		written, err := s.Engine.WrittenBytes(ctx, now.ID)
		if err != nil {
			log.G(ctx).WithError(err).Debug("what a container has written could not be measured")
		}
		written += measureInside(ctx, s, path.Join(initapi.DataPath, "containers", now.ID)).Bytes
		out = append(out, eviction.Container{Name: c.Name, Used: written, Request: c.Resources.Requests.StorageEphemeral().Value()})
	}
	return out
}

// measureInside sums up a folder of the sandbox.
func measureInside(ctx context.Context, s *sandbox.Sandbox, folder string) eviction.Amount {
	got, err := s.Init.Measure(ctx, folder)
	if err != nil {
		log.G(ctx).WithError(err).Debug("a folder of the sandbox was measured in part")
	}
	return eviction.Amount{Bytes: got.Bytes, Inodes: got.Inodes}
}

// measure sums up a folder below root, on the host.
func (p *pod) measure(ctx context.Context, root, below string) eviction.Amount {
	got, err := p.node.config.Measure(ctx, root, below)
	if err != nil {
		log.G(p.life).WithError(err).Debug("a folder of the pod was measured in part")
	}
	return got
}

// Evict ends a running pod without grace, as kubelet does where a disk is low. The
// channel is closed when the pod's sandbox and volumes are gone, or docker-sd ends;
// it is nil for a pod that does not run.
func (m *Manager) Evict(uid, message string) <-chan struct{} {
	m.mu.Lock()
	p := m.pods[types.UID(uid)]
	m.mu.Unlock()
	if p == nil {
		return nil
	}
	end := p.evict.Load()
	if end == nil {
		return nil
	}
	(*end)(&evicted{message: message, atOnce: true})
	return p.released
}

// wasEvicted says that what the pod has on disks is to go with its end.
func (p *pod) wasEvicted() bool {
	end := p.record.Load().End
	return end != nil && end.Reason == reasonEvicted
}
