package main

import (
	"context"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/config"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/doctor"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/engine"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/eviction"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/images"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/pool"
)

// setup lets the check do as the daemon does.
func setup() doctor.Setup {
	return doctor.Setup{
		Version: version,
		Sandboxes: func(ctx context.Context, s config.Config, host *engine.Client, info engine.Info, sharing images.Sharing, limits engine.Resources) pool.Config {
			return sandboxConfig(ctx, s, host, info, sharing, limits)
		},
		Shares: func(s config.Config, info engine.Info) (doctor.Shares, error) {
			found, err := sharesOf(s, info, hostPids("/proc"))
			return doctor.Shares{All: found.all, Each: found.each, Bound: found.bound}, err
		},
		DiskWatch: func(s config.Config, info engine.Info) (*eviction.Watch, error) {
			return newDiskWatch(s, info, nil, nil)
		},
		Firewall: firewallConfig, Accelerators: acceleratorsConfig, Apart: checkApart,
		Callers: func(s config.Config, own config.Callers) (doctor.Callers, error) {
			found, err := newGuard(own)
			return doctor.Callers{TLS: found.tls, Hosts: found.hosts(s)}, err
		},
	}
}
