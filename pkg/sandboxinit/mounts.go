package sandboxinit

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/initapi"
)

// Paths inside a sandbox that only the init knows.
const (
	// pinsPath holds the mount points of what was pinned.
	pinsPath = "/run/docker-sd/pins"
	// procPath is a mount point that is used for moments only.
	procPath = "/run/docker-sd/proc"
)

// mountPoint is a line of /proc/self/mountinfo, see proc_pid_mountinfo(5).
type mountPoint struct {
	path, kind string
	// super are the file system's options, in which control groups have their names.
	super string
}

func mountPoints() ([]mountPoint, error) {
	table, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil, err
	}
	return parseMounts(string(table)), nil
}

func parseMounts(table string) []mountPoint {
	var out []mountPoint
	for line := range strings.Lines(table) {
		before, after, found := strings.Cut(line, " - ")
		// The source of a mount, the second on the right, may be empty.
		left, right := strings.Fields(before), strings.Split(strings.TrimSpace(after), " ")
		if !found || len(left) < 5 || len(right) < 3 {
			continue
		}
		out = append(out, mountPoint{path: unescape(left[4]), kind: right[0], super: right[2]})
	}
	return out
}

// unescape undoes the \040 notation of the mount table.
func unescape(s string) string {
	if !strings.Contains(s, `\`) {
		return s
	}
	return strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`).Replace(s)
}

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
		points, err := mountPoints()
		if err != nil {
			return err
		}
		for _, m := range points {
			switch {
			case m.path == initapi.StorePath, m.path == initapi.StorePath+"/image", m.path == initapi.StorePath+"/overlay2":
				err = unix.Mount("", m.path, "", unix.MS_PRIVATE, "")
			case strings.HasPrefix(m.path, initapi.StorePath+"/"):
				err = unix.Unmount(m.path, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW)
				if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOENT) {
					err = nil // its container ended just now, and it went with that
				}
			}
			if err != nil {
				return fmt.Errorf("part %s from the host: %w", m.path, err)
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

// mountedRoots returns the roots that lie in what was mounted into the sandbox: a path
// that the host did not have at its boot may be a folder of the sandbox's own image. Of
// several mounts it takes the outermost: the name of an inner one is in a folder that a
// pod may be able to change.
func mountedRoots(roots []initapi.Root) ([]initapi.Root, error) {
	points, err := mountPoints()
	if err != nil {
		return nil, err
	}
	var out []initapi.Root
	for i, root := range roots {
		for _, m := range points {
			if _, inside := below(m.path, root.Path); inside && m.path != "/" && (root.Mount == "" || len(m.path) < len(root.Mount)) {
				root.Mount = m.path
			}
		}
		switch {
		case root.Mount != "":
			out = append(out, root)
		case i == 0: // where the walk begins; from the others it is only led to
			return nil, &initapi.Error{Kind: initapi.KindMissing, Message: "lies below a path that was not on this node when the pod's sandbox was made"}
		}
	}
	return out, nil
}

// below returns the rest of a path that is a folder or lies below it.
func below(dir, name string) (rest string, ok bool) {
	if name == dir {
		return "", true
	}
	return strings.CutPrefix(name, strings.TrimSuffix(dir, "/")+"/")
}
