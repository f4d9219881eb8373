//go:build e2e

package e2e_test

import (
	"cmp"
	"fmt"
	"testing"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/hostnet"
)

// TestNetworkMTU: pods send packets as large as the uplink carries, or as is configured,
// from warm sandboxes and from those that are booted in a network made ahead.
func TestNetworkMTU(t *testing.T) {
	t.Parallel()
	for configured, want := range map[int]int{0: cmp.Or(hostnet.UplinkMTU(), 1500), 1380: 1380} {
		t.Run(fmt.Sprint(configured), func(t *testing.T) {
			t.Parallel()
			d := ownDaemon(t, 1, map[string]any{"NetworkMTU": configured, "NetworkHolders": 1})
			d.waitWarm(t, 1)
			look := shell("c", "cat /sys/class/net/eth0/mtu")
			for range 2 {
				if got := d.run(t, newPod(look)).output(); got != fmt.Sprintln(want) {
					t.Errorf("the MTU is %q, want %d", got, want)
				}
			}
		})
	}
}
