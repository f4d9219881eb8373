package machine

import (
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"strconv"
	"syscall"
)

// Owner is who may use a file.
type Owner struct {
	UID, GID uint32
	// User and Group are their names, or the numbers where they have none.
	User, Group string
	Mode        fs.FileMode
}

// OwnerOf a path, of what a link leads to.
func OwnerOf(path string) (Owner, error) {
	info, err := os.Stat(path)
	if err != nil {
		return Owner{}, err
	}
	found, known := info.Sys().(*syscall.Stat_t)
	if !known {
		return Owner{}, fmt.Errorf("the owner of %s is not known", path)
	}
	out := Owned(found.Uid, found.Gid)
	out.Mode = info.Mode()
	return out, nil
}

// Owned has the names of a user and a group.
func Owned(uid, gid uint32) Owner {
	o := Owner{UID: uid, GID: gid, User: strconv.FormatUint(uint64(uid), 10), Group: strconv.FormatUint(uint64(gid), 10)}
	if u, err := user.LookupId(o.User); err == nil {
		o.User = u.Username
	}
	if g, err := user.LookupGroupId(o.Group); err == nil {
		o.Group = g.Name
	}
	return o
}
