package preflight

import (
	"fmt"
	"strings"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/accelerators"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/gpu"
)

// GPUs judges what NVIDIA's driver shows. err is of who asked it.
func GPUs(inventory gpu.Inventory, err error) Line {
	const name = "gpu driver"
	if err != nil {
		return fail(name, "install NVIDIA's driver and see that nvidia-smi works, set GPULibraryPath, or set GPUENABLED=0", "GPUs are wanted (GPUENABLED), but the driver does not answer: %v", err)
	}
	var driver string
	for _, d := range inventory.Drivers {
		driver += fmt.Sprintf("%s driver %s, CUDA %s: ", d.Vendor, d.Version, d.CUDA)
	}
	counts := map[string]int{}
	var names []string
	for _, d := range inventory.Devices {
		if counts[d.Name]++; counts[d.Name] == 1 {
			names = append(names, d.Name)
		}
	}
	for i, n := range names {
		names[i] = fmt.Sprintf("%d x %s", counts[n], n)
	}
	switch {
	case len(inventory.Devices) == 0:
		return fail(name, "see that nvidia-smi lists GPUs, or set GPUENABLED=0", "%sGPUs are wanted (GPUENABLED), but there are none", driver)
	case len(inventory.Skipped) > 0:
		return warn(name, "see docs/gpu.md", "%s%s; left out: %s", driver, strings.Join(names, ", "), strings.Join(inventory.Skipped, "; "))
	}
	return ok(name, "%s%s", driver, strings.Join(names, ", "))
}

// Ways judges the ways that the configuration allows, in the order of preference.
func Ways(ways []accelerators.Way) Line {
	const name = "gpu access"
	var good, bad []string
	for _, w := range ways {
		if w.Err == nil {
			good = append(good, w.Strategy)
		} else {
			bad = append(bad, w.Strategy+": "+strings.ReplaceAll(w.Err.Error(), "\n", "; "))
		}
	}
	if len(good) == 0 {
		return fail(name, "make a CDI specification with: nvidia-ctk cdi generate --output=/etc/cdi/nvidia.yaml; see docs/gpu.md", "GPUs cannot get into containers: %s", strings.Join(bad, "; "))
	}
	found := "containers get GPUs by " + good[0]
	if len(good) > 1 {
		found += "; " + strings.Join(good[1:], " and ") + " would work too"
	}
	return ok(name, "%s", found)
}
