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

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/initapi"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/volumes"
)

func TestMountsOfRecordedPod(t *testing.T) {
	pod, data := loadRecorded(t)
	// The groups and users of the recording are for TestPrepareFSGroup.
	pod.Spec.SecurityContext = nil
	host := t.TempDir()
	private := t.TempDir()
	for i := range pod.Spec.Volumes {
		if hp := pod.Spec.Volumes[i].HostPath; hp != nil {
			hp.Path = filepath.Join(host, "hp")
		}
	}
	policy := volumes.Policy{HostPathPrefixes: []string{host}, Private: private}
	warnings, err := validate(pod, data, policy)
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
		{Source: in("emptyDirs/shared"), Target: "/shared", Volume: `volume "shared"`},
		{Source: in("emptyDirs/mem"), Target: "/mem", Volume: `volume "mem"`},
		{Source: in("configMaps/cm"), Target: "/etc/cm", ReadOnly: true, Volume: `volume "cm"`},
		{Open: &initapi.Source{Roots: []initapi.Root{{Path: root}}, Path: "configMaps/cmitem", NoCreate: true, SubPath: "path/a"},
			Target: "/etc/one/a", ReadOnly: true, Volume: `volume "cmitem" subPath "path/a"`},
		{Source: in("secrets/sec"), Target: "/etc/sec", ReadOnly: true, Volume: `volume "sec"`},
		{Source: in("projected/down"), Target: "/etc/down", ReadOnly: true, Volume: `volume "down"`},
		{Source: in("projected/proj"), Target: "/etc/proj", ReadOnly: true, Volume: `volume "proj"`},
		{Open: &initapi.Source{Roots: []initapi.Root{{Path: host}}, Path: "hp", Type: "DirectoryOrCreate", Private: identities(t, private)},
			Target: "/host", Volume: `volume "hp" path "` + filepath.Join(host, "hp") + `"`},
		{Source: in("projected/kube-api-access-z27qb"), Target: "/var/run/secrets/kubernetes.io/serviceaccount", ReadOnly: true,
			Volume: `volume "kube-api-access-z27qb"`},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	wantTmpfs := []volumes.Tmpfs{{Volume: "mem", Path: in("emptyDirs/mem"), SizeBytes: 16 << 20, Mode: 0o1777}}
	if diff := cmp.Diff(wantTmpfs, set.Tmpfs()); diff != "" {
		t.Error(diff)
	}
}

func TestMountsPropagationAndReadOnly(t *testing.T) {
	claim := t.TempDir()
	pod := podWith(emptyDir("e"), volume("c", v1.VolumeSource{PersistentVolumeClaim: &v1.PersistentVolumeClaimVolumeSource{ClaimName: "d", ReadOnly: true}}))
	pod.Spec.Containers[0].VolumeMounts = []v1.VolumeMount{
		{Name: "e", MountPath: "/none", MountPropagation: new(v1.MountPropagationNone), ReadOnly: true},
		{Name: "e", MountPath: "/slave", MountPropagation: new(v1.MountPropagationHostToContainer)},
		{Name: "e", MountPath: "/shared/", MountPropagation: new(v1.MountPropagationBidirectional)},
		{Name: "c", MountPath: "/claim"},
		{Name: "c", MountPath: "/claim-slave", MountPropagation: new(v1.MountPropagationHostToContainer)},
		{Name: "c", MountPath: "/claim-none", MountPropagation: new(v1.MountPropagationNone)},
	}
	pod.Spec.Containers[0].SecurityContext = &v1.SecurityContext{Privileged: new(true)}
	root := podFolder(t)
	set := prepare(t, root, pod, volumes.Data{}, volumes.Policy{Claims: map[string]string{"ns/d": claim, "d": "/wrong"}, ClaimFallback: "/wrong"})
	got, err := set.Mounts(&pod.Spec.Containers[0], noExpand)
	if err != nil {
		t.Fatal(err)
	}
	e := filepath.Join(root, "emptyDirs/e")
	open := &initapi.Source{Roots: []initapi.Root{{Path: claim}}, Type: "Directory"}
	title := `volume "c" path "` + claim + `"`
	want := []volumes.Mount{
		{Source: e, Target: "/none", ReadOnly: true, Propagation: "rprivate", Volume: `volume "e"`},
		{Source: e, Target: "/slave", Propagation: "rslave", Volume: `volume "e"`},
		{Source: e, Target: "/shared", Propagation: "rshared", Volume: `volume "e"`},
		{Open: open, Target: "/claim", ReadOnly: true, Volume: title},
		{Open: open, Target: "/claim-slave", ReadOnly: true, Propagation: "rslave", Volume: title},
		{Open: open, Target: "/claim-none", ReadOnly: true, Propagation: "rprivate", Volume: title},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// TestMountsSubPath: what the init is asked to walk. Where that leads is its business.
func TestMountsSubPath(t *testing.T) {
	tests := []struct {
		name, subPath string
		want          string // "" is a refusal
	}{
		{"plain", "a/b", "a/b"},
		{"expanded", "$(WORK)/x", "w/x"},
		{"expanded to nothing", "$(EMPTY)", "."},
		{"a backstep", "a/../..", ""},
		{"an absolute path", "/etc", ""},
		{"expanded to a backstep", "$(UP)", ""},
		{"expanded to an absolute path", "$(ABS)", ""},
		{"not expanded", "$(NONE)", ""},
	}
	expand := func(s string) (string, error) {
		if strings.Contains(s, "$(NONE)") {
			return "", errors.New("NONE is not set")
		}
		return strings.NewReplacer("$(WORK)", "w", "$(UP)", "a/../..", "$(ABS)", "/etc", "$(EMPTY)", "").Replace(s), nil
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			pod := podWith(emptyDir("e"))
			root := podFolder(t)
			set := prepare(t, root, pod, volumes.Data{}, volumes.Policy{})
			// After the preparation, which refuses what it can.
			m := &pod.Spec.Containers[0].VolumeMounts[0]
			if strings.Contains(tt.subPath, "$") {
				m.SubPathExpr = tt.subPath
			} else {
				m.SubPath = tt.subPath
			}
			got, err := set.Mounts(&pod.Spec.Containers[0], expand)
			if tt.want == "" {
				if !errdefs.IsInvalidArgument(err) {
					t.Errorf("got %v, %v, want an invalid argument", got, err)
				}
				return
			}
			want := volumes.Mount{Target: "/v/e", Volume: `volume "e" subPath "` + tt.want + `"`,
				Open: &initapi.Source{Roots: []initapi.Root{{Path: root}}, Path: "emptyDirs/e", NoCreate: true, SubPath: tt.want}}
			if tt.want == "." {
				want = volumes.Mount{Target: "/v/e", Volume: `volume "e"`, Source: filepath.Join(root, "emptyDirs/e")}
			}
			if diff := cmp.Diff([]volumes.Mount{want}, got); err != nil || diff != "" {
				t.Errorf("got %v (-want +got):\n%s", err, diff)
			}
			if entries, err := os.ReadDir(filepath.Join(root, "emptyDirs/e")); err != nil || len(entries) > 0 {
				t.Errorf("made %v on the host (%v)", entries, err)
			}
		})
	}
}

// TestMountsSubPathInMemory: the volume is mounted inside the sandbox alone, and so is
// walked there as every other.
func TestMountsSubPathInMemory(t *testing.T) {
	pod := podWith(volume("m", v1.VolumeSource{EmptyDir: &v1.EmptyDirVolumeSource{Medium: "Memory"}}))
	c := &pod.Spec.Containers[0]
	c.VolumeMounts[0].SubPath = "a"
	root := podFolder(t)
	set := prepare(t, root, pod, volumes.Data{}, volumes.Policy{})
	got, err := set.Mounts(c, noExpand)
	if err != nil {
		t.Fatal(err)
	}
	want := &initapi.Source{Roots: []initapi.Root{{Path: root}}, Path: "emptyDirs/m", NoCreate: true, SubPath: "a"}
	if diff := cmp.Diff(want, got[0].Open); diff != "" {
		t.Error(diff)
	}
	if _, err := os.Stat(filepath.Join(root, "emptyDirs/m/a")); !os.IsNotExist(err) {
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
