//go:build e2e && containerdstore

package e2e_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/containerd/containerd/api/services/leases/v1"
	"golang.org/x/sys/unix"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	v1 "k8s.io/api/core/v1"
)

// bigFile is the size of the file that makes a copy of an image tell.
const bigFile = 96 << 20

// storeInfo is where the engine has its data and its containerd.
type storeInfo struct {
	DockerRootDir, Driver string
	Containerd            struct {
		Address    string
		Namespaces struct{ Containers string }
	}
}

func containerdStore(t *testing.T) storeInfo {
	t.Helper()
	var info storeInfo
	if err := suite.engine.call(t.Context(), http.MethodGet, "/info", &info); err != nil {
		t.Fatal(err)
	}
	if info.Driver != "overlayfs" {
		t.Fatalf("the engine has the storage driver %q, these tests are for containerd's image store", info.Driver)
	}
	return info
}

// diskUse is how many bytes a folder takes on its own file system.
func diskUse(t *testing.T, dirs ...string) int64 {
	t.Helper()
	var total int64
	for _, dir := range dirs {
		var top unix.Stat_t
		if err := unix.Lstat(dir, &top); err != nil {
			t.Fatal(err)
		}
		err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
			if errors.Is(err, fs.ErrNotExist) {
				return nil // gone meanwhile
			}
			if err != nil {
				return err
			}
			info, err := entry.Info()
			if err != nil {
				return nil // gone meanwhile
			}
			stat := info.Sys().(*syscall.Stat_t)
			if stat.Dev != top.Dev && entry.IsDir() {
				return fs.SkipDir // the root of a container
			}
			if stat.Dev == top.Dev {
				total += stat.Blocks * 512
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return total
}

// holdsOf are the images that the leases of a daemon hold in containerd.
func (d *daemon) holdsOf(t *testing.T) []string {
	t.Helper()
	info := containerdStore(t)
	conn, err := grpc.NewClient("unix:"+info.Containerd.Address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	ctx := metadata.AppendToOutgoingContext(t.Context(), "containerd-namespace", info.Containerd.Namespaces.Containers)
	answer, err := leases.NewLeasesClient(conn).List(ctx, &leases.ListRequest{Filters: []string{`labels."docker-sd.instance"==` + strconv.Quote(d.instance)}})
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, lease := range answer.Leases {
		out = append(out, lease.Labels["docker-sd.hold"])
	}
	slices.Sort(out)
	return out
}

func (d *daemon) waitHolds(t *testing.T, want ...string) {
	t.Helper()
	slices.Sort(want)
	eventually(t, runLimit, fmt.Sprintf("containerd holds %q", want), func() bool { return slices.Equal(d.holdsOf(t), want) },
		func() string { return fmt.Sprint(d.holdsOf(t)) })
}

// processIn is the process of the host that runs in a container of the host's engine, or in
// one inside, with these words in its command line.
func processIn(t *testing.T, id, words string) int {
	t.Helper()
	var top struct {
		Titles    []string
		Processes [][]string
	}
	if err := suite.engine.call(t.Context(), http.MethodGet, "/containers/"+id+"/top?ps_args=-eo%20pid,args", &top); err != nil {
		t.Fatal(err)
	}
	for _, p := range top.Processes {
		if strings.Contains(strings.Join(p[1:], " "), words) {
			pid, err := strconv.Atoi(p[0])
			if err != nil {
				t.Fatal(err)
			}
			return pid
		}
	}
	t.Fatalf("no process with %q in %v", words, top.Processes)
	return 0
}

// TestContainerdLayersAreShared: a pod runs on an image that came a moment ago, and sees what
// its layers say. Nothing of the image is copied. The control is a daemon that copies.
func TestContainerdLayersAreShared(t *testing.T) {
	d := ownDaemon(t, 1, nil)
	d.waitWarm(t, 1)
	copying := ownDaemon(t, 1, map[string]any{"ImageSharing": "copy"})
	copying.waitWarm(t, 1)
	image := loadLayered(t, bigFile)
	script := `ls -A /opaque; cat /opaque/new /changed /noted; test -e /gone || echo no /gone; ls -A / | grep wh; sha256sum /big; exec sleep 86399`
	runs := func(d *daemon) (p *podRun, grown int64) {
		roots := []string{containerdStore(t).DockerRootDir, d.data()}
		before := diskUse(t, roots...)
		c := shell("c", script)
		c.Image = image.ref
		p = d.run(t, newPod(c))
		p.waitRunning()
		p.waitLog("c", "new\nnew\nafter\nnoted\nno /gone\n"+image.sum+"  /big\n")
		return p, diskUse(t, roots...) - before
	}
	p, grown := runs(d)
	if grown > bigFile/2 {
		t.Errorf("the disk has %d MB more after the start of a pod whose image has %d MB", grown>>20, bigFile>>20)
	}
	if _, copied := runs(copying); copied < bigFile {
		t.Errorf("the disk has only %d MB more after a copy of %d MB: the measurement proves nothing", copied>>20, bigFile>>20)
	}
	root := fmt.Sprintf("/proc/%d/root/", processIn(t, p.sandbox().ID, "sleep 86399"))
	for name, want := range map[string]string{"noted": "of the lower layer", "renoted": "of the upper layer"} {
		value := make([]byte, 100)
		n, err := unix.Getxattr(root+name, "user.note", value)
		if err != nil || string(value[:n]) != want {
			t.Errorf("user.note of %s is %q (%v), want %q", name, value[:max(n, 0)], err, want)
		}
	}
}

// TestContainerdLayersAreHeld: containerd keeps the layers of a pod's image while the pod
// lives, over a SIGKILL of docker-sd, although the host drops the image; and no longer. The
// control is an image that no pod uses.
func TestContainerdLayersAreHeld(t *testing.T) {
	d := ownDaemon(t, 1, nil)
	image, unused := loadLayered(t, 1<<20), loadLayered(t, 1<<20)
	c := shell("c", `test -e /vol/again || { touch /vol/again; until test -e /end; do sleep 0.2; done; exit 1; }; sha256sum /big; exec sleep 86398`)
	c.Image = image.ref
	pod := withVolume(newPod(c), emptyDir(), "/vol")
	pod.Spec.RestartPolicy = v1.RestartPolicyAlways
	p := d.run(t, pod)
	p.waitRunning()
	d.waitHolds(t, image.id)
	if err := d.kill(); err != nil {
		t.Fatal(err)
	}
	if got := d.holdsOf(t); !slices.Equal(got, []string{image.id}) {
		t.Errorf("while docker-sd is dead containerd holds %q", got)
	}
	if err := d.start(); err != nil {
		t.Fatal(err)
	}
	// The new docker-sd has looked at its leases when it has made and ended another one.
	other := shell("c", untilStopped)
	q := d.run(t, newPod(other))
	q.waitRunning()
	busybox := imageID(t, suite.images.busybox)
	d.waitHolds(t, image.id, busybox)
	q.delete(0)
	q.waitGone()
	d.waitHolds(t, image.id)
	for _, gone := range []layered{image, unused} {
		if err := suite.engine.call(t.Context(), http.MethodDelete, "/images/"+gone.ref+"?force=1", nil); err != nil {
			t.Fatal(err)
		}
	}
	vanishes(t, unused.big)
	if _, err := os.Stat(image.big); err != nil || suite.engine.hasImage(t, image.ref) {
		t.Errorf("the layers of a running pod: %v", err)
	}
	// It goes on: what it has not read yet is there, and its container starts again.
	root := fmt.Sprintf("/proc/%d/root/", processIn(t, p.sandbox().ID, "test -e /end"))
	if got := sumOfFile(t, root+"big"); got != image.sum {
		t.Errorf("the pod reads a file with the sum %s, want %s", got, image.sum)
	}
	if err := os.WriteFile(root+"end", nil, 0o644); err != nil {
		t.Fatal(err)
	}
	seen := p.waitFor("its container has started again", func(s podStatus) bool {
		return s.Container("c").RestartCount == 1 && s.Container("c").State.Running != nil
	})
	p.waitLog("c", image.sum+"  /big\n")
	if seen.Container("c").RestartCount != 1 {
		t.Errorf("%v", seen)
	}
	p.delete(0)
	p.waitGone()
	d.waitHolds(t)
	vanishes(t, image.big)
}

func vanishes(t *testing.T, path string) {
	t.Helper()
	eventually(t, runLimit, path+" is gone", func() bool { _, err := os.Stat(path); return errors.Is(err, fs.ErrNotExist) }, nil)
}

func imageID(t *testing.T, ref string) string {
	t.Helper()
	var seen struct{ ID string }
	if err := suite.engine.call(t.Context(), http.MethodGet, "/images/"+ref+"/json", &seen); err != nil {
		t.Fatal(err)
	}
	return seen.ID
}

// TestAttackContainerdLayers: a privileged pod that may mount, and the engine's own user of
// its sandbox, write all over a layer that they share. The control writes to the same folder
// through a mount that is writable.
func TestAttackContainerdLayers(t *testing.T) {
	d := ownDaemon(t, 1, map[string]any{"PrivilegedPodsMayMount": true})
	image := loadLayered(t, 1<<20)
	folder := filepath.Dir(image.big)
	before := listing(t, folder)
	c := shell("c", `for mounted in / /big; do mount -o remount,rw $mounted; done; echo x >/big; echo x >/changed; mkdir /m
		grep -c docker-sd/layers /proc/self/mountinfo; mount -t overlay overlay -o lowerdir=/bin:/opaque /m && echo mounted; echo x >/m/riot
		echo tried; exec sleep 86397`)
	c.Image = image.ref
	c.SecurityContext = &v1.SecurityContext{Privileged: ptr(true)}
	p := d.run(t, newPod(c))
	p.waitRunning()
	eventually(t, runLimit, "it has tried", func() bool { return strings.Contains(p.logs("c", logOptions{}), "tried\n") }, p.output)
	if out := p.logs("c", logOptions{}); !strings.Contains(out, "\nmounted\n") && !strings.HasPrefix(out, "mounted\n") {
		t.Errorf("the pod could not mount, so the attack proves little: %s", out)
	}
	number := filepath.Base(filepath.Dir(folder))
	const attack = `cd $layer || exit 1; echo x >riot; echo x >big; rm -rf bin big; touch .; chmod 777 . big; ln -s /x link; echo over`
	out := suite.engine.exec(t, p.sandbox().ID, `layer=/run/docker-sd/layers/`+number+`/fs; `+attack)
	if !strings.Contains(out, "over") || strings.Count(out, "Read-only file system") < 5 {
		t.Errorf("writing in the sandbox said %.800q", out)
	}
	out = suite.engine.exec(t, p.sandbox().ID, `for layer in /var/lib/docker/overlay2/snapshot-*/diff; do (`+attack+`); done`)
	if strings.Contains(out, "can't cd") || !strings.Contains(out, "Read-only file system") {
		t.Errorf("writing by the engine's folders said %.800q", out)
	}
	if after := listing(t, folder); before != after {
		t.Errorf("the layer was changed from\n%s\nto\n%s", before, after)
	}
	id, err := makePlain(t.Context(), map[string]any{"Image": suite.images.busybox, "Cmd": []string{"sh", "-c", "layer=/layer; " + attack},
		"HostConfig": map[string]any{"Binds": []string{folder + ":/layer"}, "NetworkMode": "none"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := suite.engine.removeContainer(context.Background(), id); err != nil {
			t.Error(err)
		}
	})
	suite.engine.post(t, "/containers/"+id+"/start", nil, nil)
	suite.engine.post(t, "/containers/"+id+"/wait", nil, nil)
	if after := listing(t, folder); before == after {
		t.Error("the same attack changes nothing where the folder is writable: it proves nothing")
	}
}

// listing is what can be seen of all files below a folder.
func listing(t *testing.T, dir string) string {
	t.Helper()
	var out strings.Builder
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		sum := ""
		if info.Mode().IsRegular() {
			sum = sumOfFile(t, path)
		}
		fmt.Fprintln(&out, strings.TrimPrefix(path, dir), info.Mode(), info.ModTime().UnixNano(), info.Size(), sum)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out.String()
}
