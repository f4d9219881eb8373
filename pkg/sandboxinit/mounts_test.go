package sandboxinit

import (
	"encoding/json"
	"errors"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/initapi"
)

// mountMemory mounts a file system in memory at a folder, which it makes.
func mountMemory(t *testing.T, path string) string {
	t.Helper()
	if err := unix.Mount("tmpfs", folder(t, path), "tmpfs", 0, ""); err != nil {
		t.Fatal(err)
	}
	return path
}

// mountedAt lists what is mounted at a path or below it.
func mountedAt(t *testing.T, path string) []string {
	t.Helper()
	points, err := mountPoints()
	if err != nil {
		t.Fatal(err)
	}
	out := []string{}
	for _, m := range points {
		if _, in := below(path, m.path); in {
			out = append(out, m.path)
		}
	}
	return out
}

func TestMountTmpfs(t *testing.T) {
	if !isolated(t, 0) {
		return
	}
	gid := int64(os.Getgid())
	path := folder(t, "/run/pod/empty Dirs/m")
	volume := initapi.Tmpfs{Path: path, SizeBytes: 1 << 20, Mode: 0o2771, GID: &gid}
	for range 2 {
		if err := mountTmpfs(volume); err != nil {
			t.Fatal(err)
		}
		put(t, path+"/file", "of the pod") // mounted again it would be gone
	}
	var stat unix.Stat_t
	var size unix.Statfs_t
	if err := errors.Join(unix.Stat(path, &stat), unix.Statfs(path, &size)); err != nil {
		t.Fatal(err)
	}
	if stat.Mode != isDir|0o2771 || int64(stat.Gid) != gid || size.Blocks*uint64(size.Bsize) != 1<<20 {
		t.Errorf("mode %o, group %d, %d bytes", stat.Mode, stat.Gid, size.Blocks*uint64(size.Bsize))
	}
	if got := mountedAt(t, path); len(got) != 1 {
		t.Errorf("mounted %q", got)
	}
	if err := mountTmpfs(initapi.Tmpfs{Path: "/run/none", Mode: 0o777}); !errors.Is(err, unix.ENOENT) || !strings.Contains(err.Error(), "/run/none") {
		t.Errorf("mountTmpfs() where no folder is = %v", err)
	}
}

func TestResizeShm(t *testing.T) {
	if !isolated(t, 0) {
		return
	}
	mountMemory(t, "/dev/shm") // not the host's
	if err := resizeShm(3 << 20); err != nil {
		t.Fatal(err)
	}
	var size unix.Statfs_t
	if err := unix.Statfs("/dev/shm", &size); err != nil || size.Blocks*uint64(size.Bsize) != 3<<20 {
		t.Errorf("/dev/shm has %d bytes, %v", size.Blocks*uint64(size.Bsize), err)
	}
}

// TestPin: a place shows what was opened, whatever is at its name later.
func TestPin(t *testing.T) {
	if !isolated(t, 0) {
		return
	}
	volume := mountMemory(t, "/run/volume")
	put(t, volume+"/d/f", "first")
	put(t, volume+"/file", "a file")
	put(t, "/run/outside/f", "outside")
	s := &server{}
	request := func(path, sub string) initapi.Answer {
		t.Helper()
		text, err := json.Marshal(initapi.Request{Op: initapi.OpPin, Place: "c/0", Source: &initapi.Source{Roots: rootsOf(volume), Path: path, SubPath: sub}})
		if err != nil {
			t.Fatal(err)
		}
		return ask(t, s, string(text))
	}
	wantText := func(path, want string) {
		t.Helper()
		if text, err := os.ReadFile(path); string(text) != want {
			t.Errorf("%s holds %q, %v, want %q", path, text, err, want)
		}
	}
	const place = pinsPath + "/c/0"
	before := descriptors(t)
	if got := request("d", ""); got.Error != nil || got.Path != place {
		t.Fatalf("pin: %+v", got)
	}
	if err := errors.Join(os.Rename(volume+"/d", volume+"/moved"), os.Symlink("/run/outside", volume+"/d")); err != nil {
		t.Fatal(err)
	}
	wantText(volume+"/d/f", "outside") // by name the attack works
	wantText(place+"/f", "first")
	wantError(t, request("d", ""), initapi.KindOutside, "leads outside")
	wantText(place+"/f", "first")
	// The same place again: a file, a folder, and a folder.
	for _, c := range []struct{ path, sub, below, want string }{
		{"file", "", "", "a file"}, {"moved", "", "/f", "first"}, {".", "moved/f", "", "first"}, {".", "moved", "/f", "first"},
	} {
		if got := request(c.path, c.sub); got.Error != nil || got.Path != place {
			t.Fatalf("pin %s %s: %v", c.path, c.sub, got.Error)
		}
		wantText(place+c.below, c.want)
		if got := mountedAt(t, place); len(got) != 1 {
			t.Errorf("mounted %q", got)
		}
	}
	// Several that lie over each other are let go of at once.
	if err := unix.Mount("tmpfs", place, "tmpfs", 0, ""); err != nil {
		t.Fatal(err)
	}
	if err := release(place); err != nil || len(mountedAt(t, place)) > 0 {
		t.Errorf("release() = %v, and %q are mounted", err, mountedAt(t, place))
	}
	if err := errors.Join(release(place), release(pinsPath+"/none/0")); err != nil {
		t.Errorf("release() of what is not mounted = %v", err)
	}
	if now := descriptors(t); now != before {
		t.Errorf("%d descriptors are left open", now-before)
	}
}

// TestPinTree: what is mounted below a source is seen with it.
func TestPinTree(t *testing.T) {
	if !isolated(t, 0) {
		return
	}
	volume := mountMemory(t, "/run/volume")
	put(t, mountMemory(t, volume+"/below")+"/f", "")
	path, err := pin("c/1", initapi.Source{Roots: rootsOf(volume)})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path + "/below/f"); err != nil {
		t.Error(err)
	}
}

func TestMountedRoots(t *testing.T) {
	if !isolated(t, 0) {
		return
	}
	mountMemory(t, "/run/mounted")
	// A folder of the sandbox's image, as it were.
	image := "/etc"
	if slices.Contains(mountedAt(t, "/etc"), "/etc") {
		image = "/usr"
	}
	for _, c := range []struct {
		roots, want []string
	}{
		{[]string{"/run/mounted"}, []string{"/run/mounted"}},
		{[]string{"/run/mounted/below/it", image, "/run/mounted"}, []string{"/run/mounted/below/it", "/run/mounted"}},
		{[]string{"/run/mounted", "/run/mounted2", "/"}, []string{"/run/mounted", "/run/mounted2"}}, // /run is mounted too
		{[]string{image, "/run/mounted"}, nil},
		{[]string{"/"}, nil},
	} {
		got, err := mountedRoots(rootsOf(c.roots...))
		var names []string
		for _, root := range got {
			names = append(names, root.Path)
		}
		if !slices.Equal(names, c.want) || (err == nil) != (c.want != nil) {
			t.Errorf("mountedRoots(%q) = %q, %v, want %q", c.roots, names, err, c.want)
		}
	}
	err := check(initapi.Source{Roots: rootsOf(image)})
	var known *initapi.Error
	if !errors.As(err, &known) || known.Kind != initapi.KindMissing {
		t.Errorf("check() of a folder of the image = %v", err)
	}
	if err := check(initapi.Source{Roots: rootsOf("/run/mounted"), Path: "new"}); err != nil {
		t.Error(err)
	}
}

// wantSharedBeside: below a path no mount is shared, and beside it all are.
func wantSharedBeside(t *testing.T, store string) {
	t.Helper()
	table, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(table)) {
		path := strings.Fields(line)[4]
		_, private := below(store, path)
		if shared := strings.Contains(line, " shared:"); shared == private && strings.HasPrefix(path, "/run") {
			t.Errorf("%s is shared: %t", path, shared)
		}
	}
}

// TestPrivateStore: the roots of the host's containers that lie below its store are
// unmounted, and those that come and go meanwhile do no harm.
func TestPrivateStore(t *testing.T) {
	if !isolated(t, 0) {
		return
	}
	for _, part := range []string{"", "/image", "/overlay2"} {
		mountMemory(t, initapi.StorePath+part)
	}
	mountMemory(t, initapi.StorePath+"/overlay2/a b/merged")
	mountMemory(t, initapi.StorePath+"/overlay2/a b/merged/proc")
	mountMemory(t, "/run/docker-sd/store2")
	if err := shareMounts(); err != nil {
		t.Fatal(err)
	}
	wantStore := func() {
		t.Helper()
		want := []string{initapi.StorePath, initapi.StorePath + "/image", initapi.StorePath + "/overlay2"}
		if got := mountedAt(t, initapi.StorePath); !slices.Equal(got, want) {
			t.Errorf("mounted are %q, want %q", got, want)
		}
	}
	if err := privateStore(); err != nil {
		t.Fatal(err)
	}
	wantStore()
	if got := mountedAt(t, "/run/docker-sd/store2"); len(got) != 1 {
		t.Error("what lies beside the store was unmounted")
	}
	wantSharedBeside(t, initapi.StorePath)
	var over atomic.Bool
	var running sync.WaitGroup
	merged := folder(t, initapi.StorePath+"/overlay2/b/merged")
	var gone atomic.Int64
	running.Go(func() {
		for !over.Load() {
			if err := unix.Mount("tmpfs", merged, "tmpfs", 0, ""); err != nil {
				t.Error(err)
				return
			}
			if unix.Unmount(merged, unix.MNT_DETACH) == nil {
				gone.Add(1)
			}
		}
	})
	for range 300 {
		if err := privateStore(); err != nil {
			t.Error(err)
			break
		}
	}
	poll(t, "a mount goes by itself", func() bool { return gone.Load() > 0 })
	over.Store(true)
	running.Wait()
	if err := privateStore(); err != nil {
		t.Error(err)
	}
	wantStore()
}

// TestPrivateStoreThatStays: what cannot be unmounted must cost the boot.
func TestPrivateStoreThatStays(t *testing.T) {
	if !isolated(t, 0) {
		return
	}
	merged := mountMemory(t, initapi.StorePath+"/overlay2/a/merged")
	runtime.LockOSThread() // and it is not handed back: its rights are gone
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var none [2]unix.CapUserData
	if err := unix.Capset(&header, &none[0]); err != nil {
		t.Fatal(err)
	}
	if err := privateStore(); !errors.Is(err, unix.EPERM) || !strings.Contains(err.Error(), "part "+merged+" from the host") {
		t.Errorf("privateStore() = %v, want a refusal", err)
	}
}

// TestSockets: they are reached through the sandbox's folder on the host, and not from
// within.
func TestSockets(t *testing.T) {
	if !isolated(t, 0) {
		return
	}
	host := folder(t, "/run/host")
	put(t, host+"/docker.sock", "of the last run")
	folder(t, initapi.FolderPath)
	if err := unix.Mount(host, initapi.FolderPath, "", unix.MS_BIND, ""); err != nil {
		t.Fatal(err)
	}
	sockets, err := openSockets()
	if err != nil {
		t.Fatal(err)
	}
	s := &server{standby: true, started: make(chan bool, 1)}
	go s.serve(sockets.init) // until this process ends
	if state, err := initapi.NewClient(host).Status(t.Context()); err != nil || !state.Standby {
		t.Errorf("Status() = %+v, %v", state, err)
	}
	if got := entries(t, initapi.FolderPath); len(got) > 0 {
		t.Errorf("inside there are %q", got)
	}
	old := unix.NsecToTimespec(1e18)
	if err := unix.UtimesNanoAt(unix.AT_FDCWD, host+"/docker.sock", []unix.Timespec{old, old}, 0); err != nil {
		t.Fatal(err)
	}
	before := info(t, host+"/docker.sock")
	sockets.touch()
	if after := info(t, host+"/docker.sock"); !after.ModTime().After(before.ModTime()) {
		t.Errorf("its time is %s after the engine's start, and was %s", after.ModTime(), before.ModTime())
	}
	for _, name := range []string{"docker.sock", "init.sock"} {
		if got := info(t, filepath.Join(host, name)).Mode(); got != os.ModeSocket|0o660 {
			t.Errorf("%s has mode %s", name, got)
		}
	}
	// The engine gets the very socket that listens.
	listener, err := net.FileListener(sockets.engine)
	if err != nil {
		t.Fatal(err)
	}
	accepted := make(chan error, 1)
	go func() {
		conn, err := listener.Accept()
		if err == nil {
			err = conn.Close()
		}
		accepted <- err
	}()
	if conn, err := net.Dial("unix", host+"/docker.sock"); err != nil {
		t.Error(err)
	} else {
		conn.Close()
	}
	if err := <-accepted; err != nil {
		t.Error(err)
	}
	if err := hideFolder(); err == nil {
		t.Error("a folder that is not mounted was hidden")
	}
}

func info(t *testing.T, path string) os.FileInfo {
	t.Helper()
	out, err := os.Lstat(path)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestSetSysctls(t *testing.T) {
	if !isolated(t, unix.CLONE_NEWNET|unix.CLONE_NEWPID|unix.CLONE_NEWIPC) {
		return
	}
	if err := setSysctls(map[string]string{"net.ipv4.ip_default_ttl": "77", "net/ipv4/conf/lo/rp_filter": "1", "kernel.shmmni": "99"}); err != nil {
		t.Fatal(err)
	}
	for file, want := range map[string]string{"net/ipv4/ip_default_ttl": "77", "net/ipv4/conf/lo/rp_filter": "1", "kernel/shmmni": "99"} {
		if got, err := os.ReadFile("/proc/sys/" + file); strings.TrimSpace(string(got)) != want {
			t.Errorf("%s = %q, %v, want %s", file, got, err, want)
		}
	}
	for name, kind := range map[string]initapi.Kind{
		"net.ipv4.no_such": initapi.KindMissing, "net.ipv4.ip_default_ttl": initapi.KindFailed, "kernel": initapi.KindFailed,
		"": initapi.KindInvalid, ".": initapi.KindInvalid, "/etc/passwd": initapi.KindInvalid, "net/../../1/comm": initapi.KindInvalid,
		"kernel/../../1/comm": initapi.KindInvalid, "a..b": initapi.KindInvalid,
	} {
		err := setSysctls(map[string]string{name: "no number"})
		var known *initapi.Error
		if !errors.As(err, &known) || known.Kind != kind || !strings.Contains(known.Message, "sysctl "+name) {
			t.Errorf("sysctl %q: %v, want one of kind %s that names it", name, err, kind)
		}
	}
	if got := mountedAt(t, procPath); len(got) > 0 {
		t.Errorf("%q are left mounted", got)
	}
}
