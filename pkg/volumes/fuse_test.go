package volumes_test

import (
	"fmt"
	"testing"

	v1 "k8s.io/api/core/v1"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/volumes"
)

// TestFuseVolume: the device is the sandbox's and no path of the host, so it needs no
// prefix and is not looked for.
func TestFuseVolume(t *testing.T) {
	for _, c := range []struct {
		kind v1.HostPathType
		fuse bool
		want string
	}{
		{"", true, ""},
		{v1.HostPathCharDev, true, ""},
		{v1.HostPathFile, true, "spec.volumes[0] dev (hostPath): path /dev/fuse is a character device and not what type File asks for"},
		{v1.HostPathCharDev, false, "spec.volumes[0] dev (hostPath): path /dev/fuse: this node allows no host paths; ask its operator to add the path to HostPathPrefixes"},
	} {
		pod := podWith(hostPathVolume("dev", "/dev/fuse", c.kind))
		pod.Spec.Containers[0].VolumeMounts = []v1.VolumeMount{{Name: "dev", MountPath: "/dev/fuse", MountPropagation: new(v1.MountPropagationHostToContainer)}}
		policy := volumes.Policy{Fuse: c.fuse}
		if _, err := validate(pod, volumes.Data{}, policy); fmt.Sprint(err) != c.want && (err != nil || c.want != "") {
			t.Errorf("type %q, %v: %v, want %q", c.kind, c.fuse, err, c.want)
		}
		if c.want != "" {
			continue
		}
		set := prepare(t, podFolder(t), pod, volumes.Data{}, policy)
		checks, err := set.Checks()
		if err != nil || len(checks) > 0 {
			t.Errorf("to be looked for: %v, %v", checks, err)
		}
		mounts, err := set.Mounts(&pod.Spec.Containers[0], noExpand)
		if err != nil || len(mounts) != 1 || !mounts[0].Fuse || mounts[0].Source != "" || mounts[0].Open != nil || mounts[0].Propagation != "" {
			t.Errorf("mounts %+v, %v", mounts, err)
		}
	}
}
