package config

import (
	"path/filepath"
	"runtime"
)

// SandboxImageName returns the image that sandboxes boot from.
func (c Config) SandboxImageName() string {
	switch {
	case c.SandboxImage != "":
		return c.SandboxImage
	case c.GPUEnabled:
		return DefaultGPUSandboxImage
	default:
		return DefaultSandboxImage
	}
}

// AppArmorProfile returns the profile that sandboxes are to have, "" for the choice of
// docker-sd.
func (c Config) AppArmorProfile() string {
	if c.SandboxAppArmorProfile == AppArmorAuto {
		return ""
	}
	return c.SandboxAppArmorProfile
}

// Standbys returns how many sandboxes stand by, 0 or more: unless it is set, four
// for each that is kept warm, but not more than there may be pods.
func (c Config) Standbys() int {
	if c.StandbySandboxes >= 0 {
		return c.StandbySandboxes
	}
	return max(min(4*c.AvailableDinds, c.MaxPods-c.AvailableDinds), 0)
}

// Holders returns how many networks are made ahead, 0 or more: unless it is set, one
// for each sandbox that is kept warm, but not more than boot at once.
func (c Config) Holders() int {
	if c.NetworkHolders >= 0 {
		return c.NetworkHolders
	}
	return min(c.AvailableDinds, c.BootParallel())
}

// BootParallel returns how many sandboxes may boot at once, 1 or more. A boot
// waits a good part of its time: two of them for a core took 10% less than one
// for all 50 pods of a burst to run.
func (c Config) BootParallel() int {
	if c.SandboxBootParallel > 0 {
		return c.SandboxBootParallel
	}
	return 2 * runtime.NumCPU()
}

// WithFlags returns c with the command line flags -verbose and -errorsonly
// applied. A given flag wins over the file; the 2024 plugin did the opposite
// (protocol 7.1). With both given, verbose wins.
func (c Config) WithFlags(verbose, errorsOnly bool) Config {
	if verbose || errorsOnly {
		c.VerboseLogging = verbose
		c.ErrorsOnlyLogging = !verbose
	}
	return c
}

// LogLevel returns "debug", "error" or "info". VerboseLogging wins over
// ErrorsOnlyLogging, as in all earlier versions.
func (c Config) LogLevel() string {
	switch {
	case c.VerboseLogging:
		return "debug"
	case c.ErrorsOnlyLogging:
		return "error"
	default:
		return "info"
	}
}

// absolute cleans path and resolves it against the working directory. Without
// a working directory the path stays relative, which Validate reports.
func absolute(path string) string {
	if abs, err := filepath.Abs(path); err == nil {
		return abs
	}
	return filepath.Clean(path)
}
