package volumes_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/initapi"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/volumes"
)

// sentClaim is what interLink sends of claim c and the volume pv that it is bound to.
func sentClaim(source v1.PersistentVolumeSource, edits ...func(*v1.PersistentVolumeClaim, *v1.PersistentVolume)) volumes.Data {
	claim := v1.PersistentVolumeClaim{ObjectMeta: metav1.ObjectMeta{Name: "c", Namespace: "ns"},
		Spec: v1.PersistentVolumeClaimSpec{VolumeName: "pv", AccessModes: []v1.PersistentVolumeAccessMode{v1.ReadWriteMany}}}
	bound := v1.PersistentVolume{ObjectMeta: metav1.ObjectMeta{Name: "pv"}, Spec: v1.PersistentVolumeSpec{PersistentVolumeSource: source,
		AccessModes: []v1.PersistentVolumeAccessMode{v1.ReadWriteMany, v1.ReadOnlyMany}, ClaimRef: &v1.ObjectReference{Namespace: "ns", Name: "c"}}}
	for _, edit := range edits {
		edit(&claim, &bound)
	}
	var data volumes.Data
	// Once for each mount, as every object arrives.
	data.AddClaims([]v1.PersistentVolumeClaim{claim}, []v1.PersistentVolume{bound})
	data.AddClaims([]v1.PersistentVolumeClaim{claim}, []v1.PersistentVolume{bound})
	return data
}

func claimC(readOnly bool) v1.Volume {
	return volume("v", v1.VolumeSource{PersistentVolumeClaim: &v1.PersistentVolumeClaimVolumeSource{ClaimName: "c", ReadOnly: readOnly}})
}

// TestWhatClaimsStandFor: what a claim stands for, and in which order.
func TestWhatClaimsStandFor(t *testing.T) {
	host, root := t.TempDir(), t.TempDir()
	inHost := v1.PersistentVolumeSource{HostPath: &v1.HostPathVolumeSource{Path: filepath.Join(host, "d")}}
	local := v1.PersistentVolumeSource{Local: &v1.LocalVolumeSource{Path: filepath.Join(host, "d")}}
	cloud := v1.PersistentVolumeSource{CSI: &v1.CSIPersistentVolumeSource{Driver: "disk.example.org"}}
	all := volumes.Policy{HostPathPrefixes: []string{host}, ClaimRoot: root}
	with := func(edit func(*volumes.Policy)) volumes.Policy {
		p := all
		edit(&p)
		return p
	}
	in := func(dir, path, kind string) *initapi.Source {
		return &initapi.Source{Roots: []initapi.Root{{Path: dir}}, Path: path, Type: kind}
	}
	named := in("/srv/named", "", "Directory")
	folder := in(root, "ns/c", "Directory")
	folder.NoCreate = true
	for name, c := range map[string]struct {
		data   volumes.Data
		policy volumes.Policy
		want   *initapi.Source
		// refusal, where there is no source.
		refusal string
	}{
		"folder of its own":                      {volumes.Data{}, all, folder, ""},
		"claim that waits for a volume":          {sentUnbound(), all, folder, ""},
		"hostPath":                               {sentClaim(inHost), all, in(host, "d", ""), ""},
		"hostPath by the claim of the volume":    {sentClaim(inHost, func(c *v1.PersistentVolumeClaim, _ *v1.PersistentVolume) { c.Spec.VolumeName = "" }), all, in(host, "d", ""), ""},
		"local":                                  {sentClaim(local), all, in(host, "d", "Directory"), ""},
		"the operator's path for it comes first": {sentClaim(cloud), with(func(p *volumes.Policy) { p.Claims = map[string]string{"ns/c": "/srv/named"} }), named, ""},
		"by its name alone too":                  {sentClaim(inHost), with(func(p *volumes.Policy) { p.Claims = map[string]string{"c": "/srv/named", "other/c": "/no"} }), named, ""},
		"the operator's path for all comes last": {volumes.Data{}, volumes.Policy{ClaimFallback: "/srv/named"}, named, ""},
		"nothing": {volumes.Data{}, volumes.Policy{}, nil,
			"claim c has no path on this node; ask its operator to add ns/c to PersistentVolumeClaims, or to set PersistentVolumeRoot"},
		"kind that cannot be had": {sentClaim(cloud), all, nil, "(persistentVolumeClaim) bound to pv: a volume of kind csi is not supported by this node"},
		"hostPath that is not allowed": {sentClaim(inHost), with(func(p *volumes.Policy) { p.HostPathPrefixes = []string{"/else"} }), nil,
			"bound to pv: path " + filepath.Join(host, "d") + " is not below a host path that this node allows"},
		"local that climbs": {sentClaim(v1.PersistentVolumeSource{Local: &v1.LocalVolumeSource{Path: host + "/../../etc"}}), all, nil, "must be absolute and without .."},
		"volume of another claim": {sentClaim(inHost, func(_ *v1.PersistentVolumeClaim, v *v1.PersistentVolume) { v.Spec.ClaimRef.Namespace = "other" }), all, nil,
			"the volume is bound to another claim, other/c"},
		"block claim": {sentClaim(inHost, func(c *v1.PersistentVolumeClaim, _ *v1.PersistentVolume) {
			c.Spec.VolumeMode = new(v1.PersistentVolumeBlock)
		}), all, nil, "claim c has volumeMode Block"},
		"block volume": {sentClaim(inHost, func(_ *v1.PersistentVolumeClaim, v *v1.PersistentVolume) {
			v.Spec.VolumeMode = new(v1.PersistentVolumeBlock)
		}), all, nil, "volume pv has volumeMode Block"},
	} {
		t.Run(name, func(t *testing.T) {
			pod := podWith(claimC(false))
			_, err := validate(pod, c.data, c.policy)
			if c.want == nil {
				if err == nil || !strings.Contains(err.Error(), c.refusal) {
					t.Errorf("got %v, want a refusal with %q", err, c.refusal)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			private := podFolder(t)
			set, err := volumes.Prepare(private, pod, c.data, c.policy)
			if err != nil {
				t.Fatal(err)
			}
			mounts, err := set.Mounts(&pod.Spec.Containers[0], noExpand)
			if err != nil {
				t.Fatal(err)
			}
			got := mounts[0].Open
			got.Private = nil
			if diff := cmp.Diff(c.want, got); diff != "" || mounts[0].ReadOnly {
				t.Errorf("readOnly %t, source (-want +got):\n%s", mounts[0].ReadOnly, diff)
			}
		})
	}
}

func sentUnbound() volumes.Data {
	var data volumes.Data
	data.AddClaims([]v1.PersistentVolumeClaim{{ObjectMeta: metav1.ObjectMeta{Name: "c"}, Status: v1.PersistentVolumeClaimStatus{Phase: v1.ClaimPending}}}, nil)
	return data
}

// TestClaimReadOnly: the volume, the claim and the volume that it is bound to may each say so.
func TestClaimReadOnly(t *testing.T) {
	host := t.TempDir()
	source := v1.PersistentVolumeSource{HostPath: &v1.HostPathVolumeSource{Path: host}}
	rox := []v1.PersistentVolumeAccessMode{v1.ReadOnlyMany}
	for name, c := range map[string]struct {
		volume v1.Volume
		data   volumes.Data
		want   bool
	}{
		"nothing":                    {claimC(false), sentClaim(source), false},
		"volume of the pod":          {claimC(true), sentClaim(source), true},
		"claim":                      {claimC(false), sentClaim(source, func(c *v1.PersistentVolumeClaim, _ *v1.PersistentVolume) { c.Spec.AccessModes = rox }), true},
		"volume that it is bound to": {claimC(false), sentClaim(source, func(_ *v1.PersistentVolumeClaim, v *v1.PersistentVolume) { v.Spec.AccessModes = rox }), true},
		"claim that may do both": {claimC(false), sentClaim(source, func(c *v1.PersistentVolumeClaim, _ *v1.PersistentVolume) {
			c.Spec.AccessModes = append(rox, v1.ReadWriteOnce)
		}), false},
	} {
		t.Run(name, func(t *testing.T) {
			pod := podWith(c.volume)
			set, err := volumes.Prepare(podFolder(t), pod, c.data, volumes.Policy{HostPathPrefixes: []string{host}})
			if err != nil {
				t.Fatal(err)
			}
			mounts, err := set.Mounts(&pod.Spec.Containers[0], noExpand)
			if err != nil || mounts[0].ReadOnly != c.want {
				t.Errorf("readOnly = %t, %v; want %t", mounts[0].ReadOnly, err, c.want)
			}
		})
	}
}

// TestClaimFolder is made below the root, and no name leads out of it.
func TestClaimFolder(t *testing.T) {
	root := t.TempDir()
	policy := volumes.Policy{ClaimRoot: root}
	pod := podWith(claimC(false))
	if _, err := volumes.Prepare(podFolder(t), pod, volumes.Data{}, policy); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(filepath.Join(root, "ns/c")); err != nil || info.Mode().Perm() != 0o777 {
		t.Errorf("the folder: %v, %v", info, err)
	}
	for _, name := range []string{"..", "../x", "a/b", ".", "", "/etc", "C"} {
		pod := podWith(volume("v", v1.VolumeSource{PersistentVolumeClaim: &v1.PersistentVolumeClaimVolumeSource{ClaimName: name}}))
		if _, err := validate(pod, volumes.Data{}, policy); err == nil || !strings.Contains(err.Error(), "is not a DNS name") {
			t.Errorf("claim %q: %v", name, err)
		}
		if folders := volumes.ClaimFolders(pod); len(folders) > 0 {
			t.Errorf("folders of claim %q = %v", name, folders)
		}
	}
	pod.Namespace = ".."
	if _, err := validate(pod, volumes.Data{}, policy); err == nil || !strings.Contains(err.Error(), "namespace is not a DNS label") {
		t.Errorf("namespace ..: %v", err)
	}
}
