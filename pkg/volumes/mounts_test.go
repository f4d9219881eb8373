package volumes_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
	"github.com/google/go-cmp/cmp"
	v1 "k8s.io/api/core/v1"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/volumes"
)

func TestMountsOfRecordedPod(t *testing.T) {
	pod, data := loadRecorded(t)
	// The groups and users of the recording are for TestPrepareFSGroup.
	pod.Spec.SecurityContext = nil
	host := t.TempDir()
	for i := range pod.Spec.Volumes {
		if hp := pod.Spec.Volumes[i].HostPath; hp != nil {
			hp.Path = filepath.Join(host, "hp")
		}
	}
	policy := volumes.Policy{HostPathPrefixes: []string{host}}
	warnings, err := volumes.Validate(pod, data, policy)
	if err != nil || len(warnings) != 0 {
		t.Errorf("Validate: got warnings %q and %v, want neither", warnings, err)
	}
	root := podFolder(t)
	set := prepare(t, root, pod, data, policy)

	const ca = `0644 "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"`
	wantFiles := map[string]string{
		"configMaps/cm/a.txt":                       `0440 "alpha\n"`,
		"configMaps/cm/b.conf":                      `0440 "k=v"`,
		"configMaps/cm/raw.bin":                     `0440 "\x00\x01\x02\x03\x04\xff"`,
		"configMaps/cmitem/path/a":                  `0400 "alpha\n"`,
		"secrets/sec/pass":                          `0400 "p$w'\"d with spaces"`,
		"secrets/sec/user":                          `0400 "me"`,
		"projected/down/labels":                     `0644 "app=\"x\"\ntier=\"1\"\n"`,
		"projected/down/cpu":                        `0644 "2"`,
		"projected/proj/cfg/a":                      `0644 "alpha\n"`,
		"projected/proj/ns":                         `0644 "default"`,
		"projected/proj/pass":                       `0644 "p$w'\"d with spaces"`,
		"projected/proj/token":                      `0644 "service-account-token"`,
		"projected/proj/user":                       `0644 "me"`,
		"projected/kube-api-access-z27qb/ca.crt":    ca,
		"projected/kube-api-access-z27qb/namespace": `0644 "default"`,
		"projected/kube-api-access-z27qb/token":     `0644 "service-account-token"`,
	}
	if diff := cmp.Diff(wantFiles, files(t, root)); diff != "" {
		t.Error(diff)
	}

	got, err := set.Mounts(&pod.Spec.Containers[0], noExpand)
	if err != nil {
		t.Fatal(err)
	}
	in := func(rel string) string { return filepath.Join(root, rel) }
	want := []volumes.Mount{
		{Source: in("emptyDirs/shared"), Target: "/shared"},
		{Source: in("emptyDirs/mem"), Target: "/mem"},
		{Source: in("configMaps/cm"), Target: "/etc/cm", ReadOnly: true},
		{Source: in("configMaps/cmitem/path/a"), Target: "/etc/one/a", ReadOnly: true},
		{Source: in("secrets/sec"), Target: "/etc/sec", ReadOnly: true},
		{Source: in("projected/down"), Target: "/etc/down", ReadOnly: true},
		{Source: in("projected/proj"), Target: "/etc/proj", ReadOnly: true},
		{Source: filepath.Join(host, "hp"), Target: "/host"},
		{Source: in("projected/kube-api-access-z27qb"), Target: "/var/run/secrets/kubernetes.io/serviceaccount", ReadOnly: true},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	wantTmpfs := []volumes.Tmpfs{{Volume: "mem", Path: in("emptyDirs/mem"), SizeBytes: 16 << 20, Mode: 0o777}}
	if diff := cmp.Diff(wantTmpfs, set.Tmpfs()); diff != "" {
		t.Error(diff)
	}
}

func TestMountsPropagationAndReadOnly(t *testing.T) {
	claim := t.TempDir()
	pod := podWith(emptyDir("e"), volume("c", v1.VolumeSource{PersistentVolumeClaim: &v1.PersistentVolumeClaimVolumeSource{ClaimName: "d", ReadOnly: true}}))
	pod.Spec.Containers[0].VolumeMounts = []v1.VolumeMount{
		{Name: "e", MountPath: "/none", MountPropagation: ptr(v1.MountPropagationNone), ReadOnly: true},
		{Name: "e", MountPath: "/slave", MountPropagation: ptr(v1.MountPropagationHostToContainer)},
		{Name: "e", MountPath: "/shared/", MountPropagation: ptr(v1.MountPropagationBidirectional)},
		{Name: "c", MountPath: "/claim"},
		{Name: "c", MountPath: "/claim-slave", MountPropagation: ptr(v1.MountPropagationHostToContainer)},
		{Name: "c", MountPath: "/claim-none", MountPropagation: ptr(v1.MountPropagationNone)},
	}
	pod.Spec.Containers[0].SecurityContext = &v1.SecurityContext{Privileged: ptr(true)}
	root := podFolder(t)
	set := prepare(t, root, pod, volumes.Data{}, volumes.Policy{Claims: map[string]string{"ns/d": claim, "d": "/wrong"}, ClaimFallback: "/wrong"})
	got, err := set.Mounts(&pod.Spec.Containers[0], noExpand)
	if err != nil {
		t.Fatal(err)
	}
	e := filepath.Join(root, "emptyDirs/e")
	want := []volumes.Mount{
		{Source: e, Target: "/none", ReadOnly: true},
		{Source: e, Target: "/slave"},
		{Source: e, Target: "/shared"},
		{Source: claim, Target: "/claim", ReadOnly: true},
		{Source: claim, Target: "/claim-slave", ReadOnly: true, Propagation: "rslave"},
		{Source: claim, Target: "/claim-none", ReadOnly: true, Propagation: "rprivate"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestMountsSubPath(t *testing.T) {
	outside := t.TempDir()
	write(t, filepath.Join(outside, "secret"), "s")
	tests := []struct {
		name    string
		setup   func(volume string)
		subPath string
		want    string // "" is a refusal
	}{
		{"missing folders", func(string) {}, "a/b", "a/b"},
		{"existing file", func(v string) { write(t, filepath.Join(v, "f"), "x") }, "f", "f"},
		{"link inside", func(v string) { mkdir(t, v, "real/sub"); symlink(t, "real", filepath.Join(v, "l")) }, "l/sub", "real/sub"},
		{"link up and down", func(v string) { mkdir(t, v, "a/b"); symlink(t, "../a/b", filepath.Join(v, "a/l")) }, "a/l/new", "a/b/new"},
		{"absolute link inside", func(v string) { mkdir(t, v, "a"); symlink(t, v+"/a", filepath.Join(v, "l")) }, "l", "a"},
		{"link to the volume", func(v string) { symlink(t, ".", filepath.Join(v, "l")) }, "l", ""},
		{"absolute link outside", func(v string) { symlink(t, outside, filepath.Join(v, "l")) }, "l/secret", ""},
		{"relative link outside", func(v string) { symlink(t, "../../..", filepath.Join(v, "l")) }, "l", ""},
		{"dangling link outside", func(v string) { symlink(t, "none/../../x", filepath.Join(v, "l")) }, "l", ""},
		{"loop", func(v string) { symlink(t, "l", filepath.Join(v, "l")) }, "l", ""},
		{"below a file", func(v string) { write(t, filepath.Join(v, "f"), "x") }, "f/x", ""},
		{"expanded", func(string) {}, "$(WORK)/x", "w/x"},
		{"expanded to a backstep", func(string) {}, "$(UP)", ""},
		{"expanded to an absolute path", func(string) {}, "$(ABS)", ""},
		{"not expanded", func(string) {}, "$(NONE)", ""},
	}
	expand := func(s string) (string, error) {
		if strings.Contains(s, "$(NONE)") {
			return "", errors.New("NONE is not set")
		}
		return strings.NewReplacer("$(WORK)", "w", "$(UP)", "a/../..", "$(ABS)", outside).Replace(s), nil
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			pod := podWith(emptyDir("e"))
			m := &pod.Spec.Containers[0].VolumeMounts[0]
			if strings.Contains(tt.subPath, "$") {
				m.SubPathExpr = tt.subPath
			} else {
				m.SubPath = tt.subPath
			}
			root := podFolder(t)
			set := prepare(t, root, pod, volumes.Data{}, volumes.Policy{})
			base := filepath.Join(root, "emptyDirs/e")
			tt.setup(base)
			got, err := set.Mounts(&pod.Spec.Containers[0], expand)
			if tt.name == "link to the volume" {
				tt.want = "."
			}
			if tt.want == "" {
				if err == nil {
					t.Fatalf("got %v, want a refusal", got)
				}
				if strings.Contains(tt.name, "outside") && !errdefs.IsInvalidArgument(err) {
					t.Errorf("got %v, want an invalid argument", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if want := filepath.Join(base, tt.want); got[0].Source != want {
				t.Errorf("got source %s, want %s", got[0].Source, want)
			}
			info, err := os.Lstat(got[0].Source)
			if err != nil || info.Mode()&os.ModeSymlink != 0 {
				t.Errorf("source is %v, %v", info, err)
			}
			if tt.name == "missing folders" && info.Mode().Perm() != 0o777 {
				t.Errorf("got mode %v, want that of the volume", info.Mode())
			}
		})
	}
}

func TestMountsSubPathInMemory(t *testing.T) {
	pod := podWith(volume("m", v1.VolumeSource{EmptyDir: &v1.EmptyDirVolumeSource{Medium: "Memory"}}))
	c := &pod.Spec.Containers[0]
	c.VolumeMounts[0].SubPath = "a"
	root := podFolder(t)
	set := prepare(t, root, pod, volumes.Data{}, volumes.Policy{})
	if _, err := set.Mounts(c, noExpand); !errdefs.IsFailedPrecondition(err) {
		t.Errorf("without a sandbox: got %v, want a failed precondition", err)
	}

	set.SandboxRoot = t.TempDir()
	mem := mkdir(t, set.SandboxRoot, root, "emptyDirs/m")
	got, err := set.Mounts(c, noExpand)
	if err != nil {
		t.Fatal(err)
	}
	if want := filepath.Join(root, "emptyDirs/m/a"); got[0].Source != want {
		t.Errorf("got source %s, want %s", got[0].Source, want)
	}
	if info, err := os.Stat(filepath.Join(mem, "a")); err != nil || !info.IsDir() {
		t.Errorf("the folder in the sandbox is %v, %v", info, err)
	}
	if _, err := os.Stat(got[0].Source); !os.IsNotExist(err) {
		t.Errorf("the folder was made outside the sandbox (%v)", err)
	}
}

func TestMountsOfUnknownVolume(t *testing.T) {
	set := prepare(t, podFolder(t), podWith(), volumes.Data{}, volumes.Policy{})
	_, err := set.Mounts(&v1.Container{Name: "c", VolumeMounts: []v1.VolumeMount{{Name: "x", MountPath: "/x"}}}, noExpand)
	if !errdefs.IsNotFound(err) {
		t.Errorf("got %v, want not found", err)
	}
}
