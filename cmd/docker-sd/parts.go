package main

import (
	"context"
	"errors"
	"path/filepath"
	"slices"

	"github.com/containerd/containerd/log"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/accelerators"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/engine"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/eviction"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/firewall"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/images"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/initbinary"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/pods"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/pool"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/sandbox"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/snapshots"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/usage"
)

// closers close what was opened, the last one first.
type closers []func() error

func (c closers) close() error {
	var errs []error
	for _, end := range slices.Backward(c) {
		errs = append(errs, end())
	}
	return errors.Join(errs...)
}

// parts are what docker-sd consists of once the engine has said what it is.
type parts struct {
	info      engine.Info
	images    *images.Provider
	sandboxes *pool.Pool
	devices   *accelerators.Accelerators
	meter     *usage.Meter
	manager   *pods.Manager
	disks     *eviction.Watch
	opened    closers
	// snapshots says that sandboxes share layers of containerd's image store.
	snapshots bool
}

func (p *parts) close(ctx context.Context) {
	if err := p.opened.close(); err != nil {
		log.G(ctx).WithError(err).Warn("not all parts could be closed")
	}
}

// makeParts makes them and starts nothing. What is open when it fails is closed.
func (d *daemon) makeParts(ctx context.Context, info engine.Info, shares shares, wall *firewall.Firewall) (_ *parts, err error) {
	p := &parts{info: info}
	defer func() {
		if err != nil {
			err = errors.Join(err, p.opened.close())
		}
	}()
	var library images.Library
	sharing, own := snapshots.Share(ctx, images.Layers(images.Mode(d.settings.ImageSharing), info), info, d.settings.Instance, filepath.Join(d.settings.DataRootFolder, "layers"))
	if own != nil {
		p.opened = append(p.opened, own.Close)
		library, p.snapshots = own, true
	}
	log.G(ctx).WithField("sharing", sharing.Root != "" || sharing.Library).Info(sharing.Why)
	sandboxes := sandboxConfig(ctx, d.settings, d.host, info, sharing, shares.each)
	warnOfRuntimes(ctx, d.settings)
	sandboxes.Observer, sandboxes.Calls = d.observer.tell, d.observer.tell.Call
	sandboxes.FetchImage = func(ctx context.Context, image string) error { return p.images.Fetch(ctx, image) }
	if sandboxes.Init, err = initbinary.Install(filepath.Join(d.settings.DataRootFolder, "init")); err != nil {
		return nil, err
	}
	if wall != nil {
		sandboxes.Guard = wall
	}
	policy, program, err := clusterNetwork(ctx, d.settings, sandboxes.Subnets)
	if err != nil {
		return nil, err
	}
	sandboxes.Tunnel = program
	if sharing.Library {
		store, err := sandbox.NewImageStore(sandboxes.Config, filepath.Join(d.settings.DataRootFolder, "images"), d.host)
		if err != nil {
			return nil, err
		}
		p.opened = append(p.opened, store.Close)
		library = store
	}
	p.images = images.New(d.imagesConfig(sharing, library, func() { p.sandboxes.Refresh() }), d.host)
	p.opened = append(p.opened, func() error { p.images.Close(); return nil })
	p.sandboxes = pool.New(sandboxes, d.host)
	p.opened = append(p.opened, func() error { p.sandboxes.Close(); return nil })
	if p.devices, err = accelerators.Open(ctx, d.devices, d.ledger, d.host, p.sandboxes); err != nil {
		return nil, err
	}
	p.opened = append(p.opened, func() error { p.devices.Close(ctx); return nil })
	p.meter = d.newMeter(ctx, shares, p.devices)
	config := d.podsConfig(info, policy)
	if err := readDefaults(d.settings.PodDefaults, &config.Node.Defaults); err != nil {
		return nil, err
	}
	config.Meter = p.meter
	p.manager = pods.New(config, p.sandboxes, p.images, p.devices.Broker())
	p.opened = append(p.opened, func() error { p.manager.Close(); return nil })
	p.disks = d.watchDisks(ctx, info, p.manager, p.images)
	return p, nil
}
