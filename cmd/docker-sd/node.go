package main

import (
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
	v1 "k8s.io/api/core/v1"
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
	// pages are the huge pages for pods, pagesTrouble why there are none that could be used.
	pages        map[v1.ResourceName]int64
	pagesTrouble string
}

func newNode(settings config.Config, ledger *gpu.Ledger) *node {
	return &node{settings: settings, ledger: ledger}
}

func (n *node) setEngine(info engine.Info) {
	pages, trouble := hugePages(os.DirFS("/"), info.CgroupVersion)
	n.mu.Lock()
	defer n.mu.Unlock()
	n.info, n.pages, n.pagesTrouble = info, pages, trouble
}

// hugePages of this host, in bytes by resource, as they were when its engine was asked.
func (n *node) hugePages() (pages map[v1.ResourceName]int64, trouble string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.pages, n.pagesTrouble
}

// capacity is the operator's, or the machine's; "" is not known.
func (n *node) capacity() (cpu, memory string) {
	n.mu.Lock()
	info := n.info
	n.mu.Unlock()
	cpu, memory = n.settings.Capacity.CPU, n.settings.Capacity.Memory
	if cpu == "" && info.CPUs > 0 {
		cpu = strconv.Itoa(info.CPUs)
	}
	if memory == "" && info.MemoryBytes > 0 {
		memory = resource.NewQuantity(info.MemoryBytes, resource.BinarySI).String()
	}
	return cpu, memory
}

// allocatable is what the downward API shows for a limit that a pod does not set: the
// capacity that ping reports, and the size of the disk that the engine writes to.
func (n *node) allocatable() v1.ResourceList {
	out := v1.ResourceList{}
	cpu, memory := n.capacity()
	for name, text := range map[v1.ResourceName]string{v1.ResourceCPU: cpu, v1.ResourceMemory: memory} {
		if amount, err := resource.ParseQuantity(text); err == nil {
			out[name] = amount
		}
	}
	n.mu.Lock()
	root := n.info.RootDir
	n.mu.Unlock()
	var disk unix.Statfs_t
	if err := unix.Statfs(root, &disk); err == nil {
		out[v1.ResourceEphemeralStorage] = *resource.NewQuantity(int64(disk.Blocks)*disk.Bsize, resource.BinarySI)
	}
	return out
}

// ping gives totals. What is not known is left out: a zero would drain the node, which
// is how a drain is told to a virtual kubelet that sets no taints.
func (n *node) ping() interlink.Ping {
	cpu, memory := n.capacity()
	r := &interlink.Resources{CPU: cpu, Memory: memory, Pods: strconv.Itoa(n.settings.MaxPods)}
	if drained(drainFile(n.settings.DataRootFolder)) {
		r.Pods = "0"
	}
	for name, total := range n.ledger.Totals() {
		r.Accelerators = append(r.Accelerators, interlink.Accelerator{ResourceType: name, Available: strconv.FormatInt(total, 10)})
	}
	pages, _ := n.hugePages()
	for name, total := range pages {
		r.Accelerators = append(r.Accelerators, interlink.Accelerator{ResourceType: string(name), Available: strconv.FormatInt(total, 10)})
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
