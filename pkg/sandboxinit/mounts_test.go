package sandboxinit

import (
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
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/inittest"
)

// wantSharedBeside: below a path no mount is shared, and beside it all are.
func wantSharedBeside(t *testing.T, store string) {
	t.Helper()
	table, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(table)) {
		path := strings.Fields(line)[4]
		private := path == store || strings.HasPrefix(path, store+"/")
		if shared := strings.Contains(line, " shared:"); shared == private && strings.HasPrefix(path, "/run") {
			t.Errorf("%s is shared: %t", path, shared)
		}
	}
}

// TestPrivateStore: the roots of the host's containers that lie below its store are
// unmounted, and those that come and go meanwhile do no harm.
func TestPrivateStore(t *testing.T) {
	if !inittest.Isolated(t, 0) {
		return
	}
	for _, part := range []string{"", "/image", "/overlay2"} {
		inittest.MountMemory(t, initapi.StorePath+part)
	}
	inittest.MountMemory(t, initapi.StorePath+"/overlay2/a b/merged")
	inittest.MountMemory(t, initapi.StorePath+"/overlay2/a b/merged/proc")
	inittest.MountMemory(t, "/run/docker-sd/store2")
	if err := shareMounts(); err != nil {
		t.Fatal(err)
	}
	wantStore := func() {
		t.Helper()
		want := []string{initapi.StorePath, initapi.StorePath + "/image", initapi.StorePath + "/overlay2"}
		if got := inittest.MountedAt(t, initapi.StorePath); !slices.Equal(got, want) {
			t.Errorf("mounted are %q, want %q", got, want)
		}
	}
	if err := privateStore(); err != nil {
		t.Fatal(err)
	}
	wantStore()
	if got := inittest.MountedAt(t, "/run/docker-sd/store2"); len(got) != 1 {
		t.Error("what lies beside the store was unmounted")
	}
	wantSharedBeside(t, initapi.StorePath)
	var over atomic.Bool
	var running sync.WaitGroup
	merged := inittest.Folder(t, initapi.StorePath+"/overlay2/b/merged")
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
	inittest.Poll(t, "a mount goes by itself", func() bool { return gone.Load() > 0 })
	over.Store(true)
	running.Wait()
	if err := privateStore(); err != nil {
		t.Error(err)
	}
	wantStore()
}

// TestPrivateStoreThatStays: what cannot be unmounted must cost the boot.
func TestPrivateStoreThatStays(t *testing.T) {
	if !inittest.Isolated(t, 0) {
		return
	}
	merged := inittest.MountMemory(t, initapi.StorePath+"/overlay2/a/merged")
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
	if !inittest.Isolated(t, 0) {
		return
	}
	host := inittest.Folder(t, "/run/host")
	inittest.Put(t, host+"/docker.sock", "of the last run")
	inittest.Folder(t, initapi.FolderPath)
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
	if got := inittest.Entries(t, initapi.FolderPath); len(got) > 0 {
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
	if !inittest.Isolated(t, unix.CLONE_NEWNET|unix.CLONE_NEWPID|unix.CLONE_NEWIPC) {
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
	if got := inittest.MountedAt(t, procPath); len(got) > 0 {
		t.Errorf("%q are left mounted", got)
	}
}
