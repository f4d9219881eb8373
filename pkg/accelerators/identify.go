package accelerators

import (
	"context"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	"github.com/containerd/containerd/log"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/engine"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/gpu"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/gpu/inject"
)

// containerID is how engines name a container's control group, with either
// driver and either version of control groups.
var containerID = regexp.MustCompile(`[0-9a-f]{64}`)

// mpsServer is what the kernel keeps of the name nvidia-cuda-mps-server.
const mpsServer = "nvidia-cuda-mps"

// identify tells which pod a process of the host belongs to: its control group
// is below that of the pod's sandbox. Before the pods of an earlier run are known
// nobody is taken for a stranger.
func (a *Accelerators) identify(_ context.Context, pid int) (owner string, ours bool) {
	ownerOf := a.owner.Load()
	if ownerOf == nil {
		return "", true
	}
	dir := filepath.Join(a.proc, strconv.Itoa(pid))
	groups, err := os.ReadFile(filepath.Join(dir, "cgroup"))
	if err != nil {
		return "", false
	}
	for _, id := range containerID.FindAllString(string(groups), -1) {
		if uid, found := (*ownerOf)(id); found {
			return string(uid), true
		}
	}
	if a.injector.Sharing.Strategy != gpu.SharingMPS {
		return "", false
	}
	name, err := os.ReadFile(filepath.Join(dir, "comm"))
	return "", err == nil && strings.TrimSpace(string(name)) == mpsServer
}

// sourceContainers is the source of foreign uses that containers show.
const sourceContainers = "containers"

// foreignContainers reports the devices that other containers of the host's
// engine were given by name; they may be idle now and busy in a second.
func (a *Accelerators) foreignContainers(ctx context.Context, devices []gpu.Device) {
	if len(nvidiaOf(devices)) == 0 {
		return
	}
	list, err := a.host.List(ctx)
	if err != nil {
		if !a.listFail && ctx.Err() == nil {
			log.G(ctx).WithError(err).Warn("cannot look which other containers use GPUs; what was known before stays")
		}
		a.listFail = true
		return
	}
	a.listFail = false
	var uses []gpu.Use
	visible := map[string]string{}
	for _, c := range list {
		if _, sandbox := c.Labels[engine.LabelSandbox]; sandbox || c.State.Status != engine.StatusRunning {
			continue
		}
		value, known := a.visible[c.ID]
		if !known {
			seen, err := a.host.Inspect(ctx, c.ID)
			if err != nil {
				continue // gone meanwhile, or seen in the next pass
			}
			value = visibleTo(seen)
		}
		visible[c.ID] = value
		for _, uuid := range inject.VisibleDevices(value, devices) {
			uses = append(uses, gpu.Use{UUID: uuid, By: "container " + c.Name})
		}
	}
	a.visible = maps.Clone(visible)
	a.ledger.SetForeign(sourceContainers, uses)
}

// visibleTo lists the GPUs that a container was given, as NVIDIA's runtime reads it.
func visibleTo(c engine.Container) string {
	var items []string
	for _, variable := range c.Env {
		if value, found := strings.CutPrefix(variable, "NVIDIA_VISIBLE_DEVICES="); found {
			items = append(items, value)
		}
	}
	for _, id := range c.DeviceIDs {
		items = append(items, strings.TrimPrefix(id, "nvidia.com/gpu="))
	}
	return strings.Join(items, ",")
}
