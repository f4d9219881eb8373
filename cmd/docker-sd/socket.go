package main

import (
	"errors"
	"fmt"
	"net"
	"os"

	"github.com/containerd/errdefs"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/config"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/machine"
	"golang.org/x/sys/unix"
)

// shareSocket gives a socket for interLink the group and the rights of the configuration.
// Until then it is for its owner alone. Other addresses are left as they are.
func shareSocket(share config.SocketShare, address net.Addr) error {
	if address.Network() != "unix" {
		return nil
	}
	path := address.String()
	// The folder may belong to a user, who could put a link in the socket's place.
	fd, err := unix.Open(path, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open the socket %s: %w", path, err)
	}
	defer unix.Close(fd)
	var found unix.Stat_t
	if err := unix.Fstat(fd, &found); err != nil || found.Mode&unix.S_IFMT != unix.S_IFSOCK {
		return fmt.Errorf("%s is no socket any more: %w", path, errors.Join(err, errdefs.ErrFailedPrecondition))
	}
	if name := share.Group; name != "" {
		gid, err := machine.GroupID(name)
		if err != nil {
			return err
		}
		if err := unix.Fchownat(fd, "", -1, gid, unix.AT_EMPTY_PATH); err != nil {
			return fmt.Errorf("give the socket to SocketGroup %s: %w; run docker-sd as root, or as a user of this group", name, err)
		}
	}
	if err := os.Chmod(fmt.Sprintf("/proc/self/fd/%d", fd), share.Rights()); err != nil {
		return fmt.Errorf("set the rights of the socket: %w", err)
	}
	return nil
}
