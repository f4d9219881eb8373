package preflight

import (
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"
)

// Load is what sandboxes will ask of the kernel.
type Load struct {
	// Sandboxes is how many there may be at once.
	Sandboxes int
	// CgroupVersion of the host, as the engine names it.
	CgroupVersion string
	// OpenFiles is the limit of this process.
	OpenFiles uint64
	// Keys, KeyBytes and Inotify are what root has in use now, 0 where it is not known.
	Keys, KeyBytes, Inotify uint64
}

// What a sandbox with one container in it takes, measured on engine 20.10: an
// engine with its containerd has 19 threads, a shim 11 to 12 and there are two.
const (
	threadsPerSandbox = 45
	// containersPerSandbox are the sandbox, the one that holds its network, and some of a pod.
	// runc makes a session keyring for each, with both versions of control groups. With
	// version 2 its shim has an inotify instance, too, with two watches, to be told of its
	// end of memory; with version 1 it has none. All are root's.
	containersPerSandbox = 10
	watchesPerContainer  = 2
	// bytesPerKey is what the kernel counts for one: its name is made of the container's id.
	bytesPerKey = 70
	// filesPerSandbox are docker-sd's own: connections to its engine, logs, waits.
	filesPerSandbox = 10
)

// Kernel judges what /proc (given as the root of the file system) tells of the
// kernel: whether it can run sandboxes, and for how many its limits are.
func Kernel(root fs.FS, load Load) []Line {
	return append([]Line{features(root)}, limits(root, load)...)
}

// features judges what a sandbox's engine needs of the kernel.
func features(root fs.FS) Line {
	const name = "kernel"
	systems, err := fs.ReadFile(root, "proc/filesystems")
	if err != nil {
		return fail(name, "see that /proc is mounted", "what the kernel can do cannot be read: %v", err)
	}
	if !slices.Contains(strings.Fields(string(systems)), "overlay") {
		return fail(name, "run modprobe overlay, and name it in /etc/modules-load.d", "the kernel has no overlay file system, in which containers' files live")
	}
	var missing []string
	for _, ns := range []string{"cgroup", "ipc", "mnt", "net", "pid", "uts"} {
		if _, err := fs.Lstat(root, "proc/self/ns/"+ns); err != nil {
			missing = append(missing, ns)
		}
	}
	if len(missing) > 0 {
		return fail(name, "use a kernel with all namespaces", "the kernel has no namespaces of the kinds %s", strings.Join(missing, ", "))
	}
	release, _ := fs.ReadFile(root, "proc/sys/kernel/osrelease")
	return ok(name, "%s has overlay and all namespaces that containers need", strings.TrimSpace(string(release)))
}

// limit is one number that the kernel keeps to.
type limit struct {
	name, key string
	need      uint64
	meaning   string
	// used is what is taken now, 0 where that is not known.
	used uint64
}

func limits(root fs.FS, load Load) []Line {
	n := uint64(max(load.Sandboxes, 1))
	var out []Line
	for _, l := range []limit{
		{"process ids", "kernel.pid_max", 4096 + threadsPerSandbox*n, "threads of sandboxes and their containers", 0},
		{"threads", "kernel.threads-max", 4096 + threadsPerSandbox*n, "threads of sandboxes and their containers", 0},
		{"keyrings", "kernel.keys.root_maxkeys", 100 + containersPerSandbox*n, "containers, of which each has a session keyring", load.Keys},
		{"keyring bytes", "kernel.keys.root_maxbytes", (100 + containersPerSandbox*n) * bytesPerKey, "containers, of which each has a session keyring", load.KeyBytes},
	} {
		out = append(out, l.judge(root, load.Sandboxes))
	}
	out = append(out, inotify(root, load)...)
	const files = "open files"
	if need := 1024 + filesPerSandbox*n; load.OpenFiles < need {
		return append(out, warn(files, fmt.Sprintf("set LimitNOFILE=%d for docker-sd's service, or ulimit -n", max(need, 65536)),
			"this process may open %d files; %d sandboxes may take %d", load.OpenFiles, n, need))
	}
	return append(out, ok(files, "this process may open %d", load.OpenFiles))
}

// inotifyInstances are enough that no pod takes all by accident. The kernel counts
// them for each user of a user namespace, so that root on the host and root in every
// container share one number.
const inotifyInstances = 8192

// inotifyWatches are as many for each.
const inotifyWatches = 8192

// inotify judges how many instances and watches there may be.
func inotify(root fs.FS, load Load) []Line {
	instances, watches := uint64(inotifyInstances), uint64(inotifyWatches)
	if load.CgroupVersion == "2" {
		containers := containersPerSandbox * uint64(max(load.Sandboxes, 1))
		instances = max(instances, 128+containers)
		watches += watchesPerContainer * containers
	}
	const meaning = "programs that watch files, which root on this host and root in all containers share: with less, one pod may leave none to the host"
	return []Line{
		limit{"inotify", "fs.inotify.max_user_instances", instances, meaning, load.Inotify}.judge(root, load.Sandboxes),
		limit{"inotify watches", "fs.inotify.max_user_watches", watches, meaning, 0}.judge(root, load.Sandboxes),
	}
}

func (l limit) judge(root fs.FS, sandboxes int) Line {
	text, err := fs.ReadFile(root, "proc/sys/"+strings.ReplaceAll(l.key, ".", "/"))
	if err != nil {
		return warn(l.name, "", "%s is not known: %v", l.key, err)
	}
	have, err := strconv.ParseUint(strings.TrimSpace(string(text)), 10, 64)
	if err != nil {
		return warn(l.name, "", "%s is not a number: %v", l.key, err)
	}
	inUse := ""
	if l.used > 0 {
		inUse = fmt.Sprintf(", %d in use", l.used)
	}
	if have >= l.need && l.used > have/10*9 {
		low := warn(l.name, "find the program that takes them, or run docker-sd check --fix", "%s is %d%s: containers will not start when it is used up", l.key, have, inUse)
		low.Sysctl = map[string]uint64{l.key: roundUp(2 * l.used)}
		return low
	}
	if have < l.need {
		want := roundUp(max(l.need, l.used))
		low := warn(l.name, fmt.Sprintf("run docker-sd check --fix, or put %s=%d into a file in /etc/sysctl.d and run sysctl --system", l.key, want),
			"%s is %d%s; up to %d sandboxes may need %d for %s", l.key, have, inUse, sandboxes, l.need, l.meaning)
		low.Sysctl = map[string]uint64{l.key: want}
		return low
	}
	return ok(l.name, "%s is %d%s", l.key, have, inUse)
}

// roundUp gives the next power of two, as such limits are written.
func roundUp(n uint64) uint64 {
	out := uint64(1)
	for out < n {
		out *= 2
	}
	return out
}
