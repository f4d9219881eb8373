// Package firewall keeps pods from the host that they run on, from the metadata
// services of clouds and from each other, by rules on the host's side of the
// sandboxes' networks: no capability of a pod reaches them there.
package firewall

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/containerd/containerd/log"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/retry"
)

// Firewall is a table of nftables rules. Its mutex guards what was applied last
// and is held while the kernel is told, which takes no I/O.
type Firewall struct {
	config Config

	mu sync.Mutex
	// earlier are bridges of networks that were made before bridges were named.
	earlier []string
	// applied are the rules that the kernel has, failure why it has none.
	applied []string
	failure error
	// told says that the log knows of networks that are somewhere else.
	told bool
}

// New makes a Firewall without rules.
func New(config Config) *Firewall {
	if config.Resolvers == nil {
		config.Resolvers = hostResolvers
	}
	return &Firewall{config: config, failure: errors.New("they have not been made yet")}
}

// Bridge is the name for the host's interface of a sandbox's network. The rules
// know it by its beginning, so that they are there before it is.
func (f *Firewall) Bridge(sandbox string) string {
	return prefix(f.config.Instance) + code(sandbox, 8)
}

// Apply makes the rules, in one step in place of what was there before. earlier are
// bridges of sandboxes that may have other names than Bridge gives.
func (f *Firewall) Apply(earlier []string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.earlier = slices.DeleteFunc(slices.Sorted(slices.Values(earlier)), func(name string) bool {
		return strings.HasPrefix(name, prefix(f.config.Instance))
	})
	return f.apply()
}

func (f *Firewall) apply() error {
	rules := ruleset(f.config, f.earlier, f.config.Resolvers())
	f.failure = replace(Table(f.config.Instance), rules)
	f.applied = nil
	if f.failure == nil {
		f.applied = fingerprint(rules)
	}
	return f.failure
}

// keepPeriod is how often the rules are looked at: another program may have
// removed all rules of the host, and its resolvers may be others now.
const keepPeriod = 5 * time.Second

// Run keeps the rules as they should be until ctx ends. They stay then.
func (f *Firewall) Run(ctx context.Context) {
	tries := retry.New(keepPeriod, time.Minute)
	tick := time.NewTicker(keepPeriod)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		again, err := f.keep()
		switch {
		case err != nil:
			if tries.Failed(ctx, "pods are not kept from this host, trying again: "+Advice, err) != nil {
				return
			}
		case again != "":
			log.G(ctx).WithField("table", Table(f.config.Instance)).Warn("the rules for pods' networks were made again: " + again)
		}
		if err == nil {
			tries.Succeeded(ctx, "pods are kept from this host again")
		}
	}
}

// keep makes the rules again where they are not what they should be, and says why.
func (f *Firewall) keep() (why string, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.failure != nil {
		return "", f.apply()
	}
	wanted := fingerprint(ruleset(f.config, f.earlier, f.config.Resolvers()))
	if !slices.Equal(wanted, f.applied) {
		return "the host's resolvers have changed", f.apply()
	}
	there, err := present(Table(f.config.Instance))
	if err == nil && !slices.Equal(there, f.applied) {
		return "they had been removed or changed", f.apply()
	}
	return "", err
}

// Advice says what an administrator can do where the rules cannot be made.
const Advice = "run docker-sd in the network namespace of the Docker engine with the capability NET_ADMIN on a kernel with nf_tables, or make rules of your own, see docs/security.md"

// Guarded is nil where the rules cover a sandbox's network, which has been made, or
// need not. What is not covered is told in the log, once.
func (f *Firewall) Guarded(ctx context.Context, bridge string) error {
	f.mu.Lock()
	err, told := f.failure, f.told
	f.mu.Unlock()
	if err == nil {
		if Here(bridge) {
			return nil
		}
		err = fmt.Errorf("the network's interface %s is not in the network namespace of docker-sd", bridge)
	}
	err = fmt.Errorf("nothing keeps pods from this host: %w: %s", err, Advice)
	if f.config.Required {
		return err
	}
	if !told {
		log.G(ctx).WithError(err).Warn("sandboxes are used all the same, because PodFirewall is not required")
		f.mu.Lock()
		f.told = true
		f.mu.Unlock()
	}
	return nil
}

// Here says whether an interface is in the network namespace of this process.
func Here(name string) bool {
	_, err := net.InterfaceByName(name)
	return err == nil
}

// Try tells whether the rules could be made, and leaves nothing.
func Try(c Config) error {
	if c.Resolvers == nil {
		c.Resolvers = hostResolvers
	}
	return try(Table(c.Instance)+"-check", ruleset(c, nil, c.Resolvers()))
}
