package access

import (
	"fmt"
	"net"
	"os"
	"syscall"

	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"
)

// Owner is nil for a connection over a unix socket from a process of the user that this
// process runs as, or of root. Other ones are ErrPermissionDenied, whatever the rights of
// the socket are.
func Owner(c net.Conn) error {
	local, ok := c.(*net.UnixConn)
	if !ok {
		return fmt.Errorf("this is for the owner of docker-sd alone, over its admin socket: %w", errdefs.ErrPermissionDenied)
	}
	uid, err := peerOf(local)
	if err != nil {
		return fmt.Errorf("ask the kernel who calls: %w: %w", err, errdefs.ErrPermissionDenied)
	}
	if own := os.Geteuid(); uid != 0 && int64(uid) != int64(own) {
		return fmt.Errorf("this is for user %d, who runs docker-sd, and for root, and not for user %d: %w", own, uid, errdefs.ErrPermissionDenied)
	}
	return nil
}

// peerOf is the user of the process that made the connection.
func peerOf(c syscall.Conn) (uid uint32, err error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return 0, err
	}
	var who *unix.Ucred
	var asked error
	err = raw.Control(func(fd uintptr) { who, asked = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED) })
	if err == nil {
		err = asked
	}
	if err != nil {
		return 0, err
	}
	return who.Uid, nil
}
