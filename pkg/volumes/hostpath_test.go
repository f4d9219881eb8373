package volumes_test

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
	v1 "k8s.io/api/core/v1"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/volumes"
)

func TestHostPathTypes(t *testing.T) {
	allowed := t.TempDir()
	mkdir(t, allowed, "dir")
	write(t, filepath.Join(allowed, "file"), "x")
	listener, err := net.Listen("unix", filepath.Join(allowed, "sock"))
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()

	tests := []struct {
		path string
		kind v1.HostPathType
		want os.FileMode // of the source; 0 is a refusal
	}{
		{"dir", v1.HostPathUnset, os.ModeDir | 0o755},
		{"file", v1.HostPathUnset, 0o600},
		{"made/unset", v1.HostPathUnset, os.ModeDir | 0o755},
		{"dir", v1.HostPathDirectory, os.ModeDir | 0o755},
		{"file", v1.HostPathDirectory, 0},
		{"none", v1.HostPathDirectory, 0},
		{"made/deep/dir", v1.HostPathDirectoryOrCreate, os.ModeDir | 0o755},
		{"file", v1.HostPathDirectoryOrCreate, 0},
		{"file", v1.HostPathFile, 0o600},
		{"dir", v1.HostPathFile, 0},
		{"none", v1.HostPathFile, 0},
		{"made/file", v1.HostPathFileOrCreate, 0o644},
		{"file", v1.HostPathFileOrCreate, 0o600},
		{"dir", v1.HostPathFileOrCreate, 0},
		{"none/file", v1.HostPathFileOrCreate, 0},
		{"sock", v1.HostPathSocket, os.ModeSocket | 0o755},
		{"file", v1.HostPathSocket, 0},
		{"/dev/null", v1.HostPathCharDev, os.ModeDevice | os.ModeCharDevice | 0o666},
		{"file", v1.HostPathCharDev, 0},
		{"/dev/null", v1.HostPathBlockDev, 0},
	}
	for _, tt := range tests {
		t.Run(string(tt.kind)+" "+tt.path, func(t *testing.T) {
			path := tt.path
			if !filepath.IsAbs(path) {
				path = filepath.Join(allowed, path)
			}
			pod := podWith(hostPathVolume("h", path, tt.kind))
			set, err := volumes.Prepare(podFolder(t), pod, volumes.Data{}, volumes.Policy{HostPathPrefixes: []string{"/dev/null", allowed}})
			if tt.want == 0 {
				if !errdefs.IsFailedPrecondition(err) || !strings.Contains(err.Error(), `spec.volumes[0] "h" (hostPath): `) {
					t.Fatalf("got %v, want a failed precondition that names the volume", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			mounts, err := set.Mounts(&pod.Spec.Containers[0], noExpand)
			if err != nil || mounts[0].Source != path {
				t.Fatalf("got %v, %v, want source %s", mounts, err, path)
			}
			info, err := os.Stat(path)
			if err != nil || info.Mode() != tt.want {
				t.Errorf("got %v, %v, want mode %v", info.Mode(), err, tt.want)
			}
		})
	}
}

func TestHostPathLinks(t *testing.T) {
	tests := []struct {
		name  string
		setup func(allowed, outside string)
		path  string
		want  string // "" is a refusal
	}{
		{"escape", func(a, o string) { symlink(t, o, filepath.Join(a, "l")) }, "l", ""},
		{"escape by a parent", func(a, o string) { symlink(t, o, filepath.Join(a, "l")) }, "l/new", ""},
		{"escape by a relative link", func(a, _ string) { symlink(t, "..", filepath.Join(a, "l")) }, "l", ""},
		{"dangling", func(a, o string) { symlink(t, o+"/none", filepath.Join(a, "l")) }, "l/new", ""},
		{"inside", func(a, _ string) { mkdir(t, a, "v1"); symlink(t, a+"/v1", filepath.Join(a, "l")) }, "l/new", "v1/new"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			base := t.TempDir()
			allowed, outside := mkdir(t, base, "allowed"), mkdir(t, base, "outside")
			tt.setup(allowed, outside)
			pod := podWith(hostPathVolume("h", filepath.Join(allowed, tt.path), v1.HostPathDirectoryOrCreate))
			set, err := volumes.Prepare(podFolder(t), pod, volumes.Data{}, volumes.Policy{HostPathPrefixes: []string{allowed}})
			if entries, rerr := os.ReadDir(outside); rerr != nil || len(entries) != 0 {
				t.Errorf("made %v outside (%v)", entries, rerr)
			}
			if tt.want == "" {
				if !errdefs.IsInvalidArgument(err) && !errdefs.IsFailedPrecondition(err) {
					t.Errorf("got %v, want a refusal", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			mounts, err := set.Mounts(&pod.Spec.Containers[0], noExpand)
			if want := filepath.Join(allowed, tt.want); err != nil || mounts[0].Source != want {
				t.Errorf("got %v, %v, want source %s", mounts, err, want)
			}
		})
	}
}

// A prefix that is itself a link keeps its name, because the sandbox knows only
// that.
func TestHostPathPrefixIsLink(t *testing.T) {
	base := t.TempDir()
	mkdir(t, base, "real/d")
	prefix := filepath.Join(base, "prefix")
	symlink(t, "real", prefix)
	pod := podWith(hostPathVolume("h", prefix+"/d", v1.HostPathDirectory))
	pod.Spec.Containers[0].VolumeMounts[0].SubPath = "sub"
	set := prepare(t, podFolder(t), pod, volumes.Data{}, volumes.Policy{HostPathPrefixes: []string{prefix}})
	mounts, err := set.Mounts(&pod.Spec.Containers[0], noExpand)
	if want := filepath.Join(prefix, "d/sub"); err != nil || mounts[0].Source != want {
		t.Errorf("got %v, %v, want source %s", mounts, err, want)
	}
	if info, err := os.Stat(filepath.Join(base, "real/d/sub")); err != nil || !info.IsDir() {
		t.Errorf("the subPath is %v, %v", info, err)
	}
}

// A link that is turned after Prepare is found by Mounts.
func TestHostPathLinkTurned(t *testing.T) {
	base := t.TempDir()
	allowed, outside := mkdir(t, base, "allowed"), mkdir(t, base, "outside")
	pod := podWith(hostPathVolume("h", filepath.Join(allowed, "d"), v1.HostPathDirectoryOrCreate))
	set := prepare(t, podFolder(t), pod, volumes.Data{}, volumes.Policy{HostPathPrefixes: []string{allowed}})
	if err := os.Remove(filepath.Join(allowed, "d")); err != nil {
		t.Fatal(err)
	}
	if _, err := set.Mounts(&pod.Spec.Containers[0], noExpand); !errdefs.IsFailedPrecondition(err) {
		t.Errorf("gone: got %v, want a failed precondition", err)
	}
	symlink(t, outside, filepath.Join(allowed, "d"))
	if mounts, err := set.Mounts(&pod.Spec.Containers[0], noExpand); !errdefs.IsInvalidArgument(err) {
		t.Errorf("turned: got %v, %v, want an invalid argument", mounts, err)
	}
}

func TestHostPathShowsNoPodFolders(t *testing.T) {
	base := t.TempDir()
	root := filepath.Join(base, "data/ns-u-1")
	mkdir(t, base, "data/other/secrets")
	for _, path := range []string{"", "data", "data/other/secrets"} {
		pod := podWith(hostPathVolume("h", filepath.Join(base, path), v1.HostPathDirectory))
		_, err := volumes.Prepare(root, pod, volumes.Data{}, volumes.Policy{HostPathPrefixes: []string{base}})
		if !errdefs.IsInvalidArgument(err) || !strings.Contains(err.Error(), "data on pods") {
			t.Errorf("path %q: got %v, want a refusal", path, err)
		}
	}
}

func TestClaimPathMissing(t *testing.T) {
	pod := podWith(volume("c", v1.VolumeSource{PersistentVolumeClaim: &v1.PersistentVolumeClaimVolumeSource{ClaimName: "d"}}))
	_, err := volumes.Prepare(podFolder(t), pod, volumes.Data{}, volumes.Policy{ClaimFallback: filepath.Join(t.TempDir(), "none")})
	if !errdefs.IsFailedPrecondition(err) {
		t.Errorf("got %v, want a failed precondition", err)
	}
}
