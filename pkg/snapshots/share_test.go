package snapshots_test

import (
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/engine"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/images"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/snapshots"
)

// TestShare: where containerd cannot be used, images are imported, and the sentence says why.
func TestShare(t *testing.T) {
	c, dir := startContainerd(t), t.TempDir()
	host := engine.Info{StorageDriver: "overlayfs", ContainerdImages: true, Containerd: engine.Containerd{Address: c.socket, Namespace: namespace}}
	plain := filepath.Join(dir, "plain")
	if err := os.WriteFile(plain, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	dead := filepath.Join(filepath.Dir(c.socket), "dead")
	listener, err := net.ListenUnix("unix", &net.UnixAddr{Name: dead, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	listener.SetUnlinkOnClose(false)
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		edit   func(*engine.Info)
		shared bool
		why    string
	}{
		"shared":         {func(*engine.Info) {}, true, "from containerd's store"},
		"scheme":         {func(i *engine.Info) { i.Containerd.Address = "unix://" + c.socket }, true, "from containerd's store"},
		"no address":     {func(i *engine.Info) { i.Containerd = engine.Containerd{} }, false, "does not say where its containerd is"},
		"no socket":      {func(i *engine.Info) { i.Containerd.Address = dir + "/none" }, false, "is not here"},
		"no such socket": {func(i *engine.Info) { i.Containerd.Address = plain }, false, "is no socket"},
		"snapshotter":    {func(i *engine.Info) { i.StorageDriver = "native" }, false, `"native" cannot be shared`},
		"nobody listens": {func(i *engine.Info) { i.Containerd.Address = dead }, false, "connection refused"},
		"namespace":      {func(i *engine.Info) { i.Containerd.Namespace = "x" }, false, "the namespace is"},
	} {
		info := host
		test.edit(&info)
		wanted := images.Layers("auto", info)
		if !wanted.Library || !wanted.Snapshots {
			t.Fatalf("%s: %+v", name, wanted)
		}
		sharing, store := snapshots.Share(t.Context(), wanted, info, "sd", filepath.Join(dir, "d"))
		looked := snapshots.Look(t.Context(), wanted, info)
		for _, got := range []images.Sharing{sharing, looked} {
			if (got.Root != "") != test.shared || got.Library == test.shared || !strings.Contains(got.Why, test.why) {
				t.Errorf("%s: %+v", name, got)
			}
		}
		if (store != nil) != test.shared {
			t.Errorf("%s: store %v", name, store)
		}
		if store != nil {
			if sharing.Layers != c.root+"/snapshots" || sharing.Root != filepath.Join(dir, "d") {
				t.Errorf("%s: %+v", name, sharing)
			}
			if err := store.Close(); err != nil {
				t.Error(err)
			}
		}
	}
	for _, mode := range []images.Mode{images.ModeCopy, images.ModePull} {
		if got, store := snapshots.Share(t.Context(), images.Layers(mode, host), host, "sd", dir); store != nil || got.Root != "" {
			t.Errorf("%s: %+v", mode, got)
		}
	}
}

// TestShareWithoutRoot: the socket is root's, and another user is told so.
func TestShareWithoutRoot(t *testing.T) {
	dir, err := os.MkdirTemp("/tmp", "sn")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	socket := filepath.Join(dir, "c")
	listener, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	if err := errors.Join(os.Chmod(dir, 0o755), os.Chmod(socket, 0)); err != nil {
		t.Fatal(err)
	}
	info := engine.Info{StorageDriver: "overlayfs", ContainerdImages: true, Containerd: engine.Containerd{Address: socket, Namespace: namespace}}
	result := make(chan images.Sharing)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with the goroutine
		if os.Geteuid() == 0 {
			if _, _, no := unix.RawSyscall(unix.SYS_SETRESUID, 65534, 65534, 65534); no != 0 {
				t.Error(no)
			}
		}
		result <- snapshots.Look(t.Context(), images.Layers("auto", info), info)
	}()
	if got := <-result; got.Root != "" || !got.Library || !strings.Contains(got.Why, "which is root's") {
		t.Errorf("%+v", got)
	}
}

// TestShareWithSlowContainerd: on a busy host containerd may take long to say hello.
func TestShareWithSlowContainerd(t *testing.T) {
	c := startContainerd(t)
	slow := filepath.Join(filepath.Dir(c.socket), "slow")
	listener, err := net.Listen("unix", slow)
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	var passing sync.WaitGroup
	defer passing.Wait()
	passing.Go(func() {
		in, err := listener.Accept()
		if err != nil {
			t.Error(err)
			return
		}
		defer in.Close()
		time.Sleep(500 * time.Millisecond) // the delay that is tested
		out, err := net.Dial("unix", c.socket)
		if err != nil {
			t.Error(err)
			return
		}
		defer out.Close()
		passing.Go(func() { _, _ = io.Copy(out, in); _ = out.Close() })
		_, _ = io.Copy(in, out)
	})
	info := engine.Info{StorageDriver: "overlayfs", ContainerdImages: true, Containerd: engine.Containerd{Address: slow, Namespace: namespace}}
	if got := snapshots.Look(t.Context(), images.Layers("auto", info), info); got.Root == "" {
		t.Error(got.Why)
	}
}
