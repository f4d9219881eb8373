package preflight

import "strings"

// Checks are the names of all checks. Each has a row in docs/operations.md.
func Checks() []string {
	return []string{
		"access", "accounting", "admin address", "annotations", "apparmor", "apparmor profiles", "cgroups", "claims",
		"class image", "cluster network", "configuration", "data disk", "data folder", "disk watch", "docker-sd", "engine",
		"engine disk", "engine socket", "fair shares", "firewall", "fuse", "gpu access", "gpu driver", "gpu sharing", "host names",
		"host path", "host paths", "images", "inotify", "inotify watches", "instance", "interlink api", "interlink api access",
		"interlink calls", "interlink certificate", "interlink socket", "kernel", "keyring bytes", "keyrings", "listen address", "live-restore", "mounts", "MTU",
		"networks", "nfs", "open files", "process ids", "runtimes", "sandbox boot", "sandbox image", "seccomp profiles",
		"socket group", "threads", "user",
	}
}

// ID of a check by its name, for scripts and links. It never changes.
func ID(name string) string { return strings.ReplaceAll(strings.ToLower(name), " ", "-") }

// Docs is where a check is explained, by its name.
func Docs(name string) string { return "docs/operations.md#check-" + ID(name) }
