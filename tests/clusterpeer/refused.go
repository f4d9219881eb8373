package clusterpeer

import (
	"errors"

	"golang.org/x/sys/unix"
)

// isRefused knows the answer to a datagram for which nothing listens.
func isRefused(err error) bool { return errors.Is(err, unix.ECONNREFUSED) }
