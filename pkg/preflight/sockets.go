package preflight

import (
	"io/fs"
	"strconv"
)

// Socket is one that exists: its owner, its group and its rights.
type Socket struct {
	Path        string
	User, Group string
	Mode        fs.FileMode
}

func (s Socket) String() string { return s.User + ":" + s.Group + ", mode " + octal(s.Mode) }

func octal(mode fs.FileMode) string { return "0" + strconv.FormatUint(uint64(mode.Perm()), 8) }

// Rights to connect to a socket.
const (
	groupMayConnect  = 0o020
	othersMayConnect = 0o002
)

// EngineSocket judges who may connect to the engine, which is as good as being root.
func EngineSocket(s Socket) Line {
	const name = "engine socket"
	switch {
	case s.Mode&othersMayConnect != 0:
		return warn(name, "run chmod 660 "+s.Path+", and look for what has opened it", "%s belongs to %s: every user of this host can connect, and become root by that", s.Path, s)
	case s.Mode&groupMayConnect != 0 && s.Group != "root":
		return ok(name, "%s belongs to %s: its owner and the members of group %s can connect, and are as good as root", s.Path, s, s.Group)
	}
	return ok(name, "%s belongs to %s: its owner alone can connect", s.Path, s)
}

// InterlinkSocket judges who may connect to a socket where docker-sd takes pods. wanted is what
// the configuration makes of it, and served says that the docker-sd that runs answers there.
// seen is nil where there is no socket yet.
func InterlinkSocket(wanted Socket, seen *Socket, served bool) Line {
	const name = "interlink socket"
	who := "user " + wanted.User + " alone"
	if wanted.Mode&groupMayConnect != 0 {
		who = "user " + wanted.User + " and the members of group " + wanted.Group
	}
	switch {
	case seen == nil:
		return ok(name, "%s will belong to %s: %s can send pods", wanted.Path, wanted, who)
	case seen.Mode&othersMayConnect != 0:
		return fail(name, "run chmod "+octal(wanted.Mode)+" "+wanted.Path+", and set SocketGroup to the group of interLink's API server",
			"%s belongs to %s: every user of this host can run pods", seen.Path, seen)
	case !served:
		return ok(name, "%s will belong to %s: %s can send pods; the one that is there is of an earlier run", wanted.Path, wanted, who)
	case seen.Mode.Perm() != wanted.Mode.Perm() || seen.Group != wanted.Group:
		return warn(name, "restart docker-sd, which pods do not notice", "%s belongs to %s, and the configuration wants %s", seen.Path, seen, wanted)
	}
	return ok(name, "%s belongs to %s: %s can send pods", seen.Path, seen, who)
}
