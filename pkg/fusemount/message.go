package fusemount

import (
	"encoding/json"
	"errors"

	"golang.org/x/sys/unix"
)

// The operations.
const (
	opMount   = "mount"
	opUnmount = "unmount"
)

// request is the one message of a connection, with one descriptor: the mount point that
// is to be, or the folder in which Name is unmounted.
type request struct {
	Op      string `json:"op"`
	Options string `json:"options,omitempty"`
	Name    string `json:"name,omitempty"`
	Lazy    bool   `json:"lazy,omitempty"`
}

// answer has the descriptor of /dev/fuse where a mount succeeded.
type answer struct {
	Error string `json:"error,omitempty"`
}

// messageLimit bounds a message in bytes.
const messageLimit = 4 * optionsLimit

// none is no descriptor.
const none = -1

// send sends a message with a descriptor, or none.
func send(socket int, message any, fd int) error {
	body, err := json.Marshal(message)
	if err != nil {
		return err
	}
	var rights []byte
	if fd != none {
		rights = unix.UnixRights(fd)
	}
	return unix.Sendmsg(socket, body, rights, nil, unix.MSG_NOSIGNAL)
}

// receive receives a message, and the descriptor that came with it.
func receive(socket int, message any) (fd int, err error) {
	body, rights := make([]byte, messageLimit), make([]byte, unix.CmsgSpace(4))
	n, size, flags, err := recvmsg(socket, body, rights)
	if err != nil {
		return none, err
	}
	fd = none
	for i, got := range descriptors(rights[:size]) {
		if i == 0 {
			fd = got
		} else {
			unix.Close(got)
		}
	}
	switch {
	case n == 0:
		err = errors.New("the other side has left")
	case flags&(unix.MSG_TRUNC|unix.MSG_CTRUNC) != 0:
		err = errors.New("it is too long")
	default:
		err = json.Unmarshal(body[:n], message)
	}
	if err != nil && fd != none {
		unix.Close(fd)
		fd = none
	}
	return fd, err
}

func recvmsg(socket int, body, rights []byte) (n, size, flags int, err error) {
	for {
		n, size, flags, _, err = unix.Recvmsg(socket, body, rights, unix.MSG_CMSG_CLOEXEC)
		if !errors.Is(err, unix.EINTR) {
			return n, size, flags, err
		}
	}
}

// descriptors are those of a control message.
func descriptors(control []byte) []int {
	messages, err := unix.ParseSocketControlMessage(control)
	if err != nil {
		return nil
	}
	var out []int
	for i := range messages {
		if fds, err := unix.ParseUnixRights(&messages[i]); err == nil {
			out = append(out, fds...)
		}
	}
	return out
}
