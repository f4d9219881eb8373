package volumes_test

import (
	"testing"

	v1 "k8s.io/api/core/v1"

	"github.com/google/go-cmp/cmp"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/initapi"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/volumes"
)

// TestImageMounts: an image is shown by the sandbox's init, and read-only whatever the mount
// says.
func TestImageMounts(t *testing.T) {
	pod := podWith(volume("i", v1.VolumeSource{Image: &v1.ImageVolumeSource{Reference: "app:1"}}))
	c := &pod.Spec.Containers[0]
	c.VolumeMounts = append(c.VolumeMounts, v1.VolumeMount{Name: "i", MountPath: "/part", SubPath: "a/b"})
	set, err := volumes.Prepare(podFolder(t), pod, volumes.Data{}, volumes.Policy{})
	if err != nil {
		t.Fatal(err)
	}
	got, err := set.Mounts(c, noExpand)
	if err != nil {
		t.Fatal(err)
	}
	source := initapi.Source{Roots: []initapi.Root{{Path: "/run/docker-sd/images/i"}}, NoCreate: true, AsRoot: true}
	part := source
	part.SubPath = "a/b"
	want := []volumes.Mount{{Open: &source, Target: "/v/i", ReadOnly: true, Volume: `volume "i"`},
		{Open: &part, Target: "/part", ReadOnly: true, Volume: `volume "i" subPath "a/b"`}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if checks, err := set.Checks(); err != nil || len(checks) > 0 {
		t.Errorf("checks before the pod starts = %v, %v: its container alone waits for an image", checks, err)
	}
}
