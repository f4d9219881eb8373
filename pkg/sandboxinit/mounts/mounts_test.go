package mounts

import (
	"errors"
	"os"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/initapi"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/inittest"
)

func TestMountTmpfs(t *testing.T) {
	if !inittest.Isolated(t, 0) {
		return
	}
	gid := int64(os.Getgid())
	path := inittest.Folder(t, "/run/pod/empty Dirs/m")
	volume := initapi.Tmpfs{Path: path, SizeBytes: 1 << 20, Mode: 0o2771, GID: &gid}
	for range 2 {
		if err := MountTmpfs(volume); err != nil {
			t.Fatal(err)
		}
		inittest.Put(t, path+"/file", "of the pod") // mounted again it would be gone
	}
	var stat unix.Stat_t
	var size unix.Statfs_t
	if err := errors.Join(unix.Stat(path, &stat), unix.Statfs(path, &size)); err != nil {
		t.Fatal(err)
	}
	if stat.Mode != isDir|0o2771 || int64(stat.Gid) != gid || size.Blocks*uint64(size.Bsize) != 1<<20 {
		t.Errorf("mode %o, group %d, %d bytes", stat.Mode, stat.Gid, size.Blocks*uint64(size.Bsize))
	}
	if got := inittest.MountedAt(t, path); len(got) != 1 {
		t.Errorf("mounted %q", got)
	}
	if err := MountTmpfs(initapi.Tmpfs{Path: "/run/none", Mode: 0o777}); !errors.Is(err, unix.ENOENT) || !strings.Contains(err.Error(), "/run/none") {
		t.Errorf("MountTmpfs() where no folder is = %v", err)
	}
}

// TestMountHugetlbfs: with the size and the pages that were asked for, once.
func TestMountHugetlbfs(t *testing.T) {
	if _, err := os.Stat("/sys/kernel/mm/hugepages/hugepages-2048kB"); err != nil || os.Geteuid() != 0 {
		t.Skip("it needs root, and a kernel with huge pages of 2 MiB:", err)
	}
	if !inittest.Isolated(t, 0) {
		return
	}
	gid, path := int64(7), inittest.Folder(t, "/run/pod/huge")
	volume := initapi.Hugetlbfs{Tmpfs: initapi.Tmpfs{Path: path, SizeBytes: 6 << 20, Mode: 0o2770, GID: &gid}, PageBytes: 2 << 20}
	for range 2 {
		if err := MountHugetlbfs(volume); err != nil {
			t.Fatal(err)
		}
	}
	var stat unix.Stat_t
	var size unix.Statfs_t
	if err := errors.Join(unix.Stat(path, &stat), unix.Statfs(path, &size)); err != nil {
		t.Fatal(err)
	}
	if stat.Mode != isDir|0o2770 || int64(stat.Gid) != gid || size.Bsize != 2<<20 || size.Blocks != 3 {
		t.Errorf("mode %o, group %d, %d pages of %d bytes", stat.Mode, stat.Gid, size.Blocks, size.Bsize)
	}
	if got := inittest.MountedAt(t, path); len(got) != 1 {
		t.Errorf("mounted %q", got)
	}
	volume.Path = "/run/none"
	if err := MountHugetlbfs(volume); !errors.Is(err, unix.ENOENT) || !strings.Contains(err.Error(), "/run/none") {
		t.Errorf("MountHugetlbfs() where no folder is = %v", err)
	}
}

func TestResizeShm(t *testing.T) {
	if !inittest.Isolated(t, 0) {
		return
	}
	inittest.MountMemory(t, "/dev/shm") // not the host's
	if err := ResizeShm(3 << 20); err != nil {
		t.Fatal(err)
	}
	var size unix.Statfs_t
	if err := unix.Statfs("/dev/shm", &size); err != nil || size.Blocks*uint64(size.Bsize) != 3<<20 {
		t.Errorf("/dev/shm has %d bytes, %v", size.Blocks*uint64(size.Bsize), err)
	}
}

// TestPin: a place shows what was opened, whatever is at its name later.
func TestPin(t *testing.T) {
	if !inittest.Isolated(t, 0) {
		return
	}
	volume := inittest.MountMemory(t, "/run/volume")
	inittest.Put(t, volume+"/d/f", "first")
	inittest.Put(t, volume+"/file", "a file")
	inittest.Put(t, "/run/outside/f", "outside")
	request := func(path, sub string) (string, error) {
		return Pin("c/0", initapi.Source{Roots: rootsOf(volume), Path: path, SubPath: sub})
	}
	wantText := func(path, want string) {
		t.Helper()
		if text, err := os.ReadFile(path); string(text) != want {
			t.Errorf("%s holds %q, %v, want %q", path, text, err, want)
		}
	}
	const place = pinsPath + "/c/0"
	before := descriptors(t)
	if got, err := request("d", ""); err != nil || got != place {
		t.Fatalf("Pin() = %q, %v", got, err)
	}
	if err := errors.Join(os.Rename(volume+"/d", volume+"/moved"), os.Symlink("/run/outside", volume+"/d")); err != nil {
		t.Fatal(err)
	}
	wantText(volume+"/d/f", "outside") // by name the attack works
	wantText(place+"/f", "first")
	var known *initapi.Error
	if _, err := request("d", ""); !errors.As(err, &known) || known.Kind != initapi.KindOutside || !strings.Contains(known.Message, "leads outside") {
		t.Errorf("Pin() by the name of a link = %v, want a refusal", err)
	}
	wantText(place+"/f", "first")
	// The same place again: a file, a folder, and a folder.
	for _, c := range []struct{ path, sub, below, want string }{
		{"file", "", "", "a file"}, {"moved", "", "/f", "first"}, {".", "moved/f", "", "first"}, {".", "moved", "/f", "first"},
	} {
		if got, err := request(c.path, c.sub); err != nil || got != place {
			t.Fatalf("pin %s %s: %q, %v", c.path, c.sub, got, err)
		}
		wantText(place+c.below, c.want)
		if got := inittest.MountedAt(t, place); len(got) != 1 {
			t.Errorf("mounted %q", got)
		}
	}
	// Several that lie over each other are let go of at once.
	if err := unix.Mount("tmpfs", place, "tmpfs", 0, ""); err != nil {
		t.Fatal(err)
	}
	if err := release(place); err != nil || len(inittest.MountedAt(t, place)) > 0 {
		t.Errorf("release() = %v, and %q are mounted", err, inittest.MountedAt(t, place))
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
	if !inittest.Isolated(t, 0) {
		return
	}
	volume := inittest.MountMemory(t, "/run/volume")
	inittest.Put(t, inittest.MountMemory(t, volume+"/below")+"/f", "")
	path, err := Pin("c/1", initapi.Source{Roots: rootsOf(volume)})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path + "/below/f"); err != nil {
		t.Error(err)
	}
}

func TestMountedRoots(t *testing.T) {
	if !inittest.Isolated(t, 0) {
		return
	}
	inittest.MountMemory(t, "/run/mounted")
	// A folder of the sandbox's image, as it were.
	image := "/etc"
	if slices.Contains(inittest.MountedAt(t, "/etc"), "/etc") {
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
	err := Check(initapi.Source{Roots: rootsOf(image)})
	var known *initapi.Error
	if !errors.As(err, &known) || known.Kind != initapi.KindMissing {
		t.Errorf("Check() of a folder of the image = %v", err)
	}
	if err := Check(initapi.Source{Roots: rootsOf("/run/mounted"), Path: "new"}); err != nil {
		t.Error(err)
	}
}

func TestPlacePath(t *testing.T) {
	for place, want := range map[string]string{
		"c/0": "/run/docker-sd/pins/c/0", "my-app.x/17": "/run/docker-sd/pins/my-app.x/17",
		"": "", "c": "", "c/": "", "/0": "", "../0": "", "c/..": "", "./0": "", "c/0/1": "", "c//0": "", "/etc/0": "", "c/\x00": "",
	} {
		if got, err := placePath(place); got != want || (err == nil) != (want != "") {
			t.Errorf("placePath(%q) = %q, %v, want %q", place, got, err, want)
		}
	}
}
