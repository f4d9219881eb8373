package volumes_test

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	v1 "k8s.io/api/core/v1"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/volumes"
)

// recorded is the part of a create request that volumes need (protocol 1.3).
type recorded struct {
	Body struct {
		Pod       v1.Pod `json:"pod"`
		Container []struct {
			ConfigMaps []v1.ConfigMap `json:"configMaps"`
			Projected  []v1.ConfigMap `json:"projectedvolumemaps"`
			Secrets    []v1.Secret    `json:"secrets"`
		} `json:"container"`
	} `json:"body"`
}

func loadRecorded(t *testing.T) (*v1.Pod, volumes.Data) {
	t.Helper()
	raw, err := os.ReadFile("testdata/create-full-pod.json")
	if err != nil {
		t.Fatal(err)
	}
	var r recorded
	if err := json.Unmarshal(raw, &r); err != nil {
		t.Fatal(err)
	}
	var data volumes.Data
	for _, c := range r.Body.Container {
		data.Add(c.ConfigMaps, c.Projected, c.Secrets)
	}
	return &r.Body.Pod, data
}

// podWith is a pod whose one container mounts every volume at /v/<name>.
func podWith(vols ...v1.Volume) *v1.Pod {
	pod := &v1.Pod{Spec: v1.PodSpec{Volumes: vols, Containers: []v1.Container{{Name: "main"}}}}
	pod.Name, pod.Namespace, pod.UID = "p", "ns", "u-1"
	for _, v := range vols {
		pod.Spec.Containers[0].VolumeMounts = append(pod.Spec.Containers[0].VolumeMounts,
			v1.VolumeMount{Name: v.Name, MountPath: "/v/" + v.Name})
	}
	return pod
}

func volume(name string, src v1.VolumeSource) v1.Volume {
	return v1.Volume{Name: name, VolumeSource: src}
}

func emptyDir(name string) v1.Volume {
	return volume(name, v1.VolumeSource{EmptyDir: &v1.EmptyDirVolumeSource{}})
}

func configMap(name, object string, items ...v1.KeyToPath) v1.Volume {
	return volume(name, v1.VolumeSource{ConfigMap: &v1.ConfigMapVolumeSource{
		LocalObjectReference: v1.LocalObjectReference{Name: object}, Items: items}})
}

func hostPathVolume(name, path string, kind v1.HostPathType) v1.Volume {
	return volume(name, v1.VolumeSource{HostPath: &v1.HostPathVolumeSource{Path: path, Type: &kind}})
}

func configMapObject(name string, data map[string]string) v1.ConfigMap {
	cm := v1.ConfigMap{Data: data}
	cm.Name = name
	return cm
}

func oneConfigMap(name string, data map[string]string) volumes.Data {
	return volumes.Data{ConfigMaps: map[string]v1.ConfigMap{name: configMapObject(name, data)}}
}

// podFolder is a folder for one pod, alone below its parent.
func podFolder(t *testing.T) string {
	t.Helper()
	return filepath.Join(t.TempDir(), "ns-u-1")
}

func prepare(t *testing.T, root string, pod *v1.Pod, data volumes.Data, policy volumes.Policy) *volumes.Set {
	t.Helper()
	set, err := volumes.Prepare(root, pod, data, policy)
	if err != nil {
		t.Fatalf("Prepare: %v", err)
	}
	return set
}

// tree lists what is below a folder: mode, group and content by path.
func tree(t *testing.T, root string) map[string]string {
	t.Helper()
	got := map[string]string{}
	err := filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, p)
		if err != nil {
			return err
		}
		stat := info.Sys().(*syscall.Stat_t)
		line := fmt.Sprintf("%04o %d:%d", stat.Mode&0o7777, stat.Uid, stat.Gid)
		if info.Mode().IsRegular() {
			content, err := os.ReadFile(p)
			if err != nil {
				return err
			}
			line += " " + fmt.Sprintf("%q", content)
		}
		got[rel] = line
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// files is tree without folders and owners.
func files(t *testing.T, root string) map[string]string {
	t.Helper()
	got := map[string]string{}
	for name, line := range tree(t, root) {
		parts := strings.SplitN(line, " ", 3)
		if len(parts) == 3 {
			got[name] = parts[0] + " " + parts[2]
		}
	}
	return got
}

func write(t *testing.T, name, content string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

func mkdir(t *testing.T, parts ...string) string {
	t.Helper()
	name := filepath.Join(parts...)
	if err := os.MkdirAll(name, 0o755); err != nil {
		t.Fatal(err)
	}
	return name
}

func symlink(t *testing.T, target, name string) {
	t.Helper()
	if err := os.Symlink(target, name); err != nil {
		t.Fatal(err)
	}
}

func noExpand(s string) (string, error) { return "", fmt.Errorf("unexpected expansion of %q", s) }
