package machine

import (
	"fmt"
	"os/user"
	"strconv"
)

// GroupID is the number of a group, which has a name or is one.
func GroupID(name string) (int, error) {
	if gid, err := strconv.ParseUint(name, 10, 31); err == nil {
		return int(gid), nil
	}
	group, err := user.LookupGroup(name)
	if err != nil {
		return 0, fmt.Errorf("SocketGroup %s: this host has no such group; make it with groupadd --system %s: %w", name, name, err)
	}
	gid, err := strconv.Atoi(group.Gid)
	if err != nil {
		return 0, fmt.Errorf("SocketGroup %s: its number is %s: %w", name, group.Gid, err)
	}
	return gid, nil
}
