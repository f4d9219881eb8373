//go:build e2e

package e2e_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/intertwin-eu/interlink-docker-plugin/tests/kit"
	"github.com/intertwin-eu/interlink-docker-plugin/tests/kube/cases"
	"github.com/intertwin-eu/interlink-docker-plugin/tests/kube/random"
	"github.com/intertwin-eu/interlink-docker-plugin/tests/kube/runner"
)

// node is where cases of tests/kube run.
func (d *daemon) node(t *testing.T) *runner.Node {
	t.Helper()
	engine, err := kit.HostEngine()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(engine.Close)
	return &runner.Node{Caller: d.Caller, Engine: engine, Image: suite.images.busybox, Values: map[string]string{"HOSTPATH": d.hostPath()}}
}

// runCase runs one beside others.
func runCase(t *testing.T, node *runner.Node, c *cases.Case) {
	t.Run(c.Name, func(t *testing.T) {
		t.Parallel()
		ctx, cancel := context.WithTimeout(t.Context(), runLimit)
		defer cancel()
		if err := node.Run(ctx, c); err != nil {
			t.Error(err)
		}
	})
}

// TestKubeTable runs the table of cases.
func TestKubeTable(t *testing.T) {
	t.Parallel()
	all, err := cases.All()
	if err != nil {
		t.Fatal(err)
	}
	for i, group := range cases.BySettings(all) {
		t.Run(fmt.Sprintf("settings %d", i), func(t *testing.T) {
			t.Parallel()
			var d *daemon
			if len(group[0].Settings) == 0 {
				d = sharedDaemon(t)
			} else {
				d = ownDaemon(t, 1, group[0].Settings)
			}
			node := d.node(t)
			for i := range group {
				runCase(t, node, &group[i])
			}
		})
	}
}

// TestRandomPods runs some of the pods that go run ./tests/kube -random runs a thousand of.
func TestRandomPods(t *testing.T) {
	t.Parallel()
	const seed, pods = 1, 40
	node := sharedDaemon(t).node(t)
	for i := range pods {
		c := random.Case(seed, i)
		runCase(t, node, &c)
	}
}
