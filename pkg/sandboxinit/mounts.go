package sandboxinit

import (
	"errors"
	"fmt"
	"strings"

	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/initapi"
)

// shareMounts has mounts that the host makes later below a shared path reach the
// pod's containers, where they ask for it (mountPropagation HostToContainer).
func shareMounts() error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_SHARED, ""); err != nil {
		return fmt.Errorf("share the sandbox's mounts with its containers: %w", err)
	}
	return nil
}

// privateStore takes the roots of the host's other containers out of the image store.
// They are mounted below it as these start, writable, and an engine gives what is in
// its data root no other propagation than one that shows them here.
func privateStore() error {
	// Twice: what came before the first had made the mounts private.
	for range 2 {
		points, err := mountinfo.GetMounts(nil)
		if err != nil {
			return err
		}
		for _, m := range points {
			switch {
			case m.Mountpoint == initapi.StorePath, m.Mountpoint == initapi.StorePath+"/image", m.Mountpoint == initapi.StorePath+"/overlay2",
				m.Mountpoint == initapi.LayersPath:
				err = unix.Mount("", m.Mountpoint, "", unix.MS_PRIVATE, "")
			case strings.HasPrefix(m.Mountpoint, initapi.StorePath+"/"), strings.HasPrefix(m.Mountpoint, initapi.LayersPath+"/"):
				err = unix.Unmount(m.Mountpoint, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW)
				if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOENT) {
					err = nil // its container ended just now, and it went with that
				}
			}
			if err != nil {
				return fmt.Errorf("part %s from the host: %w", m.Mountpoint, err)
			}
		}
	}
	return nil
}

// hideFolder detaches the sandbox's folder, in which the sockets are. Only the volumes
// of its pod, mounted elsewhere, stay visible.
func hideFolder() error {
	if err := unix.Unmount(initapi.FolderPath, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW); err != nil {
		return fmt.Errorf("hide the sandbox's folder: %w", err)
	}
	return nil
}
