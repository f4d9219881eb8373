package tunnel

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/initapi"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/retry"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/wstunnel"
)

// Tunnel joins this network namespace to a cluster's network.
type Tunnel struct {
	wish   initapi.Tunnel
	client *wstunnel.Client
	ports  []*wstunnel.Port
	// mesh is nil in tunnel mode.
	mesh *mesh
	// changes has one place: a change that is noted while another one waits is the same.
	changes chan struct{}
	// settled is called when the network is set up, and needs no right any more.
	settled func() error

	mu      sync.Mutex
	up      bool
	changed time.Time
	// problem is what keeps the tunnel from running at all.
	problem error
}

// New checks a wish and prepares its tunnel, which does nothing yet. settled is called once
// no right to change the network is needed any more.
func New(wish initapi.Tunnel, settled func() error) (*Tunnel, error) {
	if err := wish.Check(); err != nil {
		return nil, err
	}
	t := &Tunnel{wish: wish, changes: make(chan struct{}, 1), changed: time.Now(), settled: settled}
	config := wstunnel.Config{Server: wish.Server, PathPrefix: wish.PathPrefix, CAs: wish.CAs, Insecure: wish.Insecure, Proxy: wish.Proxy}
	if wish.WireGuard != nil {
		routes, err := prefixes(wish.WireGuard.Routes)
		if err != nil {
			return nil, err
		}
		config.Control = func(network, address string, c syscall.RawConn) error { return aroundRoutes(routes, address, c) }
	}
	var err error
	if t.client, err = wstunnel.New(config); err != nil {
		return nil, err
	}
	for _, r := range wish.Reverse {
		port, err := t.client.Reverse(r.Listen, r.Target, t.note)
		if err != nil {
			return nil, err
		}
		t.ports = append(t.ports, port)
	}
	if wish.WireGuard != nil {
		if t.mesh, err = newMesh(*wish.WireGuard, t.client, t.note); err != nil {
			return nil, err
		}
	}
	return t, nil
}

// note has the state looked at again.
func (t *Tunnel) note() {
	select {
	case t.changes <- struct{}{}:
	default:
	}
}

// lookEvery is how often the state is looked at that nothing tells of: WireGuard's.
const lookEvery = time.Second

// Pauses after a set-up that failed.
const firstSetUp, lastSetUp = time.Second, 15 * time.Second

// Run keeps the tunnel until ctx ends. It fails only where the process has to be started
// again.
func (t *Tunnel) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	running, ctx := errgroup.WithContext(ctx)
	defer cancel()
	running.Go(func() error { return t.runNetwork(ctx) })
	for _, port := range t.ports {
		running.Go(func() error { return port.Run(ctx) })
	}
	running.Go(func() error { return t.look(ctx) })
	return running.Wait()
}

// look notes when the state changes.
func (t *Tunnel) look(ctx context.Context) error {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-t.changes:
		case <-tick.C:
		}
		t.State()
	}
}

// runNetwork sets the network up until that succeeds, and keeps it.
func (t *Tunnel) runNetwork(ctx context.Context) error {
	trouble, settled := retry.New(firstSetUp, lastSetUp), false
	ready := func() error {
		if err := addOwn(t.wish.Own); err != nil {
			return err
		}
		t.fail(nil)
		trouble.Succeeded(ctx, "the network is set up")
		settled = true
		return t.settled()
	}
	for {
		err := t.network(ctx, ready)
		if settled || ctx.Err() != nil {
			return err
		}
		t.fail(err)
		if err := trouble.Failed(ctx, "the network cannot be set up", err); err != nil {
			return err
		}
	}
}

// network calls ready once it is set up, and ends with ctx at the earliest then.
func (t *Tunnel) network(ctx context.Context, ready func() error) error {
	if t.mesh != nil {
		return t.mesh.run(ctx, ready)
	}
	if err := ready(); err != nil {
		return err
	}
	<-ctx.Done()
	return ctx.Err()
}

func (t *Tunnel) fail(err error) {
	t.mu.Lock()
	t.problem = err
	t.mu.Unlock()
	t.note()
}

// State of the tunnel now.
func (t *Tunnel) State() initapi.TunnelState {
	out := initapi.TunnelState{Wanted: true, Up: true}
	out.Received, out.Sent = t.client.Bytes()
	var failure error
	for i, port := range t.ports {
		status := port.Status()
		out.Up = out.Up && status.Connected
		out.Reconnections += max(status.Connections-1, 0)
		if status.Err != nil {
			failure = fmt.Errorf("port %s: %w", t.wish.Reverse[i].Listen, status.Err)
		}
	}
	if t.mesh != nil {
		seen := t.mesh.state()
		out.Up = out.Up && seen.up
		out.Handshake, out.Reconnections = seen.handshake, out.Reconnections+seen.reconnections
		failure = errors.Join(seen.err, failure)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.problem != nil {
		out.Up, failure = false, t.problem
	}
	if failure != nil {
		out.Error = failure.Error()
	}
	if out.Up != t.up {
		t.up, t.changed = out.Up, time.Now()
	}
	out.Changed = t.changed
	return out
}
