package sandboxinit

import "golang.org/x/sys/unix"

// opened is a source by its descriptor, and by the name that it had.
type opened struct {
	fd   int
	mode uint32 // type and permissions, see inode(7)
	name string
}

func (o opened) close() { unix.Close(o.fd) }

func (o opened) isDir() bool { return o.mode&unix.S_IFMT == unix.S_IFDIR }
