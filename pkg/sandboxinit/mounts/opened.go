// Package mounts opens what containers of a pod mount, and mounts it in the sandbox where the
// inner engine finds it by a name that no pod can change: host paths and claims, the layers
// of images, exports of NFS servers, and volumes in memory.
package mounts

import "golang.org/x/sys/unix"

// opened is a source by its descriptor, and by the name that it had.
type opened struct {
	fd   int
	mode uint32 // type and permissions, see inode(7)
	name string
}

func (o opened) close() { unix.Close(o.fd) }

func (o opened) isDir() bool { return o.mode&unix.S_IFMT == unix.S_IFDIR }
