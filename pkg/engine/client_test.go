package engine

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	"github.com/google/go-cmp/cmp"
)

func TestConnect(t *testing.T) {
	for name, host := range map[string]string{"no scheme": "localhost:2375", "empty address": "unix://", "unknown": "://"} {
		t.Run(name, func(t *testing.T) {
			if _, err := Connect(host); !errdefs.IsInvalidArgument(err) {
				t.Errorf("Connect(%q) = %v, want ErrInvalidArgument", host, err)
			}
		})
	}
	if c, err := Connect(""); err != nil || c.docker.DaemonHost() != "unix:///var/run/docker.sock" {
		t.Errorf("Connect(\"\") = %v, %v, want the platform's default", c, err)
	}
}

func TestClassify(t *testing.T) {
	live := t.Context()
	canceled, cancel := context.WithCancel(live)
	cancel()
	late, cancelLate := context.WithTimeout(live, 0)
	defer cancelLate()
	refused := &net.OpError{Op: "dial", Net: "unix", Err: syscall.ECONNREFUSED}
	for name, c := range map[string]struct {
		ctx         context.Context
		err         error
		unavailable bool
		is          error
	}{
		"nothing":                    {live, nil, false, nil},
		"the engine says no":         {live, errdefs.ErrConflict, false, errdefs.ErrConflict},
		"nobody listens":             {live, fmt.Errorf("dial: %w", refused), true, syscall.ECONNREFUSED},
		"the call's own bound":       {late, fmt.Errorf("post: %w", context.DeadlineExceeded), true, context.DeadlineExceeded},
		"the caller left":            {canceled, refused, false, context.Canceled},
		"the caller left, no answer": {canceled, errors.New("anything"), false, context.Canceled},
	} {
		t.Run(name, func(t *testing.T) {
			got := classify(c.ctx, c.err)
			if errdefs.IsUnavailable(got) != c.unavailable || !errors.Is(got, c.is) {
				t.Errorf("classify() = %v, want unavailable %v and %v", got, c.unavailable, c.is)
			}
		})
	}
}

func TestNobodyListens(t *testing.T) {
	c, err := Connect("unix://" + filepath.Join(t.TempDir(), "s"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	ctx := t.Context()
	for name, call := range map[string]func() error{
		"ping":    func() error { return c.Ping(ctx) },
		"info":    func() error { _, err := c.Info(ctx); return err },
		"create":  func() error { _, err := c.Create(ctx, Spec{Image: "i"}); return err },
		"start":   func() error { return c.Start(ctx, "x") },
		"stop":    func() error { return c.Stop(ctx, "x", time.Second) },
		"remove":  func() error { return c.Remove(ctx, "x") },
		"rename":  func() error { return c.Rename(ctx, "x", "y") },
		"inspect": func() error { _, err := c.Inspect(ctx, "x"); return err },
		"list":    func() error { _, err := c.List(ctx); return err },
		"wait":    func() error { _, err := c.Wait(ctx, "x"); return err },
		"logs":    func() error { return c.Logs(ctx, "x", LogOptions{}, nil) },
		"exec":    func() error { _, err := c.Exec(ctx, "x", nil, nil); return err },
		"image":   func() error { _, err := c.Image(ctx, "x"); return err },
		"pull":    func() error { return c.Pull(ctx, "x", Credentials{}, nil) },
		"copy":    func() error { _, err := c.CopyImage(ctx, c, "x"); return err },
		"network": func() error { return c.CreateNetwork(ctx, NetworkSpec{Name: "x"}) },
		"no net":  func() error { return c.RemoveNetwork(ctx, "x") },
		"nets":    func() error { _, err := c.ListNetworks(ctx); return err },
		"written": func() error { _, err := c.WrittenBytes(ctx, "x"); return err },
		"events":  func() error { return c.WatchImages(ctx, time.Now(), time.Second, func() {}) },
		"memory":  func() error { _, err := c.RanOutOfMemory(ctx, "x", time.Now(), 0); return err },
	} {
		t.Run(name, func(t *testing.T) {
			if err := call(); !errdefs.IsUnavailable(err) {
				t.Errorf("without an engine: %v, want ErrUnavailable", err)
			}
		})
	}
}

func TestInfo(t *testing.T) {
	c, _ := serve(t, map[string]http.HandlerFunc{"GET /info": says(200, `{"ServerVersion":"28.1","Driver":"overlay2",
		"DockerRootDir":"/var/lib/docker","NCPU":4,"MemTotal":1024,"LiveRestoreEnabled":true,"CgroupVersion":"2","Runtimes":{"runc":{}}}`)})
	got, err := c.Info(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want := Info{Version: "28.1", APIVersion: apiVersion, StorageDriver: "overlay2", RootDir: "/var/lib/docker", CPUs: 4,
		MemoryBytes: 1024, LiveRestore: true, CgroupVersion: "2", Runtimes: []string{"runc"}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("Info() (-want +got):\n%s", diff)
	}
}

// TestInfo_Containerd: engines since 27 say where their containerd is, and which of them have
// their images there.
func TestInfo_Containerd(t *testing.T) {
	const at = `"Containerd":{"Address":"/run/containerd/containerd.sock","Namespaces":{"Containers":"moby","Plugins":"plugins.moby"}}`
	for name, test := range map[string]struct {
		body   string
		where  Containerd
		images bool
	}{
		"its images": {`{"Driver":"overlayfs","DriverStatus":[["driver-type","io.containerd.snapshotter.v1"]],` + at + `}`,
			Containerd{Address: "/run/containerd/containerd.sock", Namespace: "moby"}, true},
		"containers alone": {`{"Driver":"overlay2","DriverStatus":[["Backing Filesystem","extfs"]],` + at + `}`,
			Containerd{Address: "/run/containerd/containerd.sock", Namespace: "moby"}, false},
		"unsaid": {`{"Driver":"overlay2"}`, Containerd{}, false},
	} {
		c, _ := serve(t, map[string]http.HandlerFunc{"GET /info": says(200, test.body)})
		if got, err := c.Info(t.Context()); err != nil || got.Containerd != test.where || got.ContainerdImages != test.images {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
}

func TestPing(t *testing.T) {
	c, fake := serve(t, nil)
	if err := c.Ping(t.Context()); err != nil || len(fake.calls()) > 0 {
		t.Errorf("Ping() = %v after calls %v", err, fake.calls())
	}
}

func TestNetworks(t *testing.T) {
	c, _ := serve(t, map[string]http.HandlerFunc{
		"POST /networks/create": says(201, `{"Id":"n"}`),
		"GET /networks": says(200, `[{"Id":"n","Name":"net","Labels":{"k":"v"},"Created":"2026-01-02T03:04:05Z","IPAM":{"Config":[{"Subnet":"10.0.0.0/28"}]}},
			{"Id":"m","Name":"bare"}]`),
		"DELETE /networks/gone": says(404, `{"message":"network gone not found"}`),
		"DELETE /networks/used": says(403, `{"message":"network used has active endpoints"}`),
	})
	if err := c.CreateNetwork(t.Context(), NetworkSpec{Name: "net", Subnet: "10.0.0.0/28"}); err != nil {
		t.Errorf("CreateNetwork(): %v", err)
	}
	got, err := c.ListNetworks(t.Context(), "k=v")
	want := []Network{{ID: "n", Name: "net", Labels: map[string]string{"k": "v"}, Subnet: "10.0.0.0/28",
		Created: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}, {ID: "m", Name: "bare"}}
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("ListNetworks(): %v (-want +got):\n%s", err, diff)
	}
	if err := c.RemoveNetwork(t.Context(), "gone"); err != nil {
		t.Errorf("RemoveNetwork() of one that is gone: %v", err)
	}
	if err := c.RemoveNetwork(t.Context(), "used"); err == nil {
		t.Error("RemoveNetwork() of one in use succeeded")
	}
}
