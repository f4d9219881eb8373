package main

import (
	"os"
	"path/filepath"
)

// hostHas says whether the host has a device of its kernel, such as /dev/fuse. A docker-sd in
// a container has few devices, but sees in sysfs which ones the kernel has. A host whose
// module is not loaded yet may have the file already, which loads it.
func hostHas(device string) bool {
	return isDevice(device) || knownToKernel("/sys", filepath.Base(device))
}

func isDevice(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// knownToKernel looks for a device among those that are of no class of their own.
func knownToKernel(sysfs, name string) bool {
	_, err := os.Stat(filepath.Join(sysfs, "class/misc", name, "dev"))
	return err == nil
}
