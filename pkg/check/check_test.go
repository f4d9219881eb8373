package check_test

import (
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/fstest"

	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/check"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/engine"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/gpu"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/pool"
)

// judged is one case of a table: a line, and what it must be.
type judged struct {
	line    check.Line
	verdict check.Verdict
	found   string
}

func holds(t *testing.T, cases map[string]judged) {
	t.Helper()
	for name, c := range cases {
		switch l := c.line; {
		case l.Verdict != c.verdict || !strings.Contains(l.Found, c.found):
			t.Errorf("%s: %s, %q; want %s with %q", name, l.Verdict, l.Found, c.verdict, c.found)
		case l.Name == "" || l.Verdict != check.Right && l.Do == "":
			t.Errorf("%s: %+v has no name, or does not say what to do", name, l)
		case l.Verdict == check.Right && l.Do != "":
			t.Errorf("%s: %+v is right and still wants something done", name, l)
		}
	}
}

func TestEngine(t *testing.T) {
	version := func(v string) engine.Info { return engine.Info{Version: v, APIVersion: "1.41"} }
	holds(t, map[string]judged{
		"right":             {check.Engine("unix:///s", version("20.10.24+dfsg1"), nil), check.Right, "version 20.10.24+dfsg1, API 1.41, at unix:///s"},
		"newer":             {check.Engine("unix:///s", version("28.1.0"), nil), check.Right, "28.1.0"},
		"development build": {check.Engine("unix:///s", version("dev"), nil), check.Right, "dev"},
		"old":               {check.Engine("unix:///s", version("19.03.1"), nil), check.Wrong, "19.03.1"},
		"old in the second": {check.Engine("unix:///s", version("20.9"), nil), check.Wrong, "20.9"},
		"away":              {check.Engine("unix:///s", engine.Info{}, errors.New("connection refused")), check.Wrong, "no Docker engine answers at unix:///s: connection refused"},
		"live-restore":      {check.LiveRestore(engine.Info{LiveRestore: true}), check.Right, "on"},
		"no live-restore":   {check.LiveRestore(engine.Info{}), check.Note, "ends every sandbox"},
		"cgroups":           {check.Cgroups(engine.Info{CgroupVersion: "2", CgroupDriver: "systemd"}), check.Right, "version 2, driver systemd"},
		"no cgroups":        {check.Cgroups(engine.Info{CgroupVersion: "2", CgroupDriver: "none"}), check.Wrong, "limits"},
		"shared":            {check.Sharing(engine.Info{StorageDriver: "overlay2"}, true, true, "shared"), check.Right, "overlay2: shared"},
		"cannot share":      {check.Sharing(engine.Info{StorageDriver: "vfs"}, false, true, "copied"), check.Note, "vfs: copied"},
		"need not share":    {check.Sharing(engine.Info{StorageDriver: "vfs"}, false, false, "copied, as asked"), check.Right, "as asked"},
		"own name":          {check.Instance("a", nil), check.Right, "a is used by no other"},
		"other's name":      {check.Instance("a", fmt.Errorf("taken: %w", errdefs.ErrFailedPrecondition)), check.Wrong, "taken"},
		"name not known":    {check.Instance("a", errors.New("no answer")), check.Wrong, "no answer"},
	})
	if l := check.Engine("s", engine.Info{}, errors.New("dial: permission denied")); !strings.Contains(l.Do, "as root") {
		t.Errorf("without permission: %q", l.Do)
	}
}

func TestImage(t *testing.T) {
	image := engine.Image{Size: 1 << 20}
	holds(t, map[string]judged{
		"looked at":  {check.Image("i", image, nil, false, "", nil), check.Right, "i, 1MiB"},
		"ran":        {check.Image("i", image, nil, true, "Docker version 28", nil), check.Right, "has Docker version 28"},
		"missing":    {check.Image("i", engine.Image{}, fmt.Errorf("no: %w", errdefs.ErrNotFound), false, "", nil), check.Wrong, "sandbox image i is not on this host"},
		"no answer":  {check.Image("i", engine.Image{}, errors.New("no answer"), false, "", nil), check.Wrong, "no answer"},
		"no dockerd": {check.Image("i", image, nil, true, "", errors.New("dockerd: not found")), check.Wrong, "cannot run dockerd: dockerd: not found"},
	})
}

func prefixes(texts ...string) []netip.Prefix {
	var out []netip.Prefix
	for _, text := range texts {
		out = append(out, netip.MustParsePrefix(text))
	}
	return out
}

func TestNetworks(t *testing.T) {
	of := func(wanted int, parents string, change func(*check.Networks)) check.Line {
		n := check.Networks{Parents: prefixes(parents), Cut: pool.Networks(prefixes(parents)), Wanted: wanted}
		if change != nil {
			change(&n)
		}
		return n.Judge()
	}
	holds(t, map[string]judged{
		"free":       {of(100, "10.213.0.0/19", nil), check.Right, "the default range 10.213.0.0/19: 512 networks are free, 0 in use by sandboxes; up to 100 are wanted"},
		"too few":    {of(5, "10.0.0.0/26", nil), check.Note, "4 networks are free and 0 in use by sandboxes, but up to 5"},
		"own":        {of(4, "10.0.0.0/26", func(n *check.Networks) { n.Own = prefixes("10.0.0.0/28") }), check.Right, "3 networks are free, 1 in use"},
		"others'":    {of(3, "10.0.0.0/26", func(n *check.Networks) { n.Others = prefixes("10.0.0.0/30", "10.9.0.0/16") }), check.Right, "3 networks are free, 0 in use by sandboxes; up to 3 are wanted; other networks of the engine use 10.0.0.0/30"},
		"many":       {of(1, "10.0.0.0/24", func(n *check.Networks) { n.Others = pool.Networks(prefixes("10.0.0.0/25")) }), check.Right, "10.0.0.32/28 and 5 more"},
		"full":       {of(3, "10.0.0.0/26", func(n *check.Networks) { n.Configured, n.Others = true, prefixes("10.0.0.0/16") }), check.Wrong, "DockerNetworkSubnet 10.0.0.0/26 has no network left"},
		"full of us": {of(5, "10.0.0.0/28", func(n *check.Networks) { n.Own = prefixes("10.0.0.0/28") }), check.Note, "0 networks are free and 1 in use"},
		"route":      {of(3, "10.0.0.0/26", func(n *check.Networks) { n.Routes = prefixes("192.168.0.0/16", "10.0.0.0/8") }), check.Wrong, "the routes to 10.0.0.0/8"},
		"no parents": {check.Networks{Wanted: 50}.Judge(), check.Note, "up to 50 sandboxes"},
	})
}

// proc is a kernel that suffices, with some files changed.
func proc(change map[string]string) fstest.MapFS {
	root := fstest.MapFS{}
	files := map[string]string{"proc/filesystems": "nodev\tproc\nnodev\toverlay\n", "proc/sys/kernel/osrelease": "6.1\n", "proc/sys/kernel/pid_max": "4194304\n",
		"proc/sys/kernel/threads-max": "1000000\n", "proc/sys/kernel/keys/root_maxkeys": "1000000\n", "proc/sys/kernel/keys/root_maxbytes": "25000000\n", "proc/sys/fs/inotify/max_user_instances": "8192\n"}
	for _, ns := range []string{"cgroup", "ipc", "mnt", "net", "pid", "uts"} {
		files["proc/self/ns/"+ns] = ""
	}
	for path, text := range change {
		files[path] = text
	}
	for path, text := range files {
		if text != "gone" {
			root["proc/"+strings.TrimPrefix(path, "proc/")] = &fstest.MapFile{Data: []byte(text)}
		}
	}
	return root
}

func TestKernel(t *testing.T) {
	load := check.Load{Sandboxes: 120, CgroupVersion: "2", OpenFiles: 65536}
	for name, c := range map[string]struct {
		change  map[string]string
		load    check.Load
		line    string
		verdict check.Verdict
		found   string
	}{
		"features":      {nil, load, "kernel", check.Right, "6.1 has overlay"},
		"no overlay":    {map[string]string{"proc/filesystems": "nodev\toverlayfs2\n"}, load, "kernel", check.Wrong, "no overlay file system"},
		"no proc":       {map[string]string{"proc/filesystems": "gone"}, load, "kernel", check.Wrong, "cannot be read"},
		"no namespaces": {map[string]string{"proc/self/ns/net": "gone", "proc/self/ns/uts": "gone"}, load, "kernel", check.Wrong, "net, uts"},
		"inotify":       {map[string]string{"proc/sys/fs/inotify/max_user_instances": "128"}, load, "inotify", check.Note, "fs.inotify.max_user_instances is 128; up to 120 sandboxes may need 368"},
		"inotify in v1": {map[string]string{"proc/sys/fs/inotify/max_user_instances": "128"}, check.Load{Sandboxes: 120, CgroupVersion: "1"}, "inotify", check.Right, "128"},
		"pids":          {map[string]string{"proc/sys/kernel/pid_max": "4096"}, load, "process ids", check.Note, "kernel.pid_max is 4096"},
		"keys":          {map[string]string{"proc/sys/kernel/keys/root_maxkeys": "200"}, load, "keyrings", check.Note, "may need 1300"},
		"unknown":       {map[string]string{"proc/sys/kernel/threads-max": "gone"}, load, "threads", check.Note, "not known"},
		"files":         {nil, check.Load{Sandboxes: 120, OpenFiles: 1024}, "open files", check.Note, "may open 1024 files; 120 sandboxes may take 2224"},
		"enough files":  {nil, load, "open files", check.Right, "65536"},
	} {
		found := false
		for _, l := range check.Kernel(proc(c.change), c.load) {
			if l.Name == c.line {
				found = true
				if l.Verdict != c.verdict || !strings.Contains(l.Found, c.found) {
					t.Errorf("%s: %s, %q; want %s with %q", name, l.Verdict, l.Found, c.verdict, c.found)
				}
			}
		}
		if !found {
			t.Errorf("%s: there is no line %q", name, c.line)
		}
	}
}

func TestDisk(t *testing.T) {
	of := func(free, inodes uint64) check.Line {
		return check.Disk("disk", "data", "/d", check.Space{Bytes: 100 << 30, FreeBytes: free, Inodes: 1000, FreeInodes: inodes}, nil)
	}
	holds(t, map[string]judged{
		"free":          {of(50<<30, 500), check.Right, "/d, data: 50GiB free of 100GiB, 500 inodes free of 1000"},
		"little":        {of(5<<30, 500), check.Note, "that is little"},
		"full":          {of(1<<29, 500), check.Wrong, "pods would fail"},
		"few inodes":    {of(50<<30, 40), check.Note, "40 inodes"},
		"no inodes":     {of(50<<30, 3), check.Wrong, "3 inodes"},
		"none to count": {check.Disk("disk", "data", "/d", check.Space{Bytes: 100 << 30, FreeBytes: 50 << 30}, nil), check.Right, "50GiB"},
		"away":          {check.Disk("disk", "data", "/d", check.Space{}, errors.New("no such device")), check.Wrong, "no such device"},
	})
	if s, err := check.SpaceAt(filepath.Join(t.TempDir(), "not", "there")); err != nil || s.Bytes == 0 || s.FreeBytes > s.Bytes {
		t.Errorf("SpaceAt() of a folder to be made = %+v, %v", s, err)
	}
}

func TestFolder(t *testing.T) {
	private, open := t.TempDir(), t.TempDir()
	file := filepath.Join(private, "file")
	if err := errors.Join(os.Chmod(private, 0o700), os.Chmod(open, 0o755), os.WriteFile(file, nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	running := check.Running{Described: "v1 runs"}
	holds(t, map[string]judged{
		"free":       {check.Folder(private, check.Running{}, ""), check.Right, "private, nobody uses it"},
		"ours":       {check.Folder(private, running, "process 7 docker-sd"), check.Right, "in use by the docker-sd that runs"},
		"locked":     {check.Folder(private, check.Running{}, "process 7 flock"), check.Wrong, "is locked by process 7 flock, and no docker-sd answers"},
		"open":       {check.Folder(open, check.Running{}, ""), check.Note, "mode 0755"},
		"to be made": {check.Folder(filepath.Join(private, "a", "b"), check.Running{}, ""), check.Right, "will be made"},
		"a file":     {check.Folder(file, check.Running{}, ""), check.Wrong, "not a folder"},
		"below one":  {check.Folder(filepath.Join(file, "x"), check.Running{}, ""), check.Wrong, "not a directory"},
	})
	if left, err := os.ReadDir(private); err != nil || len(left) != 1 {
		t.Errorf("the check left %v (%v) behind", left, err)
	}
	holds(t, map[string]judged{
		"none":     {check.Daemon(check.Running{}), check.Right, "none runs"},
		"well":     {check.Daemon(running), check.Right, "v1 runs"},
		"troubled": {check.Daemon(check.Running{Described: "v1 runs", Troubles: []string{"no engine"}}), check.Wrong, "cannot take pods: no engine"},
	})
}

// The kernel's own list of locks tells who has one, and nobody is kept from it.
func TestHolder(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	if got := check.Holder(os.DirFS("/proc"), path); got != "" {
		t.Errorf("Holder() of no file = %q", got)
	}
	lock, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Close()
	if got := check.Holder(os.DirFS("/proc"), path); got != "" {
		t.Errorf("Holder() without a lock = %q", got)
	}
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	if got, want := check.Holder(os.DirFS("/proc"), path), fmt.Sprintf("process %d check.test", os.Getpid()); got != want {
		t.Errorf("Holder() = %q, want %q", got, want)
	}
}

func TestPort(t *testing.T) {
	fails := func(err error) func(string, string) error { return func(string, string) error { return err } }
	refused, taken := fails(syscall.ECONNREFUSED), fails(nil)
	port := check.Port{Name: "port", Network: "tcp", Address: "h:1", Taken: check.Note}
	served, wide, unsafe := port, port, port
	served.Served, wide.Wide, unsafe.Wide = true, check.WideCalls(true, false, false), check.WideCalls(false, true, false)
	holds(t, map[string]judged{
		"free":          {port.Judge(refused, fails(nil)), check.Right, "h:1 is free"},
		"ours":          {served.Judge(taken, fails(syscall.EADDRINUSE)), check.Right, "answered by the docker-sd that runs"},
		"taken":         {port.Judge(taken, fails(nil)), check.Note, "another process listens on h:1"},
		"not ours":      {port.Judge(fails(syscall.EACCES), fails(nil)), check.Wrong, "belongs to another user"},
		"cannot listen": {port.Judge(refused, fails(syscall.EADDRNOTAVAIL)), check.Wrong, "cannot listen on h:1"},
		"plain":         {wide.Judge(refused, fails(nil)), check.Note, "h:1 is free; it is wider than loopback without TLS"},
		"anybody":       {unsafe.Judge(refused, fails(nil)), check.Wrong, "whoever reaches this address can run containers"},
	})
	if l := check.WideCalls(true, true, false); l.Verdict != "" {
		t.Errorf("a token and TLS are not enough: %+v", l)
	}
	for address, want := range map[string]bool{"127.0.0.1:1": false, "[::1]:1": false, "localhost:1": false, "0.0.0.0:1": true, "10.1.1.1:1": true, "node.example:1": true} {
		if got := check.IsWide("tcp", address); got != want {
			t.Errorf("IsWide(%s) = %t", address, got)
		}
	}
	if check.IsWide("unix", "/s") {
		t.Error("a socket is wide")
	}
}

func TestHostPath(t *testing.T) {
	holds(t, map[string]judged{
		"there":      {check.HostPath(t.TempDir(), "HostPathPrefixes", true), check.Right, "is there"},
		"not shared": {check.HostPath(t.TempDir(), "HostPathPrefixes", false), check.Note, "later does not show"},
		"missing":    {check.HostPath("/not/there", "HostPathPrefixes", true), check.Note, "are refused"},
	})
}

func TestGPUs(t *testing.T) {
	devices := []gpu.Device{{Name: "H100"}, {Name: "A2"}, {Name: "H100"}}
	drivers := []gpu.Driver{{Vendor: "nvidia.com", Version: "550", CUDA: "12.4"}}
	holds(t, map[string]judged{
		"right":     {check.GPUs(gpu.Inventory{Devices: devices, Drivers: drivers}, nil), check.Right, "nvidia.com driver 550, CUDA 12.4: 2 x H100, 1 x A2"},
		"left out":  {check.GPUs(gpu.Inventory{Devices: devices, Skipped: []string{"GPU 3 is lost"}}, nil), check.Note, "GPU 3 is lost"},
		"none":      {check.GPUs(gpu.Inventory{Drivers: drivers}, nil), check.Wrong, "there are none"},
		"no driver": {check.GPUs(gpu.Inventory{}, gpu.ErrNoDriver), check.Wrong, "does not answer"},
		"ways":      {check.Ways([]check.Way{{Name: "devices", Err: errors.New("no file")}, {Name: "cdi"}, {Name: "nvidia-runtime"}}), check.Right, "by cdi; nvidia-runtime would work too"},
		"no way":    {check.Ways([]check.Way{{Name: "devices", Err: errors.New("no file")}}), check.Wrong, "devices: no file"},
	})
}

func TestBooted(t *testing.T) {
	holds(t, map[string]judged{
		"quick":  {check.Booted(check.Times{Network: 40, Create: 20, Start: 200, Ready: 300, Run: 90, Remove: 150}, nil), check.Right, "engine ready 300 ms, container run 90 ms, remove 150 ms"},
		"slow":   {check.Booted(check.Times{Ready: 6000}, nil), check.Note, "took 6s to boot"},
		"failed": {check.Booted(check.Times{}, errors.New("no\nnetwork")), check.Wrong, "no network"},
	})
}

func TestReport(t *testing.T) {
	r := check.Report{}
	r.Add(check.Booted(check.Times{}, nil), check.LiveRestore(engine.Info{}))
	if !r.Right || r.Count(check.Note) != 1 {
		t.Errorf("a note makes %+v", r)
	}
	r.Add(check.Booted(check.Times{}, errors.New("x")))
	if r.Right || r.Count(check.Wrong) != 1 {
		t.Errorf("what is wrong makes %+v", r)
	}
}

// Two checks do not get into each other's way, and a folder that was there stays.
func TestOwnFolder(t *testing.T) {
	root := filepath.Join(t.TempDir(), "a", "b")
	dir, remove, err := check.OwnFolder(root)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("the folder is %v (%v)", info, err)
	}
	if _, _, err := check.OwnFolder(root); err == nil || !strings.Contains(err.Error(), "another check runs") {
		t.Errorf("a second check = %v", err)
	}
	if err := remove(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Dir(root)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a folder that was made for the check is left: %v", err)
	}
	if err := os.MkdirAll(filepath.Join(root, "check"), 0o700); err != nil { // left by one that was killed
		t.Fatal(err)
	}
	if _, remove, err = check.OwnFolder(root); err != nil {
		t.Fatal(err)
	}
	if err := remove(); err != nil {
		t.Fatal(err)
	}
	if left, err := os.ReadDir(root); err != nil || len(left) != 0 {
		t.Errorf("DataRootFolder holds %v (%v)", left, err)
	}
}
