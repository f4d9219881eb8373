package pods_test

import (
	"testing"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/initapi"
)

// TestContainersAreKilledAsAWhole where the kernel can, each of them once it runs.
func TestContainersAreKilledAsAWhole(t *testing.T) {
	for name, group := range map[string]bool{"can": true, "cannot": false} {
		t.Run(name, func(t *testing.T) {
			n := newNode(t, func(n *node) { n.rules.GroupOOM = group })
			p := newPod()
			n.create(p)
			n.awaitRunning(p, "main")
			got := n.sandbox(p).Init.Requests(initapi.OpGroupOOM)
			if group && (len(got) != 1 || len(got[0].Container) < 12) || !group && len(got) > 0 {
				t.Errorf("the init was asked for %+v", got)
			}
			n.delete(p, nil)
		})
	}
}
