package machine

import "github.com/prometheus/procfs"

// leastMemory is the part of the host's memory that stays available: 1/leastMemory.
const leastMemory = 10

// HasMemory says whether a tenth of the host's memory or more is available. It is where
// the kernel does not tell: nothing is known against it.
func HasMemory() bool { return hasMemory(procfs.DefaultMountPoint) }

func hasMemory(proc string) bool {
	fs, err := procfs.NewFS(proc)
	if err != nil {
		return true
	}
	info, err := fs.Meminfo()
	if err != nil || info.MemTotalBytes == nil || info.MemAvailableBytes == nil {
		return true
	}
	return *info.MemAvailableBytes >= *info.MemTotalBytes/leastMemory
}
