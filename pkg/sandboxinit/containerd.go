package sandboxinit

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/initapi"
)

// The folders of containerd in a sandbox.
const (
	containerdRun   = "/run/docker-sd/containerd"
	containerdState = "/run/docker/containerd/daemon"
)

func containerdSocket(run string) string { return filepath.Join(run, "containerd.sock") }

// unusedPlugins are those that an engine with overlay2 never asks. Each costs time and
// memory at every boot. A containerd passes over names that it does not know.
var unusedPlugins = []string{
	"io.containerd.grpc.v1.cri", "io.containerd.cri.v1.images", "io.containerd.cri.v1.runtime",
	"io.containerd.podsandbox.controller.v1.podsandbox",
	"io.containerd.nri.v1.nri", "io.containerd.internal.v1.opt", "io.containerd.internal.v1.restart", "io.containerd.internal.v1.tracing",
	"io.containerd.tracing.processor.v1.otlp",
	"io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.blockfile", "io.containerd.snapshotter.v1.btrfs",
	"io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.erofs", "io.containerd.snapshotter.v1.native", "io.containerd.snapshotter.v1.zfs",
}

// containerdCommand starts a containerd of our own, beside the engine rather than by
// it, so that the two get ready at the same time. It is nil where the image has none.
// Its socket is below run, what it keeps until the next boot in state.
func containerdCommand(run, state string) []string {
	if _, err := lookPath("containerd"); err != nil {
		return nil
	}
	config := filepath.Join(run, "config.toml")
	if err := os.MkdirAll(run, 0o700); err != nil {
		return nil
	}
	if err := os.WriteFile(config, []byte(containerdConfig(run, state)), 0o600); err != nil {
		return nil
	}
	return []string{"containerd", "--config", config}
}

func containerdConfig(run, state string) string {
	return fmt.Sprintf("version = 2\nroot = %q\nstate = %q\ndisabled_plugins = [\"%s\"]\n[grpc]\naddress = %q\n[debug]\nlevel = \"warn\"\n",
		initapi.DataPath+"/containerd/daemon", state, strings.Join(unusedPlugins, `", "`), containerdSocket(run))
}
