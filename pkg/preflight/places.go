package preflight

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/docker/go-units"
	"golang.org/x/sys/unix"
)

// Space of a file system.
type Space struct{ Bytes, FreeBytes, Inodes, FreeInodes uint64 }

// SpaceAt asks for the space where a path is or will be.
func SpaceAt(path string) (Space, error) {
	var s unix.Statfs_t
	if err := unix.Statfs(existing(path), &s); err != nil {
		return Space{}, &fs.PathError{Op: "statfs", Path: path, Err: err}
	}
	size := uint64(s.Bsize) //nolint:gosec // positive
	return Space{Bytes: s.Blocks * size, FreeBytes: s.Bavail * size, Inodes: s.Files, FreeInodes: s.Ffree}, nil
}

// existing is the path, or the innermost folder above it that is there.
func existing(path string) string {
	for {
		if _, err := os.Stat(path); err == nil || path == filepath.Dir(path) {
			return path
		}
		path = filepath.Dir(path)
	}
}

// Bounds below which a disk is called full, or nearly so.
const (
	fullBytes, scarceBytes     = 1 << 30, 10 << 30
	fullPercent, scarcePercent = 1, 5
)

// Disk judges the space at a path; what says what is kept there.
func Disk(name, what, path string, s Space, err error) Line {
	if err != nil {
		return fail(name, "see that the disk is mounted", "%s, %s: %v", path, what, err)
	}
	found := fmt.Sprintf("%s, %s: %s free of %s", path, what, bytes(s.FreeBytes), bytes(s.Bytes))
	inodes := 100.0
	if s.Inodes > 0 { // some file systems have no fixed number
		inodes = 100 * float64(s.FreeInodes) / float64(s.Inodes)
		found += fmt.Sprintf(", %d inodes free of %d", s.FreeInodes, s.Inodes)
	}
	const do = "remove what nobody needs, such as images (docker image prune), or use a larger disk"
	switch {
	case s.FreeBytes < fullBytes || inodes < fullPercent:
		return fail(name, do, "%s: pods would fail", found)
	case s.FreeBytes < scarceBytes || inodes < scarcePercent:
		return warn(name, do, "%s: that is little", found)
	}
	return ok(name, "%s", found)
}

func bytes(n uint64) string { return units.BytesSize(float64(n)) }

// Running is the docker-sd that runs with the same configuration.
type Running struct {
	// Described names it, empty if none answers.
	Described string
	// Address is where it listens.
	Address string
	// Interlink is where it answers Virtual Kubelets, empty for nowhere.
	Interlink string
	// Admin says that it answers operators at its AdminAddress.
	Admin    bool
	Troubles []string
}

// Daemon judges the running docker-sd; none is nothing wrong.
func Daemon(r Running) Line {
	switch {
	case r.Described == "":
		return ok("docker-sd", "none runs with this configuration")
	case len(r.Troubles) > 0:
		return fail("docker-sd", "see its log, and the lines below", "%s, and cannot take pods: %s", r.Described, strings.Join(r.Troubles, "; "))
	}
	return ok("docker-sd", "%s", r.Described)
}

// Folder judges DataRootFolder; holder names the process that has it locked.
func Folder(path string, r Running, holder string) Line {
	const name = "data folder"
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if above := existing(path); unix.Access(above, unix.W_OK|unix.X_OK) != nil {
			return fail(name, "make the folder, or run as the user whose folder "+above+" is", "DataRootFolder %s is not there and cannot be made", path)
		}
		return ok(name, "%s will be made when docker-sd starts", path)
	case err != nil:
		return fail(name, "run as the user that docker-sd runs as", "DataRootFolder %s: %v", path, err)
	case !info.IsDir():
		return fail(name, "choose another DataRootFolder", "DataRootFolder %s is not a folder", path)
	}
	probe, err := os.CreateTemp(path, "check-")
	if err != nil {
		return fail(name, "run as the user that docker-sd runs as, and see that the disk is not mounted read-only", "DataRootFolder %s cannot be written to: %v", path, err)
	}
	if err := errors.Join(probe.Close(), os.Remove(probe.Name())); err != nil {
		return fail(name, "see whether the disk is well", "DataRootFolder %s: %v", path, err)
	}
	state := "nobody uses it"
	switch {
	case r.Described != "":
		state = "in use by the docker-sd that runs"
	case holder != "":
		return fail(name, "stop that process, or choose another DataRootFolder", "DataRootFolder %s is locked by %s, and no docker-sd answers on the socket in it", path, holder)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return warn(name, "run chmod 700 "+path, "%s is writable, %s, and others may look into it (mode %04o)", path, state, info.Mode().Perm())
	}
	return ok(name, "%s is writable, private, %s", path, state)
}

// Holder names the process that holds a lock (flock) on a file, "" if none does
// or it cannot be told. It takes no lock: a docker-sd that starts now would find
// the file locked.
func Holder(proc fs.FS, path string) string {
	var at unix.Stat_t
	if unix.Stat(path, &at) != nil {
		return ""
	}
	locks, err := fs.ReadFile(proc, "locks")
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(locks)) {
		// 1: FLOCK  ADVISORY  WRITE 1692 fe:00:3637604 0 EOF
		words := strings.Fields(line)
		if len(words) < 6 || words[1] != "FLOCK" || words[3] != "WRITE" {
			continue
		}
		if _, inode, _ := strings.Cut(words[5], ":"); !strings.HasSuffix(inode, ":"+strconv.FormatUint(at.Ino, 10)) {
			continue
		}
		comm, _ := fs.ReadFile(proc, words[4]+"/comm")
		return strings.TrimSpace("process " + words[4] + " " + strings.TrimSpace(string(comm)))
	}
	return ""
}

// Port is an address that docker-sd is to listen on.
type Port struct {
	Name, Network, Address string
	// Served says that the running docker-sd listens there.
	Served bool
	// Wide judges what is missing where others than this host's programs can call;
	// the zero Line is nothing.
	Wide Line
	// Taken is the verdict where somebody else listens there.
	Taken Verdict
}

// Judge tells whether docker-sd can listen, or does. dial tells whether somebody
// else does, listen whether it could.
func (p Port) Judge(dial, listen func(network, address string) error) Line {
	found := p.Address + " is free"
	if p.Served {
		found = p.Address + " is answered by the docker-sd that runs"
	} else if err := dial(p.Network, p.Address); err == nil {
		return Line{Name: p.Name, Verdict: p.Taken, Found: "another process listens on " + p.Address, Do: "stop it, or set another address"}
	} else if errors.Is(err, syscall.EACCES) {
		return fail(p.Name, "run as the user that docker-sd runs as", "the socket %s belongs to another user", p.Address)
	} else if err := listen(p.Network, p.Address); err != nil {
		return fail(p.Name, "set another address, or make the folder of the socket", "docker-sd cannot listen on %s: %v", p.Address, err)
	}
	if p.Wide.Verdict != "" {
		w := p.Wide
		w.Name, w.Found = p.Name, found+"; "+w.Found
		return w
	}
	return ok(p.Name, "%s", found)
}

// SocketFolders judges the folders above a socket that a group is to reach: each must let the
// group through, or everybody. stat is os.Stat.
func SocketFolders(path string, gid uint32, stat func(string) (os.FileInfo, error)) Line {
	const name = "socket group"
	for dir := filepath.Dir(path); ; dir = filepath.Dir(dir) {
		info, err := stat(dir)
		if err != nil {
			return fail(name, "make the folder", "the folder of the socket cannot be seen: %v", err)
		}
		owner, known := info.Sys().(*syscall.Stat_t)
		if info.Mode()&0o001 == 0 && (!known || owner.Gid != gid || info.Mode()&0o010 == 0) {
			return fail(name, fmt.Sprintf("chgrp %d %s && chmod g+x %s, or choose another folder", gid, dir, dir), "group %d does not get to the socket: %s is closed to it", gid, dir)
		}
		if dir == "/" || dir == "." {
			return ok(name, "group %d can connect to %s", gid, path)
		}
	}
}

// IsWide tells whether others than this host's programs reach an address.
func IsWide(network, address string) bool {
	host, _, err := net.SplitHostPort(address)
	if network == "unix" || err != nil || host == "localhost" {
		return false
	}
	ip := net.ParseIP(host)
	return ip == nil || !ip.IsLoopback()
}

// WideCalls judges calls of the sidecar protocol from other hosts.
func WideCalls(token, encrypted, certificates bool) Line {
	switch {
	case !token && !certificates:
		return fail("", "listen on 127.0.0.1 or a socket (SidecarURL, Socket), or set BearerTokenFile with TLSCertFile and TLSKeyFile, or TLSClientCAFile as well; see docs/security.md",
			"whoever reaches this address can run containers on this host: it is wider than loopback, and callers are not asked who they are")
	case !encrypted:
		return warn("", "set TLSCertFile and TLSKeyFile", "it is wider than loopback without TLS: whoever sees the traffic learns the token and the secrets of pods")
	}
	return Line{}
}

// WideAdmin judges operators from other hosts.
func WideAdmin() Line {
	return warn("", "listen on 127.0.0.1, or see that only monitoring reaches it", "it is wider than loopback: whoever reaches it sees the names of pods")
}

// Names tells under which names calls are taken on a TCP address.
func Names(names []string) Line {
	return ok("host names", "calls are taken under IP addresses and %s; where interLink uses another name, put it into AllowedHosts", strings.Join(names, ", "))
}

// TrustedFlags warns of annotations that grant. It is for a configuration that
// trusts them.
func TrustedFlags() Line {
	return warn("annotations", "set TrustedAnnotationFlags to false, unless the cluster decides who may write docker-options.vk.io/flags",
		"TrustedAnnotationFlags is on: every user who may create a pod may take capabilities, root and real-time priority in its sandbox, whatever Pod Security Admission says")
}

// Profiles judges the folder of seccomp profiles that pods may name.
func Profiles(path string) Line {
	const name = "seccomp profiles"
	entries, err := os.ReadDir(path)
	if err != nil {
		return warn(name, "make the folder, or leave SeccompProfileRoot out", "SeccompProfileRoot cannot be read, containers with a profile of type Localhost wait: %v", err)
	}
	return ok(name, "%s has %d entries", path, len(entries))
}

// Fuse judges the device that FUSE file systems need. It is for a configuration that lets
// pods mount them.
func Fuse(there bool) Line {
	const name = "fuse"
	if !there {
		return warn(name, "load the module fuse, give /dev/fuse to docker-sd's container, or set FuseMounts to false",
			"there is no /dev/fuse: pods cannot mount FUSE file systems, as those of rclone and sshfs")
	}
	return ok(name, "/dev/fuse is there, and pods can mount FUSE file systems over their emptyDirs")
}

// MayMount warns of pods that are as good as the root of their sandbox.
func MayMount() Line {
	return warn("mounts", "set PrivilegedPodsMayMount to false, unless you trust the users of pods",
		"PrivilegedPodsMayMount is on: a privileged container can mount, and write kernel settings of this host unless AppArmor keeps it from that")
}

// HostPath judges a folder of the host that pods may use.
func HostPath(path, why string, shared bool) Line {
	const name = "host path"
	if _, err := os.Stat(path); err != nil {
		return warn(name, "mount or make it before docker-sd starts, or take it out of "+why, "%s (%s) is not there: pods that ask for it are refused", path, why)
	}
	if !shared {
		return warn(name, "run mount --make-rshared on the mount that it is on, if there are such", "%s (%s) is there; what is mounted below it later does not show in pods", path, why)
	}
	return ok(name, "%s (%s) is there", path, why)
}

// Claims judges the folder that has one for each persistent volume claim. docker-sd makes
// it when it starts.
func Claims(root string, deleted bool, space Space, err error) Line {
	const name = "claims"
	if err != nil {
		return fail(name, "see whether the disk is mounted, or name another folder in PersistentVolumeRoot", "the disk of %s cannot be asked: %v", root, err)
	}
	free := units.BytesSize(float64(space.FreeBytes))
	if info, err := os.Lstat(root); err == nil && !info.IsDir() {
		return fail(name, "name a folder in PersistentVolumeRoot", "%s is not a folder", root)
	}
	if deleted {
		return warn(name, "set PersistentVolumeReclaim to retain if users keep data in claims", "claims have folders below %s, with %s free; the data of a claim is deleted with the last pod that mounts it", root, free)
	}
	return ok(name, "claims have folders below %s, with %s free; they are kept", root, free)
}

// NFS judges whether pods can mount from the servers that the operator has named. open says
// that nothing keeps pods from this host.
func NFS(servers []string, client, open bool) Line {
	const name = "nfs"
	list := strings.Join(servers, ", ")
	switch {
	case !client:
		return fail(name, "load the kernel's module nfs, or empty NFSServers", "pods may mount from %s, and this kernel has no NFS client: nfs volumes are refused", list)
	case open:
		return warn(name, "set PodFirewall to enabled", "pods may mount from %s; without a firewall also what this host serves to itself", list)
	}
	return ok(name, "pods may mount from %s, and the kernel has an NFS client", list)
}
