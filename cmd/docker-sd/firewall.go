package main

import (
	"context"
	"time"

	"github.com/containerd/containerd/log"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/config"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/engine"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/firewall"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/retry"
)

// firewallConfig is what the configuration says of the networks of pods.
func firewallConfig(s config.Config) firewall.Config {
	ports, all, _ := s.HostPorts() // checked when it was loaded
	out := firewall.Config{Instance: s.Instance, AnyHost: all, Metadata: s.PodsMayReachMetadata,
		Required: s.PodFirewall == config.PodFirewallRequired}
	for _, port := range ports {
		out.Host = append(out.Host, firewall.Endpoint(port))
	}
	return out
}

// raiseFirewall makes the rules for the networks of pods, before there is a pod; it
// is nil where they are not wanted. Pods of earlier runs have networks already.
func (d *daemon) raiseFirewall(ctx context.Context) (*firewall.Firewall, error) {
	if d.settings.PodFirewall == config.PodFirewallDisabled {
		if err := firewall.Remove(d.settings.Instance); err != nil {
			log.G(ctx).WithError(err).Debug("rules of an earlier run could not be looked for")
		}
		log.G(ctx).Warn("nothing keeps pods from this host's ports and from metadata services, because PodFirewall is disabled: make rules of your own, see docs/security.md")
		return nil, nil
	}
	wall := firewall.New(firewallConfig(d.settings))
	tries := retry.New(time.Second, 10*time.Second)
	networks, err := d.sandboxBridges(ctx)
	for err != nil {
		if tries.Failed(ctx, "the engine could not be asked for the networks of earlier sandboxes, trying again", err) != nil {
			return nil, err
		}
		networks, err = d.sandboxBridges(ctx)
	}
	if err := wall.Apply(networks); err != nil {
		log.G(ctx).WithError(err).Error("nothing keeps pods from this host's ports and from metadata services: " + firewall.Advice)
	} else {
		log.G(ctx).WithField("table", firewall.Table(d.settings.Instance)).WithField("host", d.settings.PodsMayReachHost).
			WithField("metadata", d.settings.PodsMayReachMetadata).Info("pods are kept from this host's ports, except these, and from metadata services")
	}
	return wall, nil
}

// sandboxBridges are the host's interfaces of all networks of this docker-sd's.
func (d *daemon) sandboxBridges(ctx context.Context) ([]string, error) {
	networks, err := d.host.ListNetworks(ctx, engine.LabelInstance+"="+d.settings.Instance)
	var out []string
	for _, network := range networks {
		if network.Bridge != "" {
			out = append(out, network.Bridge)
		}
	}
	return out, err
}

// leaveFirewall removes the rules if no sandbox is left that they could be for.
func (d *daemon) leaveFirewall(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	if left, err := d.sandboxBridges(ctx); err != nil || len(left) > 0 {
		return
	}
	if err := firewall.Remove(d.settings.Instance); err != nil {
		log.G(ctx).WithError(err).Debug("the rules for pods' networks stay")
	}
}
