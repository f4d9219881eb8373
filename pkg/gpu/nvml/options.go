package nvml

// Options say where to find what belongs to NVIDIA's driver.
type Options struct {
	// LibraryPath is a path of the library, or empty for libnvidia-ml.so.1 where
	// the dynamic linker finds it.
	LibraryPath string
	// SysfsRoot is where sysfs is mounted, or empty for /sys.
	SysfsRoot string
}

// library names the library for messages.
func (o Options) library() string {
	if o.LibraryPath == "" {
		return "libnvidia-ml.so.1"
	}
	return o.LibraryPath
}
