package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"sync"
	"time"

	"github.com/containerd/containerd/log"
	"k8s.io/apimachinery/pkg/types"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/admin"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/api"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/config"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/engine"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/gpu"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/inside"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/metrics"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/pods"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/podstatus"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/pool"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/tracing"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/usage"
)

// observer is how operators see this docker-sd: its state, events and metrics,
// and where they are served.
type observer struct {
	info      admin.Info
	ledger    *gpu.Ledger
	tell      *teller
	ring      admin.Ring
	journal   admin.Journal
	listeners []net.Listener

	mu       sync.Mutex
	troubles func() []string
	heard    func() (plugin, virtualKubelets api.Heard)
	pods     *pods.Manager
	pool     *pool.Pool
	engine   string
	meter    *usage.Meter
}

var _ admin.Source = &observer{}

// newObserver opens the connection for traces, if there are any; close or serve closes it.
func newObserver(ctx context.Context, settings config.Config, ledger *gpu.Ledger) (*observer, error) {
	_, address := settings.Listen()
	_, interlink := settings.InterlinkAPI.Listen()
	o := &observer{ledger: ledger, info: admin.Info{Version: version, Instance: settings.Instance, Started: time.Now(),
		Address: address, InterlinkAPI: interlink, MaxPods: settings.MaxPods}}
	t := settings.Telemetry
	tracer, err := tracing.New(ctx, tracing.Config{Enabled: t.Enabled, ID: t.UniqueID, Version: version, Collector: tracing.Collector{
		Endpoint: t.Endpoint, CA: t.CACertFile, Cert: t.ClientCertFile, Key: t.ClientKeyFile, InsecureSkipVerify: t.InsecureSkipVerify}})
	if err != nil {
		return nil, err
	}
	o.tell = &teller{metrics: metrics.New(version, settings.Instance, o), tracer: tracer, ring: &o.ring, journal: &o.journal}
	o.tell.metrics.ShowUsage(settings.Instance, o.Usage, o.GPUs)
	return o, nil
}

// listen binds the socket in the data folder, and the TCP address unless it is
// switched off. The default address may be taken, by another docker-sd say:
// pods are worth more than it.
func (o *observer) listen(ctx context.Context, settings config.Config) error {
	socket, err := api.Listen("unix", filepath.Join(settings.DataRootFolder, admin.SocketName))
	if err != nil {
		return fmt.Errorf("admin socket: %w", err)
	}
	o.listeners = append(o.listeners, socket)
	address, on := settings.Admin()
	if !on {
		return nil
	}
	tcp, err := api.Listen("tcp", address)
	switch {
	case err == nil:
		o.listeners, o.info.Admin = append(o.listeners, tcp), tcp.Addr().String()
		log.G(ctx).WithField("address", tcp.Addr().String()).Info("metrics and the status page are served")
		if wide(tcp.Addr()) {
			log.G(ctx).WithField("address", tcp.Addr().String()).Warn("whoever reaches AdminAddress can read the names of pods and images, and nobody is asked who they are; " +
				"set it to a loopback address, or let nobody but your monitoring through")
		}
	case address == config.DefaultAdminAddress:
		log.G(ctx).WithError(err).Warn("the default AdminAddress is taken; metrics and the status page are on the admin socket only, set another one")
	default:
		return fmt.Errorf("AdminAddress: %w", err)
	}
	return nil
}

// serve answers operators until ctx ends.
func (o *observer) serve(ctx context.Context, settings config.Config) {
	server := admin.New(admin.Config{Source: o, Metrics: o.tell.metrics.Handler(), Hosts: hostsOf(settings),
		Usage: o.Usage, Resources: metrics.Resources(o.Usage), Inside: o.inside, Status: api.StatusCode})
	var group sync.WaitGroup
	for _, listener := range o.listeners {
		group.Go(func() {
			if err := server.Serve(listener); err != nil {
				log.G(ctx).WithError(err).Error("operators are not answered any more")
			}
		})
	}
	<-ctx.Done()
	if err := within(farewell, server.Shutdown); err != nil {
		log.G(ctx).WithError(err).Warn("the admin address could not be closed")
	}
	group.Wait()
	if err := within(farewell, o.tell.tracer.Close); err != nil {
		log.G(ctx).WithError(err).Warn("the last traces could not be sent")
	}
}

// farewell is the time for calls of operators to end, and for the last traces to be sent.
const farewell = time.Second

// within ends the context of do after limit.
func within(limit time.Duration, do func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	return do(ctx)
}

// close lets go of what a failed start has opened.
func (o *observer) close() error {
	errs := []error{within(farewell, o.tell.tracer.Close)}
	for _, listener := range o.listeners {
		errs = append(errs, listener.Close())
	}
	return errors.Join(errs...)
}

// watch says what there is to see, once it is there.
func (o *observer) watch(manager *pods.Manager, sandboxes *pool.Pool, info engine.Info) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.pods, o.pool, o.engine = manager, sandboxes, info.Version
}

// ask says who knows why pods cannot be taken, and who calls.
func (o *observer) ask(server *api.Server) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.troubles, o.heard = server.Troubles, server.Heard
}

// Info says which docker-sd answers.
func (o *observer) Info() admin.Info {
	info := o.info
	info.Troubles = o.Troubles()
	o.mu.Lock()
	defer o.mu.Unlock()
	info.Engine = o.engine
	if o.heard != nil {
		plugin, virtualKubelets := o.heard()
		info.Plugin, info.VirtualKubelet = new(admin.Heard(plugin)), new(admin.Heard(virtualKubelets))
	}
	return info
}

// Troubles lists why pods cannot be taken.
func (o *observer) Troubles() []string {
	o.mu.Lock()
	troubles := o.troubles
	o.mu.Unlock()
	if troubles == nil {
		return []string{"starting"}
	}
	return append([]string{}, troubles()...)
}

// Pods lists the pods.
func (o *observer) Pods() admin.Pods {
	o.mu.Lock()
	manager := o.pods
	o.mu.Unlock()
	if manager == nil {
		return admin.Pods{Pods: []podstatus.View{}, Starting: true}
	}
	return admin.Pods{Pods: manager.List()}
}

// inside lets the owner into the pods, once they are there.
func (o *observer) inside() admin.Inside {
	o.mu.Lock()
	defer o.mu.Unlock()
	manager := o.pods
	if manager == nil {
		return nil
	}
	return &inside.Inside{Enter: func(uid types.UID) (pods.Entry, error) { return pods.Enter(manager, uid) }, Journal: &o.journal, Logs: manager.FindLogs}
}

// Pool counts and lists the sandboxes: the warm ones are the pool's, those that
// pods have claimed are the pods'.
func (o *observer) Pool() admin.Pool {
	out := admin.Pool{Sandboxes: []admin.Sandbox{}}
	o.mu.Lock()
	sandboxes := o.pool
	o.mu.Unlock()
	if sandboxes == nil {
		out.Starting = true
		return out
	}
	stats := sandboxes.Stats()
	out.Wanted, out.Warm, out.Standby, out.Holders, out.Waiting = stats.Size, stats.Warm, stats.Standby, stats.Holders, stats.Claiming
	out.Booting = stats.Starting + max(stats.Claiming-stats.Waiting, 0)
	if stats.LastError != nil {
		out.Error = stats.LastError.Error()
	}
	for _, s := range sandboxes.Warm() {
		out.Sandboxes = append(out.Sandboxes, admin.Sandbox{Name: s.Name, ContainerID: s.ID, IP: s.IP, Booted: s.Booted, State: admin.SandboxWarm})
	}
	for _, p := range o.Pods().Pods {
		if p.Sandbox == "" {
			continue
		}
		out.Claimed++
		out.Sandboxes = append(out.Sandboxes, admin.Sandbox{Name: p.Sandbox, ContainerID: p.ContainerID, IP: p.IP, Booted: p.Booted,
			State: admin.SandboxClaimed, PodUID: p.UID, Namespace: p.Namespace, PodName: p.Name})
	}
	return out
}

// GPUs lists the accelerators.
func (o *observer) GPUs() gpu.Snapshot {
	snapshot := o.ledger.Snapshot()
	if snapshot.Devices == nil {
		snapshot.Devices = []gpu.DeviceState{}
	}
	return snapshot
}

// Events lists the last changes of state, the newest first.
func (o *observer) Events() admin.Events { return admin.Events{Events: o.ring.List()} }
