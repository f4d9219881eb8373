package sandboxinit

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/initapi"
)

// procPath is a mount point that is used for moments only.
const procPath = "/run/docker-sd/proc"

// setSysctls writes kernel parameters. The sandbox's own /proc/sys is read-only, so
// another mount of proc is made for it that has no name.
func setSysctls(values map[string]string) error {
	proc, err := openProc()
	if err != nil {
		return err
	}
	defer unix.Close(proc)
	names := make([]string, 0, len(values))
	for name := range values {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		if err := setSysctl(proc, name, values[name]); err != nil {
			return err
		}
	}
	return nil
}

func setSysctl(proc int, name, value string) error {
	file := sysctlPath(name)
	if !fs.ValidPath(file) || file == "." {
		return &initapi.Error{Kind: initapi.KindInvalid, Message: fmt.Sprintf("sysctl %s is not the name of a kernel parameter", name)}
	}
	fd, err := unix.Openat(proc, path.Join("sys", file), unix.O_WRONLY|unix.O_CLOEXEC|unix.O_NOFOLLOW, 0)
	if errors.Is(err, unix.ENOENT) {
		return &initapi.Error{Kind: initapi.KindMissing, Message: fmt.Sprintf("this node's kernel has no sysctl %s", name)}
	}
	if err == nil {
		_, err = unix.Write(fd, []byte(value))
		err = errors.Join(err, unix.Close(fd))
	}
	if err != nil {
		return &initapi.Error{Kind: initapi.KindFailed, Message: fmt.Sprintf("sysctl %s cannot be set to the value that the pod asks for: %v", name, err)}
	}
	return nil
}

// sysctlPath gives the file of a parameter. Where its name has dots between its parts,
// a slash stands for a dot in one, as in net.ipv4.conf.eth0/1.forwarding.
func sysctlPath(name string) string {
	first := strings.IndexAny(name, "./")
	if first >= 0 && name[first] == '/' {
		return name
	}
	return strings.NewReplacer(".", "/", "/", ".").Replace(name)
}

// openProc opens a proc file system that nothing else in the sandbox can reach by name.
func openProc() (int, error) {
	if err := os.MkdirAll(procPath, 0o700); err != nil {
		return -1, err
	}
	if err := unix.Mount("proc", procPath, "proc", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, ""); err != nil {
		return -1, fmt.Errorf("mount proc: %w", err)
	}
	fd, err := unix.Open(procPath, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	return fd, errors.Join(err, unix.Unmount(procPath, unix.MNT_DETACH))
}
