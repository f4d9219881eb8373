package inject

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/gpu"
)

// MPS is where the MPS control daemon that the administrator runs keeps
// its pipes and its shared memory.
type MPS struct {
	// PipeDir is the daemon's CUDA_MPS_PIPE_DIRECTORY.
	PipeDir string
	// ShmDir is the /dev/shm of the daemon.
	ShmDir string
}

// inject gives a container its way to the daemon and the limits of one replica.
// Limits are per device, numbered as CUDA numbers those that the container sees.
func (m MPS) inject(devices []gpu.Device, replicas int) Edits {
	limits := make([]string, 0, len(devices))
	for i, d := range devices {
		if mib := d.MemoryBytes / uint64(replicas) >> 20; mib > 0 {
			limits = append(limits, fmt.Sprintf("%d=%dM", i, mib))
		}
	}
	in := Edits{
		Env: []string{
			"CUDA_MPS_PIPE_DIRECTORY=" + m.PipeDir,
			"CUDA_MPS_ACTIVE_THREAD_PERCENTAGE=" + strconv.Itoa(100/replicas),
		},
		Mounts: []Mount{
			{Source: m.PipeDir, Target: m.PipeDir},
			{Source: m.ShmDir, Target: "/dev/shm"},
		},
	}
	if len(limits) > 0 {
		in.Env = append(in.Env, "CUDA_MPS_PINNED_DEVICE_MEM_LIMIT="+strings.Join(limits, ","))
	}
	return in
}
