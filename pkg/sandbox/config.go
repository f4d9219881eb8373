package sandbox

import (
	"context"
	"fmt"
	"net/netip"
	"path/filepath"
	"strings"
	"time"

	"github.com/containerd/errdefs"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/engine"
)

// Config says how sandboxes are made. Fields that are left out of its JSON do not shape
// a sandbox: see Generation.
type Config struct {
	// Instance names this docker-sd; it labels everything that is made.
	Instance string
	// Dir holds one folder per sandbox.
	Dir string
	// Image of a sandbox: any image with dockerd.
	Image string
	// Init is the program that is the first process of a sandbox, on the host.
	Init string
	// Tunnel is the program of the tunnel into a cluster's network, on the host, and gives
	// sandboxes the device that it needs, initapi.TunnelDevice, which the host has to have.
	// "" makes sandboxes that cannot join one.
	Tunnel string `json:",omitempty"`
	// RemoveFolder removes a sandbox's folder and all that pods put there.
	RemoveFolder func(context.Context, string) error `json:"-"`
	// FetchImage brings the image of a sandbox to the host's engine when it is not there.
	FetchImage func(ctx context.Context, image string) error `json:"-"`
	// BootTimeout bounds one boot while it does not advance.
	BootTimeout time.Duration `json:"-"`
	// Privileged gives a sandbox every capability and device of the host.
	Privileged bool
	// Seccomp says that the host's engine can filter system calls, CgroupsV1 that the
	// host has control groups of version 1.
	Seccomp, CgroupsV1 bool
	// AppArmor is the profile of a sandbox without privileges; "" is none.
	AppArmor string
	// Store is the host engine's data root if its image layers are to be shared.
	Store string
	// StoreLayers is the host's folder that has the layers, if Store only leads to them.
	StoreLayers string `json:",omitempty"`
	// StoreVolume is that of an ImageStore if its image layers are to be shared instead.
	StoreVolume string
	// Subnets are the parents of the sandboxes' networks; none lets the engine choose.
	// The range of an address makes no other sandbox, and the default range may be
	// another one at each start.
	Subnets []netip.Prefix `json:"-"`
	// MTU of the sandboxes' networks; 0 leaves it to the engine, which takes 1500.
	MTU int
	// Mounts are host paths that pods may use; a running sandbox gains none.
	Mounts []engine.Mount
	// Runtimes are programs of the host that run containers in sandboxes, by the names under
	// which the engine there knows them.
	Runtimes map[string]string `json:",omitempty"`
	// Ulimits of the containers in a sandbox, NAME=SOFT:HARD, as far as the sandbox has them.
	Ulimits []string `json:",omitempty"`
	// InsecureRegistries may be asked without TLS by the engine in a sandbox, and
	// RegistryCertificates are files of authorities, by registries.
	InsecureRegistries   []string          `json:",omitempty"`
	RegistryCertificates map[string]string `json:",omitempty"`
	// Amends says that the engine in a sandbox knows the runtime initapi.AmendingRuntime.
	Amends bool `json:",omitempty"`
	// Fuse gives sandboxes /dev/fuse, which the host has.
	Fuse bool
	// Resources bound a whole sandbox.
	Resources engine.Resources
	// Guard of the sandboxes' networks; nil means that there is none.
	Guard Guard `json:"-"`
	// Calls is told of every request to the engine in a sandbox; nil means that
	// nothing is.
	Calls func(engine.Call) `json:"-"`
}

// Guard keeps what comes from sandboxes' networks from where it should not go.
type Guard interface {
	// Bridge names the host's interface of a sandbox's network.
	Bridge(sandbox string) string
	// Guarded is nil if a sandbox may use a network that was made with such an interface.
	Guarded(ctx context.Context, bridge string) error
}

// Folder of a sandbox. Its name is short because a socket's path below it may have 107
// bytes.
func (c Config) Folder(name string) string {
	key := strings.ReplaceAll(strings.TrimSuffix(name, nameSuffix), "-", "")
	return filepath.Join(c.Dir, key[:min(len(key), 16)])
}

// labels of all that is made for a sandbox.
func (c Config) labels(name, generation string) map[string]string {
	return map[string]string{engine.LabelInstance: c.Instance, engine.LabelSandbox: name,
		engine.LabelGeneration: generation, engine.LabelFolder: c.Dir}
}

// labelled are the labels of every sandbox of this instance.
func (c Config) labelled() []string {
	return []string{engine.LabelInstance + "=" + c.Instance, engine.LabelSandbox}
}

// labelledAs are the labels of the named sandbox.
func (c Config) labelledAs(name string) []string {
	return []string{engine.LabelInstance + "=" + c.Instance, engine.LabelSandbox + "=" + name}
}

// create makes the container, fetching its image when the host has none.
func (c Config) create(ctx context.Context, create func(context.Context, engine.Spec) (string, error), spec engine.Spec) (string, error) {
	lingering, cancel := linger(ctx)
	defer cancel()
	id, err := create(lingering, spec)
	if errdefs.IsNotFound(err) && c.FetchImage != nil {
		if err := c.FetchImage(ctx, spec.Image); err != nil {
			return "", fmt.Errorf("the sandbox image %s is missing: set SandboxImage to one that this host has or can pull: %w", spec.Image, err)
		}
		id, err = create(lingering, spec)
	}
	return id, err
}

// lingerPeriod is how long a call goes on whose caller has left. It bounds how
// long an engine that hangs holds up the end of docker-sd.
const lingerPeriod = 10 * time.Second

// linger derives a context that ends lingerPeriod after its parent.
func linger(parent context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(parent))
	stop := context.AfterFunc(parent, func() {
		timer := time.NewTimer(lingerPeriod)
		defer timer.Stop()
		select {
		case <-timer.C:
			cancel()
		case <-ctx.Done():
		}
	})
	return ctx, func() { stop(); cancel() }
}
