package pods

import (
	"context"

	"github.com/containerd/containerd/log"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/component-helpers/resource"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/eviction"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/initapi"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/sandbox"
)

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

// diskUser sums up the sandbox's folder, and the data of its engine, which its init
// measures: a docker-sd in a container does not see it.
func (p *pod) diskUser(ctx context.Context, s *sandbox.Sandbox) eviction.User {
	ctx, cancel := context.WithTimeout(log.WithLogger(ctx, log.G(p.life)), measureLimit)
	defer cancel()
	requests := resource.PodRequests(p.spec, resource.PodResourcesOptions{ExcludeOverhead: true})
	u := eviction.User{UID: string(p.spec.UID), Name: p.spec.Name, Request: requests.StorageEphemeral().Value(),
		Folder: p.measure(ctx, s.Dir, "."), Containers: p.containerUsers(ctx, s)}
	u.Data = measureInside(ctx, s, initapi.DataPath)
	metered{p}.keepStorage(u.Folder.Bytes, u.Containers)
	return u
}
