package fusemount

import (
	"fmt"
	"io"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"
)

// table is a table of mounts, see proc_pid_mountinfo(5).
type table []*mountinfo.Info

// readTable reads a table below a folder that is open.
func readTable(dir int, name string) (table, error) {
	content, err := openAt(dir, name)
	if err != nil {
		return nil, fmt.Errorf("read the table of mounts: %w", err)
	}
	defer content.Close()
	return mountinfo.GetMountsFromReader(content, nil)
}

// openAt opens a file of the kernel's below a folder that is open.
func openAt(dir int, name string) (*os.File, error) {
	fd, err := unix.Openat(dir, name, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), name), nil
}

// find returns the mount with an id, nil without one.
func (t table) find(id int) *mountinfo.Info {
	if i := slices.IndexFunc(t, func(m *mountinfo.Info) bool { return m.ID == id }); i >= 0 {
		return t[i]
	}
	return nil
}

// holding returns the mount that a path lies on, nil without one.
func (t table) holding(name string) *mountinfo.Info {
	var out *mountinfo.Info
	for _, m := range t {
		if _, inside := below(m.Mountpoint, name); inside && (out == nil || len(m.Mountpoint) >= len(out.Mountpoint)) {
			out = m
		}
	}
	return out
}

// below returns the rest of a path that is a folder or lies below it.
func below(dir, name string) (rest string, ok bool) {
	if name == dir {
		return "", true
	}
	return strings.CutPrefix(name, strings.TrimSuffix(dir, "/")+"/")
}

func isFuse(m *mountinfo.Info) bool {
	return m.FSType == "fuse" || strings.HasPrefix(m.FSType, "fuse.")
}

func readOnly(m *mountinfo.Info) bool { return slices.Contains(strings.Split(m.Options, ","), "ro") }

// volumes tells the emptyDirs of a pod from all else, by the table of the sandbox and the
// folder that they are in.
type volumes struct {
	sandbox table
	folder  string
}

// holds says whether a mount, of whatever namespace, shows an emptyDir or a part of one: a
// folder of the volumes' own file system, or a file system in memory that is mounted there.
func (v volumes) holds(m *mountinfo.Info) bool {
	if on := v.sandbox.holding(v.folder); on != nil && sameDevice(on, m) {
		rest, _ := below(on.Mountpoint, v.folder)
		if rest, inside := below(path.Join(on.Root, rest), m.Root); inside && rest != "" {
			return true
		}
	}
	return m.FSType == "tmpfs" && slices.ContainsFunc(v.sandbox, func(own *mountinfo.Info) bool {
		return own.FSType == "tmpfs" && path.Dir(own.Mountpoint) == v.folder && sameDevice(own, m)
	})
}

func sameDevice(a, b *mountinfo.Info) bool { return a.Major == b.Major && a.Minor == b.Minor }

// mountID is that of the mount which a descriptor was opened on. To ask for it is no call
// to the file system.
func mountID(proc, fd int) (int, error) {
	info, err := openAt(proc, fmt.Sprintf("thread-self/fdinfo/%d", fd))
	if err != nil {
		return 0, err
	}
	defer info.Close()
	text, err := io.ReadAll(info)
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		if value, ok := strings.CutPrefix(line, "mnt_id:"); ok {
			return strconv.Atoi(strings.TrimSpace(value))
		}
	}
	return 0, fmt.Errorf("descriptor %d is on no mount", fd)
}
