package doctor

import (
	"context"
	"crypto/tls"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/accelerators"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/access"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/cgroup"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/config"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/engine"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/eviction"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/firewall"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/images"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/pool"
)

// Setup is what docker-sd makes of its configuration and of this host. The program gives it, so
// that the check looks at what docker-sd would do.
type Setup struct {
	// Version of docker-sd.
	Version string
	// Sandboxes is how they are made, each with limits.
	Sandboxes func(context.Context, config.Config, *engine.Client, engine.Info, images.Sharing, engine.Resources) pool.Config
	// Shares are what they may have of the host.
	Shares func(config.Config, engine.Info) (Shares, error)
	// DiskWatch looks after disks. Its error says which disk it does not see.
	DiskWatch func(config.Config, engine.Info) (*eviction.Watch, error)
	Firewall  func(config.Config) firewall.Config
	// Accelerators has an error for devices that cannot be shared as configured.
	Accelerators func(config.Config) (accelerators.Config, error)
	// Callers has what is known of them also beside an error.
	Callers func(config.Config, config.Callers) (Callers, error)
	// Apart refuses folders for pods from which they would reach the engine or docker-sd.
	Apart func(config.Config, engine.Info) error
}

// Shares are what sandboxes may have of the host: all together, and each.
type Shares struct {
	All  cgroup.Bounds
	Each engine.Resources
	// Bound makes the control group of all.
	Bound func() (*cgroup.Group, error)
}

// Callers are who may call an address.
type Callers struct {
	TLS *tls.Config // nil without TLS
	// Hosts are the names under which calls may come, nil is any.
	Hosts access.Hosts
}
