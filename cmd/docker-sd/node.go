package main

import (
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/config"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/engine"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/gpu"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/interlink"
)

// node is what the cluster is told of this host (protocol 2.4).
type node struct {
	settings config.Config
	ledger   *gpu.Ledger

	mu   sync.Mutex
	info engine.Info
}

func newNode(settings config.Config, ledger *gpu.Ledger) *node {
	return &node{settings: settings, ledger: ledger}
}

func (n *node) setEngine(info engine.Info) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.info = info
}

// ping gives totals. What is not known is left out: a zero would drain the node.
func (n *node) ping() interlink.Ping {
	n.mu.Lock()
	info := n.info
	n.mu.Unlock()
	r := &interlink.Resources{CPU: n.settings.Capacity.CPU, Memory: n.settings.Capacity.Memory,
		Pods: strconv.Itoa(n.settings.MaxPods)}
	if r.CPU == "" && info.CPUs > 0 {
		r.CPU = strconv.Itoa(info.CPUs)
	}
	if r.Memory == "" && info.MemoryBytes > 0 {
		r.Memory = resource.NewQuantity(info.MemoryBytes, resource.BinarySI).String()
	}
	for name, total := range n.ledger.Totals() {
		r.Accelerators = append(r.Accelerators, interlink.Accelerator{ResourceType: name, Available: strconv.FormatInt(total, 10)})
	}
	slices.SortFunc(r.Accelerators, func(a, b interlink.Accelerator) int { return strings.Compare(a.ResourceType, b.ResourceType) })
	out := interlink.Ping{Status: "ok", Resources: r}
	if wanted := withDrain(drainFile(n.settings.DataRootFolder), n.settings.PingTaints, time.Now()); wanted != nil {
		taints := make([]interlink.Taint, 0, len(wanted))
		for _, t := range wanted {
			taints = append(taints, interlink.Taint{Key: t.Key, Value: t.Value, Effect: t.Effect})
		}
		out.Taints = &taints
	}
	return out
}
