package images

import (
	"fmt"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/engine"
)

// Mode says how sandboxes get at the host's images.
type Mode string

// The modes of the configuration key ImageSharing.
const (
	ModeAuto   Mode = "auto"
	ModeShared Mode = "shared"
	ModeCopy   Mode = "copy"
	ModePull   Mode = "pull"
)

// Store returns the folder of the host engine whose image layers sandboxes can
// share read-only, "" if there is none, and a sentence on the choice. Only the
// overlay2 layout can be shared.
func Store(mode Mode, host engine.Info) (root, why string) {
	overlay := host.StorageDriver == "overlay2" && host.RootDir != ""
	switch {
	case mode == ModeCopy:
		return "", "images are copied into sandboxes, as ImageSharing says"
	case mode == ModePull:
		return "", "every sandbox pulls its images itself, as ImageSharing says"
	case overlay:
		return host.RootDir, "image layers are shared with sandboxes, read-only"
	}
	return "", fmt.Sprintf("images are copied into sandboxes: layers of the storage driver %q cannot be shared", host.StorageDriver)
}
