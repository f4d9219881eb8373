// Package tests holds what is true of the repository as a whole.
package tests

import (
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/intertwin-eu/interlink-docker-plugin/pkg/"

// arrows are the packages that each package may import, beside other modules.
var arrows = map[string][]string{
	"accelerators":       {"cdi", "engine", "gpu", "gpu/inject", "gpu/monitor", "gpu/nvml", "gpu/sysfs", "sandbox"},
	"access":             {},
	"admin":              {"access", "connections", "gpu", "podstatus", "relay", "remotecommand", "usage"},
	"api":                {"access", "connections", "interlink", "podlogs", "podstatus", "volumes"},
	"cdi":                {},
	"cgroup":             {},
	"cli":                {"access", "admin", "config", "gpu", "interlink", "podfiles", "podstatus", "relay", "remotecommand", "site", "usage"},
	"clusternet":         {"initapi"},
	"config":             {},
	"connections":        {"retry"},
	"containers":         {"engine", "fault", "images", "initapi", "keyring", "podspec", "podstatus", "probes", "retry", "sandbox", "volumes"},
	"doctor":             {"accelerators", "access", "admin", "cgroup", "cli", "config", "engine", "eviction", "firewall", "gpu", "gpu/nvml", "hostnet", "images", "initapi", "initbinary", "machine", "pool", "preflight", "sandbox", "snapshots"},
	"durable":            {},
	"engine":             {},
	"eviction":           {},
	"fault":              {},
	"firewall":           {"retry"},
	"fusemount":          {},
	"gpu":                {},
	"gpu/inject":         {"cdi", "engine", "gpu"},
	"gpu/monitor":        {"gpu", "retry"},
	"gpu/nvml":           {"gpu", "gpu/monitor", "gpu/sysfs", "retry"},
	"gpu/sysfs":          {"gpu", "gpu/monitor"},
	"hostfiles":          {},
	"hostnet":            {"engine", "retry"},
	"images":             {"engine", "fault", "keyring", "mirrors", "retry", "sandbox"},
	"initapi":            {"relay"},
	"inside":             {"admin", "engine", "podlogs", "pods", "podspec", "podstatus", "relay", "remotecommand"},
	"initbinary":         {},
	"interlink":          {},
	"keyring":            {"engine"},
	"joining":            {"clusternet", "fault", "initapi", "podspec", "podstatus", "retry"},
	"lifecycle":          {},
	"machine":            {"initapi"},
	"mirrors":            {},
	"metrics":            {"admin", "gpu", "images", "pods", "podstatus", "pool", "usage"},
	"podfiles":           {},
	"podlogs":            {"durable", "engine", "fault", "podspec", "podstatus", "retry", "tree"},
	"pods":               {"clusternet", "containers", "durable", "engine", "eviction", "fault", "images", "initapi", "joining", "lifecycle", "podlogs", "podspec", "podstatus", "pool", "records", "retry", "sandbox", "tree", "usage", "volumes", "volumes/persistent"},
	"podspec":            {"engine", "probes"},
	"podstatus":          {"podspec"},
	"pool":               {"engine", "fault", "retry", "sandbox"},
	"preflight":          {"accelerators", "engine", "gpu", "pool", "sandbox"},
	"probes":             {},
	"records":            {"clusternet", "durable", "fault", "lifecycle", "podspec", "sandbox", "volumes"},
	"relay":              {},
	"remotecommand":      {},
	"retry":              {},
	"sandbox":            {"engine", "fault", "initapi", "retry"},
	"sandboxinit":        {"fusemount", "initapi", "relay", "sandboxinit/amend", "sandboxinit/cgroups", "sandboxinit/mounts", "tree"},
	"site":               {},
	"snapshots":          {"engine", "fault", "images", "initapi", "sandbox"},
	"tracing":            {},
	"tree":               {},
	"tunnel":             {"initapi", "retry", "wstunnel"},
	"usage":              {"cgroup", "gpu", "initapi"},
	"volumes":            {"initapi", "podspec", "tree", "volumes/nfs", "volumes/persistent"},
	"volumes/nfs":        {"initapi"},
	"volumes/persistent": {"tree"},
	"writeback":          {"retry"},
	"wstunnel":           {"retry"},

	// Parts of the init.
	"sandboxinit/amend":   {"initapi"},
	"sandboxinit/cgroups": {"initapi"},
	"sandboxinit/mounts":  {"initapi"},

	// For tests only.
	"clusternet/clusternettest": {},
	"engine/enginetest":         {},
	"gpu/gputest":               {"gpu", "gpu/monitor"},
	"initapi/initapitest":       {"initapi"},
	"inittest":                  {},
	"sandbox/sandboxtest":       {"engine", "engine/enginetest", "initapi", "initapi/initapitest"},
}

// owners are modules that only one of our packages may import.
var owners = map[string]string{
	"github.com/containerd/containerd/api/": "snapshots",
	"github.com/docker/docker/":             "engine",
	"github.com/NVIDIA/go-nvml":             "gpu/nvml",
	"github.com/prometheus/client_golang/":  "metrics",
	"go.opentelemetry.io/":                  "tracing",
}

// pure packages decide and do nothing: they may not import what reads, writes or waits.
var (
	pure   = []string{"clusternet", "lifecycle", "podspec"}
	impure = []string{"bufio", "context", "io", "io/fs", "net", "net/http", "os", "os/exec", "path/filepath", "sync", "syscall", "time", "golang.org/x/sys/unix"}
)

func TestImportsPointOneWay(t *testing.T) {
	out, err := exec.Command("go", "list", "-f", `{{.ImportPath}} {{join .Imports " "}}`, "../pkg/...").CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %s", err, out)
	}
	for line := range strings.Lines(string(out)) {
		words := strings.Fields(line)
		name := strings.TrimPrefix(words[0], module)
		allowed, known := arrows[name]
		if !known {
			t.Errorf("package %s is in no row of the table above", name)
		}
		for _, imported := range words[1:] {
			if own, ours := strings.CutPrefix(imported, module); ours && !slices.Contains(allowed, own) {
				t.Errorf("%s imports %s", name, own)
			}
			if slices.Contains(pure, name) && slices.Contains(impure, imported) {
				t.Errorf("%s imports %s: it has to stay free of files, calls and state", name, imported)
			}
			for prefix, owner := range owners {
				if strings.HasPrefix(imported, prefix) && name != owner {
					t.Errorf("%s imports %s, which only %s may", name, imported, owner)
				}
			}
		}
	}
}
