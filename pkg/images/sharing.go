package images

import (
	"fmt"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/engine"
)

// Mode says how sandboxes get at the host's images: the configuration key ImageSharing.
type Mode string

// The modes in which sandboxes share nothing. In every other one they share what the
// host's engine allows.
const (
	ModeCopy Mode = "copy"
	ModePull Mode = "pull"
)

// Sharing is where the image layers are that sandboxes share, read-only.
type Sharing struct {
	// Root is the data root of the host's engine, or a folder in that form, "" if its layers
	// are not shared.
	Root string
	// Layers is the folder that has the layers, if Root only leads to them.
	Layers string
	// Library says that they share docker-sd's own store, to which an image of the
	// host is imported once.
	Library bool
	// Snapshots says that the layers are in the containerd of the host's engine. They can be
	// shared if that can be reached, which Layers does not try.
	Snapshots bool
	// Why is a sentence on the choice.
	Why string
}

// Layers chooses the layers that sandboxes share on a host. Only the overlay2 layout can be
// shared.
func Layers(mode Mode, host engine.Info) Sharing {
	overlay := host.StorageDriver == "overlay2" && host.RootDir != ""
	switch {
	case mode == ModeCopy:
		return Sharing{Why: "images are copied into sandboxes, as ImageSharing says"}
	case mode == ModePull:
		return Sharing{Why: "every sandbox pulls its images itself, as ImageSharing says"}
	case overlay:
		return Sharing{Root: host.RootDir, Why: "the host's image layers are shared with sandboxes, read-only"}
	}
	return Sharing{Library: true, Snapshots: host.ContainerdImages, Why: fmt.Sprintf("images are imported once and shared with sandboxes from there, read-only: "+
		"layers of the host's storage driver %q cannot be shared", host.StorageDriver)}
}
