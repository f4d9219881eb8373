package main

import (
	"fmt"
	"os"
	"os/user"
	"strconv"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/config"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/preflight"
)

// shareSocket gives the socket for interLink the group and the rights of the configuration.
// Until then it is for its owner alone.
func shareSocket(settings config.Config) error {
	network, path := settings.Listen()
	if network != "unix" {
		return nil
	}
	if name := settings.SocketShare.Group; name != "" {
		gid, err := groupID(name)
		if err != nil {
			return err
		}
		if err := os.Lchown(path, -1, gid); err != nil {
			return fmt.Errorf("give the socket to SocketGroup %s: %w; run docker-sd as root, or as a user of this group", name, err)
		}
	}
	if err := os.Chmod(path, settings.SocketShare.Rights()); err != nil {
		return fmt.Errorf("set the rights of the socket: %w", err)
	}
	return nil
}

// groupID is the number of a group, which has a name or is one.
func groupID(name string) (int, error) {
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

// socketGroup judges whether the group gets to the socket.
func socketGroup(name, path string) preflight.Line {
	gid, err := groupID(name)
	if err != nil {
		return preflight.Line{Name: "socket group", Verdict: preflight.Fail, Found: err.Error(), Do: "docker-sd does not start with it: name a group of this host"}
	}
	return preflight.SocketFolders(path, uint32(gid), os.Stat)
}
