package volumes_test

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/containerd/errdefs"
	"github.com/google/go-cmp/cmp"
	v1 "k8s.io/api/core/v1"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/initapi"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/volumes"
)

// identities of a folder and of those above it, the topmost first.
func identities(t *testing.T, dir string) []initapi.Identity {
	t.Helper()
	info, err := os.Stat(dir)
	if err != nil {
		t.Fatal(err)
	}
	stat := info.Sys().(*syscall.Stat_t)
	own := initapi.Identity{Device: stat.Dev, Inode: stat.Ino}
	if dir == "/" {
		return []initapi.Identity{own}
	}
	return append(identities(t, filepath.Dir(dir)), own)
}

func claimVolume(name, claim string) v1.Volume {
	return volume(name, v1.VolumeSource{PersistentVolumeClaim: &v1.PersistentVolumeClaimVolumeSource{ClaimName: claim}})
}

// TestHostPathSources: what the sandbox's init is asked to check and to pin.
func TestHostPathSources(t *testing.T) {
	base := t.TempDir()
	data, target := mkdir(t, base, "data"), mkdir(t, base, "real")
	mkdir(t, base, "a/b")
	link := filepath.Join(base, "link")
	symlink(t, "real", link)
	under := func(names ...string) []initapi.Root {
		var out []initapi.Root
		for _, name := range names {
			root := initapi.Root{Path: filepath.Join(base, name)}
			if name == "link" {
				root.Names = []string{target}
			}
			out = append(out, root)
		}
		return out
	}
	private := identities(t, data)
	for name, c := range map[string]struct {
		path string
		kind v1.HostPathType
		want initapi.Source
	}{
		"a prefix itself":       {"a", "", initapi.Source{Roots: under("a", "link", "a/b"), Path: "."}},
		"below a prefix":        {"a/x/y", v1.HostPathFileOrCreate, initapi.Source{Roots: under("a", "link", "a/b"), Path: "x/y", Type: "FileOrCreate"}},
		"the longest prefix":    {"a/b/x", v1.HostPathSocket, initapi.Source{Roots: under("a/b", "link", "a"), Path: "x", Type: "Socket"}},
		"not by a name's start": {"a/bc", v1.HostPathDirectory, initapi.Source{Roots: under("a", "link", "a/b"), Path: "bc", Type: "Directory"}},
		"a prefix that is a link": {"link/d", v1.HostPathDirectoryOrCreate,
			initapi.Source{Roots: under("link", "a/b", "a"), Path: "d", Type: "DirectoryOrCreate"}},
	} {
		t.Run(name, func(t *testing.T) {
			pod := podWith(hostPathVolume("h", filepath.Join(base, c.path), c.kind))
			mount := &pod.Spec.Containers[0].VolumeMounts[0]
			// The order of the configuration does not matter.
			policy := volumes.Policy{HostPathPrefixes: []string{filepath.Join(base, "a"), link + "/", filepath.Join(base, "a/b")}, Private: data}
			set := prepare(t, podFolder(t), pod, volumes.Data{}, policy)
			c.want.Private = private
			checks, err := set.Checks()
			if err != nil {
				t.Fatal(err)
			}
			title := `spec.volumes[0] h (hostPath): path "` + filepath.Join(base, c.path) + `"`
			if diff := cmp.Diff([]volumes.Check{{Volume: title, Source: c.want}}, checks); diff != "" {
				t.Errorf("Checks() (-want +got):\n%s", diff)
			}
			for _, sub := range []string{"", "s/u"} {
				mount.SubPath, c.want.SubPath = sub, sub
				mounts, err := set.Mounts(&pod.Spec.Containers[0], noExpand)
				if err != nil || mounts[0].Source != "" {
					t.Fatalf("Mounts() = %+v, %v, want one that the init opens", mounts, err)
				}
				if diff := cmp.Diff(&c.want, mounts[0].Open); diff != "" {
					t.Errorf("Mounts() with subPath %q (-want +got):\n%s", sub, diff)
				}
			}
		})
	}
}

// TestHostPathPrivateFolder: without a Policy.Private it is the one that holds the
// pods' folders, by its place without links.
func TestHostPathPrivateFolder(t *testing.T) {
	base := t.TempDir()
	mkdir(t, base, "real/pods")
	symlink(t, "real", filepath.Join(base, "link"))
	set := prepare(t, filepath.Join(base, "link/pods/ns-u-1"), podWith(hostPathVolume("h", "/allowed", "")), volumes.Data{},
		volumes.Policy{HostPathPrefixes: []string{"/allowed"}})
	checks, err := set.Checks()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(identities(t, filepath.Join(base, "real/pods")), checks[0].Source.Private); diff != "" {
		t.Errorf("private folders (-want +got):\n%s", diff)
	}
}

// TestHostPathPrefixInPrivateFolder: a walk from there does not come past the private
// folder, by which the init would know it.
func TestHostPathPrefixInPrivateFolder(t *testing.T) {
	base := t.TempDir()
	data, other := mkdir(t, base, "data"), mkdir(t, base, "other")
	inside := mkdir(t, data, "pods/secrets")
	link := filepath.Join(base, "link")
	symlink(t, "data/pods", link)
	for name, c := range map[string]struct {
		path    string
		refused bool
	}{
		"in it":            {inside + "/x", true},
		"it":               {data, true},
		"in it, by a link": {link + "/secrets", true},
		"beside it":        {other + "/x", false},
	} {
		t.Run(name, func(t *testing.T) {
			pod := podWith(hostPathVolume("h", c.path, v1.HostPathDirectory))
			policy := volumes.Policy{HostPathPrefixes: []string{data, inside, link, other}, Private: data}
			set := prepare(t, podFolder(t), pod, volumes.Data{}, policy)
			checks, err := set.Checks()
			if c.refused {
				if !errdefs.IsInvalidArgument(err) || !strings.Contains(err.Error(), "data on pods") ||
					!strings.Contains(err.Error(), `spec.volumes[0] h (hostPath): `) {
					t.Errorf("Checks() = %+v, %v, want a refusal that names the volume", checks, err)
				}
				if mounts, err := set.Mounts(&pod.Spec.Containers[0], noExpand); !errdefs.IsInvalidArgument(err) {
					t.Errorf("Mounts() = %+v, %v, want a refusal", mounts, err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff([]initapi.Root{{Path: other}}, checks[0].Source.Roots); diff != "" {
				t.Errorf("roots (-want +got):\n%s", diff)
			}
		})
	}
}

// TestClaimSources: a claim is the operator's path, which has to be a folder.
func TestClaimSources(t *testing.T) {
	base := t.TempDir()
	target := mkdir(t, base, "real")
	link := filepath.Join(base, "link")
	symlink(t, "real", link)
	pod := podWith(claimVolume("c", "named"), claimVolume("d", "other"), emptyDir("e"))
	c := &pod.Spec.Containers[0]
	c.VolumeMounts[1].SubPath = "s"
	set := prepare(t, podFolder(t), pod, volumes.Data{},
		volumes.Policy{Claims: map[string]string{"ns/named": link + "/", "named": "/wrong"}, ClaimFallback: filepath.Join(base, "none")})
	want := []initapi.Source{
		{Roots: []initapi.Root{{Path: link, Names: []string{target}}}, Type: "Directory"},
		{Roots: []initapi.Root{{Path: filepath.Join(base, "none")}}, Type: "Directory"},
	}
	checks, err := set.Checks()
	if err != nil || len(checks) != 2 {
		t.Fatalf("Checks() = %+v, %v, want those of the two claims", checks, err)
	}
	mounts, err := set.Mounts(c, noExpand)
	if err != nil {
		t.Fatal(err)
	}
	for i := range want {
		if diff := cmp.Diff(want[i], checks[i].Source); diff != "" {
			t.Errorf("check of claim %d (-want +got):\n%s", i, diff)
		}
		want[i].SubPath = c.VolumeMounts[i].SubPath
		if diff := cmp.Diff(&want[i], mounts[i].Open); diff != "" {
			t.Errorf("mount of claim %d (-want +got):\n%s", i, diff)
		}
	}
	if _, err := os.Lstat(filepath.Join(base, "none")); !os.IsNotExist(err) {
		t.Errorf("a claim's path was made (%v)", err)
	}
}
