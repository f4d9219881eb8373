package volumes_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/volumes"
)

func TestPreparePayload(t *testing.T) {
	cm := v1.ConfigMap{Data: map[string]string{"a": "text", "b": "two"}, BinaryData: map[string][]byte{"bin": {0, 255}}}
	data := volumes.Data{
		ConfigMaps: map[string]v1.ConfigMap{"cm": cm},
		Secrets:    map[string]v1.Secret{"s": {Data: map[string][]byte{"k": []byte("p$w'\"")}}},
	}
	mode := func(v v1.Volume, m int32) v1.Volume { v.ConfigMap.DefaultMode = &m; return v }
	optional := configMap("v", "cm", v1.KeyToPath{Key: "none", Path: "none"}, v1.KeyToPath{Key: "a", Path: "a"})
	optional.ConfigMap.Optional = new(true)
	tests := []struct {
		name string
		vol  v1.Volume
		want map[string]string
	}{
		{"all keys", configMap("v", "cm"), map[string]string{
			"configMaps/v/a": `0644 "text"`, "configMaps/v/b": `0644 "two"`, "configMaps/v/bin": `0644 "\x00\xff"`}},
		{"items", mode(configMap("v", "cm",
			v1.KeyToPath{Key: "a", Path: "x/y/./a", Mode: new(int32(0o400))}, v1.KeyToPath{Key: "bin", Path: "x/bin"}), 0o440), map[string]string{
			"configMaps/v/x/y/a": `0400 "text"`, "configMaps/v/x/bin": `0440 "\x00\xff"`}},
		{"one path twice", configMap("v", "cm", v1.KeyToPath{Key: "a", Path: "x"}, v1.KeyToPath{Key: "b", Path: "x"}), map[string]string{
			"configMaps/v/x": `0644 "two"`}},
		{"optional key", optional, map[string]string{"configMaps/v/a": `0644 "text"`}},
		{"long key", configMap("v", "cm", v1.KeyToPath{Key: "a", Path: strings.Repeat("n", 255)}), map[string]string{
			"configMaps/v/" + strings.Repeat("n", 255): `0644 "text"`}},
		{"secret", volume("v", v1.VolumeSource{Secret: &v1.SecretVolumeSource{SecretName: "s", DefaultMode: new(int32(0o400))}}), map[string]string{
			"secrets/v/k": `0400 "p$w'\""`}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			root := podFolder(t)
			prepare(t, root, podWith(tt.vol), data, volumes.Policy{})
			if diff := cmp.Diff(tt.want, files(t, root)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestPrepareOptionalObjectIsEmptyDir(t *testing.T) {
	v := configMap("v", "gone")
	v.ConfigMap.Optional = new(true)
	root := podFolder(t)
	prepare(t, root, podWith(v), volumes.Data{}, volumes.Policy{})
	info, err := os.Stat(filepath.Join(root, "configMaps/v"))
	if err != nil || info.Mode() != os.ModeDir|0o755 {
		t.Errorf("got %v and %v, want an empty folder of mode 0755", info, err)
	}
}

func TestPrepareDownward(t *testing.T) {
	field := func(path, field string) v1.DownwardAPIVolumeFile {
		return v1.DownwardAPIVolumeFile{Path: path, FieldRef: &v1.ObjectFieldSelector{FieldPath: field}}
	}
	amount := func(path, name, divisor string) v1.DownwardAPIVolumeFile {
		return v1.DownwardAPIVolumeFile{Path: path, ResourceFieldRef: &v1.ResourceFieldSelector{
			ContainerName: "main", Resource: name, Divisor: resource.MustParse(divisor)}}
	}
	tests := []struct {
		item v1.DownwardAPIVolumeFile
		want string
	}{
		{field("x", "metadata.name"), `"p"`},
		{field("x", "metadata.namespace"), `"ns"`},
		{field("x", "metadata.uid"), `"u-1"`},
		{field("x", "metadata.labels"), `"a=\"1\"\nb=\"x\\\"y\""`},
		{field("x", "metadata.annotations"), `"n/k=\"v\""`},
		{field("x", "metadata.labels['b']"), `"x\"y"`},
		{field("x", "metadata.annotations['n/k']"), `"v"`},
		{field("x", "metadata.annotations['none']"), `""`},
		{amount("x", "limits.cpu", "0"), `"2"`},
		{amount("x", "limits.cpu", "1m"), `"1500"`},
		{amount("x", "requests.cpu", "100m"), `"3"`},
		{amount("x", "limits.memory", "1Mi"), `"128"`},
		{amount("x", "limits.memory", "1Gi"), `"1"`},
		{amount("x", "requests.memory", "0"), `"0"`},
		{amount("x", "limits.ephemeral-storage", "1Ki"), `"8"`},
		{amount("sent", "limits.cpu", "1"), `"from data"`},
	}
	for _, tt := range tests {
		name := tt.item.Path
		if tt.item.FieldRef != nil {
			name += " " + tt.item.FieldRef.FieldPath
		} else {
			name += " " + tt.item.ResourceFieldRef.Resource
		}
		t.Run(name, func(t *testing.T) {
			pod := podWith(downward("d", tt.item))
			pod.Labels = map[string]string{"b": `x"y`, "a": "1"}
			pod.Annotations = map[string]string{"n/k": "v"}
			pod.Spec.Containers[0].Resources = v1.ResourceRequirements{
				Limits:   v1.ResourceList{"cpu": resource.MustParse("1500m"), "memory": resource.MustParse("128Mi")},
				Requests: v1.ResourceList{"cpu": resource.MustParse("250m")},
			}
			data := volumes.Data{Projected: map[string]v1.ConfigMap{"d": configMapObject("d", map[string]string{"sent": "from data"})}}
			if tt.item.Path != "sent" {
				data = volumes.Data{}
			}
			root := podFolder(t)
			prepare(t, root, pod, data, volumes.Policy{Allocatable: v1.ResourceList{"ephemeral-storage": resource.MustParse("8Ki")}})
			want := map[string]string{"projected/d/" + tt.item.Path: "0644 " + tt.want}
			if diff := cmp.Diff(want, files(t, root)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestPrepareProjectedRepairs(t *testing.T) {
	pod := podWith(projected("p",
		v1.VolumeProjection{Secret: &v1.SecretProjection{LocalObjectReference: v1.LocalObjectReference{Name: "s"},
			Items: []v1.KeyToPath{{Key: "k", Path: "sec/k", Mode: new(int32(0o400))}}}},
		v1.VolumeProjection{ConfigMap: &v1.ConfigMapProjection{LocalObjectReference: v1.LocalObjectReference{Name: "cm"}}},
		v1.VolumeProjection{ServiceAccountToken: &v1.ServiceAccountTokenProjection{Path: "token"}},
	))
	pod.Spec.SecurityContext = &v1.PodSecurityContext{RunAsUser: new(int64(os.Getuid()))}
	data := volumes.Data{
		ConfigMaps: map[string]v1.ConfigMap{"cm": {Data: map[string]string{"t": "old"}, BinaryData: map[string][]byte{"b": {1}}}},
		Secrets:    map[string]v1.Secret{"s": {Data: map[string][]byte{"k": []byte("secret")}}},
		Projected: map[string]v1.ConfigMap{"p": configMapObject("p", map[string]string{
			"t": "sent", "token": "T", "ca.crt": `-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n`})},
	}
	root := podFolder(t)
	prepare(t, root, pod, data, volumes.Policy{})
	want := map[string]string{
		"projected/p/b":      `0644 "\x01"`,
		"projected/p/ca.crt": `0644 "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"`,
		"projected/p/sec/k":  `0400 "secret"`,
		"projected/p/t":      `0644 "sent"`,
		"projected/p/token":  `0600 "T"`,
	}
	if diff := cmp.Diff(want, files(t, root)); diff != "" {
		t.Error(diff)
	}
	if warnings, err := validate(pod, data, volumes.Policy{}); err != nil || len(warnings) != 0 {
		t.Errorf("got warnings %q and %v, want neither", warnings, err)
	}
}

// The chown tests give files to groups nobody is in, which needs root.
func TestPrepareFSGroup(t *testing.T) {
	data := volumes.Data{
		ConfigMaps: map[string]v1.ConfigMap{"cm": configMapObject("cm", map[string]string{"k": "v"})},
		Projected:  map[string]v1.ConfigMap{"p": configMapObject("p", map[string]string{"token": "T"})},
	}
	pod := podWith(emptyDir("e"), volume("m", v1.VolumeSource{EmptyDir: &v1.EmptyDirVolumeSource{Medium: "Memory", SizeLimit: new(resource.MustParse("1Mi"))}}),
		configMap("c", "cm", v1.KeyToPath{Key: "k", Path: "d/k", Mode: new(int32(0o200))}),
		projected("p", v1.VolumeProjection{ServiceAccountToken: &v1.ServiceAccountTokenProjection{Path: "token"}}))
	pod.Spec.SecurityContext = &v1.PodSecurityContext{FSGroup: new(int64(4711)), RunAsUser: new(int64(1234))}
	root := podFolder(t)
	set := prepare(t, root, pod, data, volumes.Policy{})
	want := map[string]string{
		".":                 "0700 0:0",
		"configMaps":        "0700 0:0",
		"configMaps/c":      "2755 0:4711",
		"configMaps/c/d":    "2755 0:4711",
		"configMaps/c/d/k":  `0640 0:4711 "v"`,
		"emptyDirs":         "0700 0:0",
		"emptyDirs/e":       "2777 0:4711",
		"emptyDirs/m":       "3777 0:4711",
		"projected":         "0700 0:0",
		"projected/p":       "2755 0:4711",
		"projected/p/token": `0640 1234:4711 "T"`,
	}
	if diff := cmp.Diff(want, tree(t, root)); diff != "" {
		t.Error(diff)
	}
	wantTmpfs := []volumes.Tmpfs{{Volume: "m", Path: filepath.Join(root, "emptyDirs/m"), SizeBytes: 1 << 20, Mode: 0o3777, GID: new(int64(4711))}}
	if diff := cmp.Diff(wantTmpfs, set.Tmpfs()); diff != "" {
		t.Error(diff)
	}
}

func TestPrepareIsIdempotent(t *testing.T) {
	pod := podWith(emptyDir("e"), configMap("c", "cm"))
	data := oneConfigMap("cm", map[string]string{"a": "one", "b": "two", "c": "three"})
	root := podFolder(t)
	prepare(t, root, pod, data, volumes.Policy{})

	// A container used its emptyDir, and the files of the ConfigMap are what a
	// crash left: one is missing, one cut short, one as it should be.
	own := filepath.Join(root, "emptyDirs/e")
	write(t, filepath.Join(own, "result"), "precious")
	if err := os.Chmod(own, 0o711); err != nil {
		t.Fatal(err)
	}
	want := tree(t, root)
	if err := os.Remove(filepath.Join(root, "configMaps/c/a")); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(root, "configMaps/c/b"), "t")
	kept, err := os.Stat(filepath.Join(root, "configMaps/c/c"))
	if err != nil {
		t.Fatal(err)
	}

	prepare(t, root, pod, data, volumes.Policy{})
	if diff := cmp.Diff(want, tree(t, root)); diff != "" {
		t.Error(diff)
	}
	again, err := os.Stat(filepath.Join(root, "configMaps/c/c"))
	if err != nil || !os.SameFile(kept, again) {
		t.Errorf("a file that was right was replaced (%v)", err)
	}
}

func TestPrepareRefusesPlantedLink(t *testing.T) {
	outside := t.TempDir()
	root := podFolder(t)
	mkdir(t, root, "configMaps")
	symlink(t, outside, filepath.Join(root, "configMaps/c"))
	_, err := volumes.Prepare(root, podWith(configMap("c", "cm")), oneConfigMap("cm", map[string]string{"k": "v"}), volumes.Policy{})
	if err == nil {
		t.Error("want an error")
	}
	if got := files(t, outside); len(got) != 0 {
		t.Errorf("wrote %v outside", got)
	}
}

func TestPrepareNestedMountPoints(t *testing.T) {
	pod := podWith(configMap("c", "cm"), emptyDir("e"), emptyDir("deep"))
	pod.Spec.Containers[0].VolumeMounts = []v1.VolumeMount{
		{Name: "c", MountPath: "/etc/c"},
		{Name: "e", MountPath: "/etc/c/x/e"},
		{Name: "deep", MountPath: "/etc/c/x/e/deep"},
		{Name: "c", MountPath: "/etc/c/copy", SubPath: "k"},
		{Name: "e", MountPath: "/etc/c/k"},
	}
	root := podFolder(t)
	prepare(t, root, pod, oneConfigMap("cm", map[string]string{"k": "v"}), volumes.Policy{})
	got := tree(t, filepath.Join(root, "configMaps/c"))
	for name := range got {
		got[name] = got[name][:4]
	}
	want := map[string]string{".": "0755", "copy": "0644", "k": "0644", "x": "0755", "x/e": "0755"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func FuzzItemPath(f *testing.F) {
	for _, seed := range []string{"a", "a/b", "../a", "/a", "a/../../b", ".", "..", "...", "a//b", "./a", "a/.", "a\x00b", "a\\..\\b", "configMaps", strings.Repeat("x", 255)} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, path string) {
		parent := t.TempDir()
		root := filepath.Join(parent, "pod")
		pod := podWith(configMap("c", "cm", v1.KeyToPath{Key: "k", Path: path}))
		data := oneConfigMap("cm", map[string]string{"k": "v"})
		data.Projected = map[string]v1.ConfigMap{"p": configMapObject("p", map[string]string{path: "v"})}
		_, invalid := validate(pod, data, volumes.Policy{})
		_, invalidKey := validate(podWith(projected("p")), data, volumes.Policy{})
		if (invalid == nil) != (invalidKey == nil) {
			t.Fatalf("path %q: as item %v, as projected key %v", path, invalid, invalidKey)
		}
		_, err := volumes.Prepare(root, pod, data, volumes.Policy{})
		if invalid != nil && err == nil {
			t.Fatalf("path %q: prepared, but Validate says %v", path, invalid)
		}
		if err == nil {
			if _, err := os.Stat(filepath.Join(root, "configMaps/c", path)); err != nil {
				t.Fatalf("path %q: %v", path, err)
			}
		}
		for name := range files(t, parent) {
			if !strings.HasPrefix(name, "pod/configMaps/c/") && name != "pod/pending" {
				t.Fatalf("path %q: wrote %q", path, name)
			}
		}
	})
}
