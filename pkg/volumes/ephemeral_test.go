package volumes_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/volumes"
)

func ephemeral(size string, edits ...func(*v1.PersistentVolumeClaimSpec)) v1.Volume {
	template := &v1.PersistentVolumeClaimTemplate{}
	if size != "" {
		template.Spec.Resources.Requests = v1.ResourceList{v1.ResourceStorage: resource.MustParse(size)}
	}
	for _, edit := range edits {
		edit(&template.Spec)
	}
	return volume("e", v1.VolumeSource{Ephemeral: &v1.EphemeralVolumeSource{VolumeClaimTemplate: template}})
}

// TestEphemeral is a folder of the pod with the claim's storage as its limit.
func TestEphemeral(t *testing.T) {
	root, pod := podFolder(t), podWith(ephemeral("1Mi"))
	set, err := volumes.Prepare(root, pod, volumes.Data{}, volumes.Policy{})
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(root, "ephemeral/e")
	if info, err := os.Stat(dir); err != nil || info.Mode() != os.ModeDir|0o777 {
		t.Fatalf("its folder: %v, %v", info, err)
	}
	mounts, err := set.Mounts(&pod.Spec.Containers[0], noExpand)
	if diff := cmp.Diff([]volumes.Mount{{Source: dir, Target: "/v/e", Volume: `volume "e"`}}, mounts); err != nil || diff != "" {
		t.Error(err, diff)
	}
	if over, err := set.OverLimit(t.Context()); err != nil || len(over) > 0 {
		t.Errorf("empty, it is over its limit: %v, %v", over, err)
	}
	if err := os.WriteFile(filepath.Join(dir, "large"), make([]byte, 2<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	over, err := set.OverLimit(t.Context())
	if err != nil || len(over) != 1 || over[0].Volume != "e" || !over[0].Ephemeral || over[0].LimitBytes != 1<<20 {
		t.Errorf("with 2 MiB: %v, %v", over, err)
	}
	if bytes, err := set.EphemeralBytes(t.Context()); err != nil || bytes < 2<<20 {
		t.Errorf("it has %d bytes, %v", bytes, err)
	}
	again, err := volumes.Prepare(root, pod, volumes.Data{}, volumes.Policy{})
	if err != nil || again == nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "large")); err != nil {
		t.Errorf("a second Prepare emptied it: %v", err)
	}
}

func TestEphemeralRefused(t *testing.T) {
	for name, c := range map[string]struct {
		volume v1.Volume
		want   string
	}{
		"no template": {volume("e", v1.VolumeSource{Ephemeral: &v1.EphemeralVolumeSource{}}), "needs a volumeClaimTemplate"},
		"no storage":  {ephemeral(""), "needs resources.requests.storage"},
		"nothing":     {ephemeral("0"), "needs resources.requests.storage"},
		"device":      {ephemeral("1Mi", func(s *v1.PersistentVolumeClaimSpec) { s.VolumeMode = new(v1.PersistentVolumeBlock) }), "volumeMode Block"},
		"content": {ephemeral("1Mi", func(s *v1.PersistentVolumeClaimSpec) {
			s.DataSource = &v1.TypedLocalObjectReference{Name: "x"}
			s.VolumeName = "pv"
		}),
			"asks for a certain volume (dataSource, volumeName)"},
		"selector":  {ephemeral("1Mi", func(s *v1.PersistentVolumeClaimSpec) { s.Selector = &metav1.LabelSelector{} }), "(selector)"},
		"reference": {ephemeral("1Mi", func(s *v1.PersistentVolumeClaimSpec) { s.DataSourceRef = &v1.TypedObjectReference{Name: "x"} }), "(dataSourceRef)"},
	} {
		if _, err := validate(podWith(c.volume), volumes.Data{}, volumes.Policy{}); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
	larger := ephemeral("1Mi", func(s *v1.PersistentVolumeClaimSpec) {
		s.Resources.Limits = v1.ResourceList{v1.ResourceStorage: resource.MustParse("2Mi")}
	})
	if _, err := validate(podWith(larger), volumes.Data{}, volumes.Policy{}); err != nil {
		t.Error(err)
	}
}
