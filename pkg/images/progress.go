package images

import (
	"fmt"

	"github.com/docker/go-units"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/engine"
)

// describe says how far a pull is.
func describe(ref string, now engine.PullProgress) string {
	switch {
	case now.Unpacking:
		return fmt.Sprintf("pulling image %s: unpacking %s", ref, size(now.Total))
	case now.Total == 0:
		return "pulling image " + ref
	case now.Unsized > 0:
		return fmt.Sprintf("pulling image %s: %s of %s or more", ref, size(now.Done), size(now.Total))
	}
	return fmt.Sprintf("pulling image %s: %s of %s", ref, size(now.Done), size(now.Total))
}

// size in bytes as people read it, in powers of 1000.
func size(bytes int64) string {
	return units.CustomSize("%.4g %s", float64(bytes), 1000, []string{"B", "kB", "MB", "GB", "TB", "PB"})
}
