package volumes_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	v1 "k8s.io/api/core/v1"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/initapi"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/volumes"
)

func nfsVolume(name, server, path string, readOnly bool) v1.Volume {
	return volume(name, v1.VolumeSource{NFS: &v1.NFSVolumeSource{Server: server, Path: path, ReadOnly: readOnly}})
}

// TestExports: an export is mounted once for all volumes that show it alike, of the pod and of
// its claims.
func TestExports(t *testing.T) {
	policy := volumes.Policy{NFSServers: []string{"nfs.example.org"}}
	source := v1.PersistentVolumeSource{NFS: &v1.NFSVolumeSource{Server: "nfs.example.org", Path: "/data"}}
	data := sentClaim(source, func(_ *v1.PersistentVolumeClaim, v *v1.PersistentVolume) {
		v.Spec.MountOptions = []string{"vers=4.1", "noexec"}
	})
	pod := podWith(nfsVolume("one", "nfs.example.org", "/data", false), nfsVolume("same", "nfs.example.org", "/data", false),
		nfsVolume("ro", "nfs.example.org", "/data", true), claimC(false))
	c := &pod.Spec.Containers[0]
	c.VolumeMounts = append(c.VolumeMounts, v1.VolumeMount{Name: "one", MountPath: "/part", SubPath: "a"})
	set, err := volumes.Prepare(podFolder(t), pod, data, policy)
	if err != nil {
		t.Fatal(err)
	}
	exports := set.Exports()
	name := func(i int) string { return exports[i].NFS.Name }
	if len(exports) != 3 {
		t.Fatalf("exports = %+v", exports)
	}
	want := []volumes.Export{
		{Volume: "volume one", NFS: initapi.NFS{Name: name(0), Server: "nfs.example.org", Path: "/data"}},
		{Volume: "volume ro", NFS: initapi.NFS{Name: name(1), Server: "nfs.example.org", Path: "/data", ReadOnly: true}},
		{Volume: "volume v", NFS: initapi.NFS{Name: name(2), Server: "nfs.example.org", Path: "/data", Options: "vers=4.1", Flags: []string{"noexec"}}},
	}
	if diff := cmp.Diff(want, exports); diff != "" {
		t.Error(diff)
	}
	mounts, err := set.Mounts(c, noExpand)
	if err != nil {
		t.Fatal(err)
	}
	at := func(i int) string { return "/run/docker-sd/nfs/" + name(i) }
	wantMounts := []volumes.Mount{
		{Source: at(0), Target: "/v/one", Volume: `volume "one"`}, {Source: at(0), Target: "/v/same", Volume: `volume "same"`},
		{Source: at(1), Target: "/v/ro", Volume: `volume "ro"`, ReadOnly: true}, {Source: at(2), Target: "/v/v", Volume: `volume "v"`},
		{Open: &initapi.Source{Roots: []initapi.Root{{Path: at(0)}}, NoCreate: true, SubPath: "a"}, Target: "/part", Volume: `volume "one" subPath "a"`},
	}
	if diff := cmp.Diff(wantMounts, mounts); diff != "" {
		t.Error(diff)
	}
	if checks, err := set.Checks(); err != nil || len(checks) > 0 {
		t.Errorf("a server that hangs would be asked once more: %v, %v", checks, err)
	}
}

func TestExportsRefused(t *testing.T) {
	source := v1.PersistentVolumeSource{NFS: &v1.NFSVolumeSource{Server: "nfs.example.org", Path: "/data"}}
	allowed := volumes.Policy{NFSServers: []string{"nfs.example.org", "0.0.0.0/0"}}
	without := allowed
	without.NFSTrouble = "this node's kernel has no NFS client"
	none := volumes.Data{}
	option := sentClaim(source, func(_ *v1.PersistentVolumeClaim, v *v1.PersistentVolume) {
		v.Spec.MountOptions = []string{"addr=10.0.0.1"}
	})
	for name, c := range map[string]struct {
		volume v1.Volume
		data   volumes.Data
		policy volumes.Policy
		want   string
	}{
		"by default": {nfsVolume("n", "nfs.example.org", "/data", false), none, volumes.Policy{},
			"(nfs): this node does not mount from the server nfs.example.org; ask its operator to add it to NFSServers"},
		"another server":           {nfsVolume("n", "other.example.org", "/data", false), none, allowed, "other.example.org"},
		"loopback in a range":      {nfsVolume("n", "127.0.0.1", "/data", false), none, allowed, "not the address of another host"},
		"a name for every address": {nfsVolume("n", "localhost", "/data", false), none, allowed, "does not mount from the server localhost"},
		"no client":                {nfsVolume("n", "nfs.example.org", "/data", false), none, without, "(nfs): this node's kernel has no NFS client"},
		"path":                     {nfsVolume("n", "nfs.example.org", "/a/../b", false), none, allowed, "must be absolute and without .."},
		"of a claim":               {claimC(false), sentClaim(source), volumes.Policy{}, "bound to pv: this node does not mount from the server nfs.example.org"},
		"option":                   {claimC(false), option, allowed, "bound to pv: mount option addr is not allowed on this node"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := validate(podWith(c.volume), c.data, c.policy); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want a refusal with %q", err, c.want)
			}
		})
	}
	if _, err := validate(podWith(nfsVolume("n", "nfs.example.org", "/data", false)), none, allowed); err != nil {
		t.Errorf("the control is refused: %v", err)
	}
}
