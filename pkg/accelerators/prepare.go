package accelerators

import (
	"context"
	"maps"
	"strings"

	"github.com/containerd/containerd/log"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/gpu"
)

// prepare has sandboxes equipped with the devices, and cordons those that
// could not get into a container. The ledger is told of the devices after it.
func (a *Accelerators) prepare(ctx context.Context, devices []gpu.Device) {
	a.settle(ctx, devices)
	a.foreignContainers(ctx, devices)
	usable, unusable := a.sort(devices)
	for uuid, reason := range unusable {
		if a.cordoned[uuid] != reason {
			log.G(ctx).WithField("gpu", uuid).Warnf("an accelerator is not offered: %s", reason)
		}
		a.ledger.Cordon([]string{uuid}, reason)
	}
	for uuid := range a.cordoned {
		if unusable[uuid] == "" {
			a.ledger.Uncordon([]string{uuid})
		}
	}
	a.cordoned = maps.Clone(unusable)
	a.equip(ctx, usable)
}

// sort tells devices that a sandbox can be given from the others, with the reason.
func (a *Accelerators) sort(devices []gpu.Device) (usable []gpu.Device, unusable map[string]string) {
	unusable = map[string]string{}
	if a.works(a.injector, devices) == nil {
		return devices, unusable
	}
	for _, d := range devices {
		if d.Resource == "" {
			continue // a partitioned GPU: what counts are its instances
		}
		if err := a.works(a.injector, []gpu.Device{d}); err != nil {
			unusable[d.UUID] = oneLine(err)
			continue
		}
		usable = append(usable, d)
	}
	return usable, unusable
}

// oneLine is an error without line breaks, for a reason that administrators read in a table.
func oneLine(err error) string { return strings.ReplaceAll(err.Error(), "\n", "; ") }
