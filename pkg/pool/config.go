package pool

import (
	"time"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/sandbox"
)

// Config of a pool, and of the sandboxes in it.
type Config struct {
	sandbox.Config
	// Size is how many sandboxes wait ready (AVAILABLEDINDS).
	Size int
	// Most is the largest number that wait ready when pods come in bursts; up to Size it
	// changes nothing.
	Most int
	// Room says whether the host has room for more sandboxes than Size; nil means always.
	Room func() bool
	// Standby is how many more are made but not started, for bursts.
	Standby int
	// Holders is how many networks are made ahead, for boots without a standby.
	Holders int
	// Parallel bounds how many boot at the same time.
	Parallel int
	// StrayGrace is the age from which a sandbox without an owner is removed.
	StrayGrace time.Duration
	// StrayDryRun has strays named in the log and left alone.
	StrayDryRun bool
	// Observer is told what becomes of sandboxes; nil means that nothing is.
	Observer Observer
}
