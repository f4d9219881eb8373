package fusemount

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// caller is the process that made a connection, as the kernel tells.
type caller struct {
	// proc is its folder in /proc, by descriptor: another process that gets the same id
	// later is not in it.
	proc     int
	uid, gid uint32
	groups   []uint32
}

// callerOf tells who connected to a socket. proc is /proc by descriptor.
func callerOf(proc, socket int) (caller, error) {
	cred, err := unix.GetsockoptUcred(socket, unix.SOL_SOCKET, unix.SO_PEERCRED)
	if err != nil {
		return caller{}, fmt.Errorf("ask who calls: %w", err)
	}
	if cred.Pid <= 0 {
		return caller{}, errors.New("the caller is not in this sandbox")
	}
	dir, err := unix.Openat(proc, strconv.Itoa(int(cred.Pid)), unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return caller{}, fmt.Errorf("the caller has left: %w", err)
	}
	out := caller{proc: dir, uid: cred.Uid, gid: cred.Gid}
	status, err := openAt(dir, "status")
	if err != nil {
		return out, err
	}
	defer status.Close()
	text, err := io.ReadAll(status)
	if err != nil {
		return out, err
	}
	out.groups = groupsIn(string(text))
	return out, nil
}

// groupsIn are the supplementary groups of proc_pid_status(5).
func groupsIn(status string) []uint32 {
	var out []uint32
	for line := range strings.Lines(status) {
		names, ok := strings.CutPrefix(line, "Groups:")
		for name := range strings.FieldsSeq(names) {
			if n, err := strconv.ParseUint(name, 10, 32); ok && err == nil {
				out = append(out, uint32(n))
			}
		}
	}
	return out
}

// mayCover says whether the caller may mount over a folder: root may, others where they
// may make and remove files as they like.
func (c caller) mayCover(folder unix.Stat_t) bool {
	sticky := folder.Mode&unix.S_ISVTX != 0
	inGroup := folder.Gid == c.gid || slices.Contains(c.groups, folder.Gid)
	switch {
	case c.uid == 0:
		return true
	case folder.Uid == c.uid:
		return folder.Mode&unix.S_IWUSR != 0
	case sticky:
		return false
	case inGroup:
		return folder.Mode&unix.S_IWGRP != 0
	}
	return folder.Mode&unix.S_IWOTH != 0
}

// namespace opens the caller's namespace of mounts. It has to be one that an engine made
// for a container: a process that makes a namespace of its own gets one that belongs to a
// namespace of users of its own, too.
func (c caller) namespace(proc int) (int, error) {
	var ours, theirs [2]unix.Stat_t
	for i, name := range []string{"ns/user", "ns/mnt"} {
		if err := errors.Join(unix.Fstatat(proc, "thread-self/"+name, &ours[i], 0), unix.Fstatat(c.proc, name, &theirs[i], 0)); err != nil {
			return none, fmt.Errorf("look at the caller's namespaces: %w", err)
		}
	}
	if ours[0].Ino != theirs[0].Ino {
		return none, errors.New("from a namespace of users, mount without this command")
	}
	if ours[1].Ino == theirs[1].Ino {
		return none, errors.New("the caller is in no container")
	}
	fd, err := unix.Openat(c.proc, "ns/mnt", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return none, fmt.Errorf("open the caller's mounts: %w", err)
	}
	return fd, nil
}
