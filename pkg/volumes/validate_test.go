package volumes_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
	"github.com/google/go-cmp/cmp"
	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/podspec"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/volumes"
)

func downward(name string, items ...v1.DownwardAPIVolumeFile) v1.Volume {
	return volume(name, v1.VolumeSource{DownwardAPI: &v1.DownwardAPIVolumeSource{Items: items}})
}

func projected(name string, sources ...v1.VolumeProjection) v1.Volume {
	return volume(name, v1.VolumeSource{Projected: &v1.ProjectedVolumeSource{Sources: sources}})
}

// validate is volumes.Validate with one error.
func validate(pod *v1.Pod, data volumes.Data, policy volumes.Policy) ([]string, error) {
	warnings, problems := volumes.Validate(pod, data, policy)
	return warnings, podspec.Refusal(problems)
}

func TestValidateVolumes(t *testing.T) {
	limit := resource.MustParse("-1")
	cm := oneConfigMap("cm", map[string]string{"k": "v"})
	policy := volumes.Policy{HostPathPrefixes: []string{"/data"}, Claims: map[string]string{"ns/a": "/a"}}
	claim := func(name string) v1.Volume {
		return volume("c", v1.VolumeSource{PersistentVolumeClaim: &v1.PersistentVolumeClaimVolumeSource{ClaimName: name}})
	}
	tests := []struct {
		name string
		vols []v1.Volume
		want string
	}{
		{"first of a kind that is none", []v1.Volume{emptyDir("a"), volume("b", v1.VolumeSource{AzureDisk: &v1.AzureDiskVolumeSource{}})}, `spec.volumes[1] b (azureDisk): not supported by this node; emptyDir, configMap, `},
		{"csi", []v1.Volume{volume("b", v1.VolumeSource{CSI: &v1.CSIVolumeSource{}})}, `(csi): not supported`},
		{"iscsi", []v1.Volume{volume("b", v1.VolumeSource{ISCSI: &v1.ISCSIVolumeSource{}})}, `(iscsi): not supported`},
		{"image without a name", []v1.Volume{volume("b", v1.VolumeSource{Image: &v1.ImageVolumeSource{}})}, `(image): needs a reference`},
		{"image with a policy that is none", []v1.Volume{volume("b", v1.VolumeSource{Image: &v1.ImageVolumeSource{Reference: "a:1", PullPolicy: "Often"}})}, `pullPolicy Often is none of Always`},
		{"no source", []v1.Volume{volume("b", v1.VolumeSource{})}, `spec.volumes[0] b: needs exactly one source, found 0`},
		{"two sources", []v1.Volume{volume("b", v1.VolumeSource{EmptyDir: &v1.EmptyDirVolumeSource{}, NFS: &v1.NFSVolumeSource{}})}, `found 2 that this node knows (emptyDir, nfs)`},
		{"duplicate name", []v1.Volume{emptyDir("a"), emptyDir("a")}, `spec.volumes[1] a: a volume of this name exists already`},
		{"name with slash", []v1.Volume{emptyDir("../a")}, `spec.volumes[0] ../a: the name is not a DNS label`},
		{"missing configMap", []v1.Volume{configMap("a", "gone")}, `spec.volumes[0] a (configMap): ConfigMap gone was not sent with the pod; create it in namespace ns or mark the volume optional`},
		{"missing secret", []v1.Volume{volume("a", v1.VolumeSource{Secret: &v1.SecretVolumeSource{SecretName: "gone"}})}, `(secret): Secret gone was not sent`},
		{"missing key", []v1.Volume{configMap("a", "cm", v1.KeyToPath{Key: "x", Path: "x"})}, `items[0]: ConfigMap cm has no key x`},
		{"absolute item path", []v1.Volume{configMap("a", "cm", v1.KeyToPath{Key: "k", Path: "/etc/x"})}, `items[0]: path /etc/x must be relative`},
		{"item path with ..", []v1.Volume{configMap("a", "cm", v1.KeyToPath{Key: "k", Path: "a/../b"})}, `items[0]: path a/../b must not have .. in it`},
		{"item path starting with ..", []v1.Volume{configMap("a", "cm", v1.KeyToPath{Key: "k", Path: "..b"})}, `must not have .. in it`},
		{"empty item path", []v1.Volume{configMap("a", "cm", v1.KeyToPath{Key: "k"})}, `names no file`},
		{"key with ..", []v1.Volume{configMap("a", "cm", v1.KeyToPath{Key: "../k", Path: "k"})}, `items[0]: key ../k must not`},
		{"item mode", []v1.Volume{configMap("a", "cm", v1.KeyToPath{Key: "k", Path: "k", Mode: new(int32(0o1777))})}, `items[0]: mode 01777 is not between 0 and 0777`},
		{"default mode", []v1.Volume{volume("a", v1.VolumeSource{ConfigMap: &v1.ConfigMapVolumeSource{
			LocalObjectReference: v1.LocalObjectReference{Name: "cm"}, DefaultMode: new(int32(-1))}})}, `defaultMode: mode -01 is not between`},
		{"file needed as folder", []v1.Volume{configMap("a", "cm", v1.KeyToPath{Key: "k", Path: "p"}, v1.KeyToPath{Key: "k", Path: "p/q"})}, `path p is a file, but p/q needs it as a folder`},
		{"negative sizeLimit", []v1.Volume{volume("a", v1.VolumeSource{EmptyDir: &v1.EmptyDirVolumeSource{SizeLimit: &limit}})}, `(emptyDir): sizeLimit -1 is negative`},
		{"huge pages", []v1.Volume{volume("a", v1.VolumeSource{EmptyDir: &v1.EmptyDirVolumeSource{Medium: "HugePages-2Mi"}})}, `medium HugePages-2Mi needs a container with huge pages of this size`},
		{"emptyDir mode", []v1.Volume{volume("a", v1.VolumeSource{EmptyDir: &v1.EmptyDirVolumeSource{Mode: new(int32(0o2777))}})}, `mode 02777 is not between`},
		{"hostPath outside", []v1.Volume{hostPathVolume("h", "/database", "")}, `(hostPath): path /database is not below a host path that this node allows; ask its operator to add it to HostPathPrefixes`},
		{"hostPath with ..", []v1.Volume{hostPathVolume("h", "/data/../etc", "")}, `path /data/../etc must be absolute and without ..`},
		{"hostPath relative", []v1.Volume{hostPathVolume("h", "data", "")}, `must be absolute`},
		{"hostPath type", []v1.Volume{hostPathVolume("h", "/data", "Folder")}, `type Folder is not one of Kubernetes`},
		{"unknown claim", []v1.Volume{claim("b")}, `(persistentVolumeClaim): claim b has no path on this node; ask its operator to add ns/b to PersistentVolumeClaims`},
		{"downward field", []v1.Volume{downward("d", v1.DownwardAPIVolumeFile{Path: "x", FieldRef: &v1.ObjectFieldSelector{FieldPath: "status.podIP"}})}, `(downwardAPI): items[0]: fieldPath status.podIP cannot be resolved on this node`},
		{"downward container", []v1.Volume{downward("d", v1.DownwardAPIVolumeFile{Path: "x", ResourceFieldRef: &v1.ResourceFieldSelector{ContainerName: "z", Resource: "limits.cpu"}})}, `names container z, which is not in the pod`},
		{"downward resource", []v1.Volume{downward("d", v1.DownwardAPIVolumeFile{Path: "x", ResourceFieldRef: &v1.ResourceFieldSelector{ContainerName: "main", Resource: "cpu"}})}, `cpu is not a resource that the downward API shows`},
		{"projected item path", []v1.Volume{projected("p", v1.VolumeProjection{Secret: &v1.SecretProjection{Items: []v1.KeyToPath{{Key: "k", Path: "../k"}}}})}, `path ../k must not have .. in it`},
		{"token path", []v1.Volume{projected("p", v1.VolumeProjection{ServiceAccountToken: &v1.ServiceAccountTokenProjection{Path: "/token"}})}, `path /token must be relative`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := validate(podWith(tt.vols...), cm, policy)
			if !errdefs.IsInvalidArgument(err) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want an invalid argument with %q", err, tt.want)
			}
		})
	}
}

func TestValidateData(t *testing.T) {
	data := volumes.Data{
		ConfigMaps: map[string]v1.ConfigMap{"cm": configMapObject("cm", map[string]string{"../x": "v"})},
		Projected:  map[string]v1.ConfigMap{"p": configMapObject("p", map[string]string{"a/../../x": "v"})},
	}
	for _, v := range []v1.Volume{configMap("a", "cm"), projected("p")} {
		_, err := validate(podWith(v), data, volumes.Policy{})
		if !errdefs.IsInvalidArgument(err) || !strings.Contains(err.Error(), "must not have .. in it") {
			t.Errorf("volume %s: got %v, want a refused path", v.Name, err)
		}
	}
}

func TestValidateMounts(t *testing.T) {
	tests := []struct {
		name  string
		mount v1.VolumeMount
		want  string
	}{
		{"unknown volume", v1.VolumeMount{Name: "x", MountPath: "/x"}, `spec.containers[0] main volumeMounts[1] /x: volume x is not among spec.volumes`},
		{"relative", v1.VolumeMount{Name: "a", MountPath: "x"}, `mountPath must be an absolute path`},
		{"empty", v1.VolumeMount{Name: "a"}, `mountPath must be an absolute path`},
		{"backstep", v1.VolumeMount{Name: "a", MountPath: "/x/../y"}, `mountPath must be an absolute path without ..`},
		{"colon", v1.VolumeMount{Name: "a", MountPath: "/x:/y"}, `mountPath must not contain a colon`},
		{"root", v1.VolumeMount{Name: "a", MountPath: "//"}, `cannot be mounted over the root`},
		{"same path", v1.VolumeMount{Name: "a", MountPath: "/v//a/"}, `another volume is mounted at this path`},
		{"absolute subPath", v1.VolumeMount{Name: "a", MountPath: "/x", SubPath: "/x"}, `subPath /x must be relative`},
		{"subPath with ..", v1.VolumeMount{Name: "a", MountPath: "/x", SubPath: "x/../.."}, `subPath x/../.. must be relative to the volume and have no .. in it`},
		{"subPathExpr with ..", v1.VolumeMount{Name: "a", MountPath: "/x", SubPathExpr: "$(A)/.."}, `subPathExpr $(A)/.. must be`},
		{"both", v1.VolumeMount{Name: "a", MountPath: "/x", SubPath: "x", SubPathExpr: "y"}, `subPath and subPathExpr cannot both be set`},
		{"propagation", v1.VolumeMount{Name: "a", MountPath: "/x", MountPropagation: new(v1.MountPropagationMode("Shared"))}, `mountPropagation Shared is none of`},
		{"bidirectional", v1.VolumeMount{Name: "a", MountPath: "/x", MountPropagation: new(v1.MountPropagationBidirectional)}, `Bidirectional is for privileged containers only`},
		{"options", v1.VolumeMount{Name: "a", MountPath: "/x", BindMountOptions: []string{"noexec"}}, `bindMountOptions are not supported`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			pod := podWith(emptyDir("a"))
			c := &pod.Spec.Containers[0]
			c.VolumeMounts = append(c.VolumeMounts, tt.mount)
			_, err := validate(pod, volumes.Data{}, volumes.Policy{})
			if !errdefs.IsInvalidArgument(err) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want an invalid argument with %q", err, tt.want)
			}
		})
	}
}

func TestValidateNamesAllProblems(t *testing.T) {
	pod := podWith(configMap("a", "gone"), hostPathVolume("h", "/etc", ""))
	pod.Spec.InitContainers = []v1.Container{{Name: "i", VolumeMounts: []v1.VolumeMount{{Name: "x", MountPath: "/x"}}}}
	_, err := validate(pod, volumes.Data{}, volumes.Policy{})
	for _, want := range []string{`ConfigMap gone`, `this node allows no host paths`, `spec.initContainers[0] i volumeMounts[0] /x: volume x`} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want it to name %s", err, want)
		}
	}
}

func TestValidateAccepts(t *testing.T) {
	optional := configMap("a", "gone")
	optional.ConfigMap.Optional = new(true)
	optionalKey := configMap("b", "cm", v1.KeyToPath{Key: "x", Path: "x"})
	optionalKey.ConfigMap.Optional = new(true)
	pod := podWith(optional, optionalKey, hostPathVolume("h", "/data", v1.HostPathDirectory),
		volume("c", v1.VolumeSource{PersistentVolumeClaim: &v1.PersistentVolumeClaimVolumeSource{ClaimName: "any"}}))
	c := &pod.Spec.Containers[0]
	c.SecurityContext = &v1.SecurityContext{Privileged: new(true)}
	c.VolumeMounts[0].MountPropagation = new(v1.MountPropagationBidirectional)
	warnings, err := validate(pod, oneConfigMap("cm", nil), volumes.Policy{HostPathPrefixes: []string{"/data"}, ClaimFallback: "/cvmfs"})
	if err != nil || len(warnings) != 0 {
		t.Errorf("got warnings %q and %v, want neither", warnings, err)
	}
}

func TestValidateWarns(t *testing.T) {
	token := v1.VolumeProjection{ServiceAccountToken: &v1.ServiceAccountTokenProjection{Path: "token"}}
	secret := v1.VolumeProjection{Secret: &v1.SecretProjection{LocalObjectReference: v1.LocalObjectReference{Name: "s"}}}
	ca := v1.VolumeProjection{ConfigMap: &v1.ConfigMapProjection{
		LocalObjectReference: v1.LocalObjectReference{Name: "ca"}, Items: []v1.KeyToPath{{Key: "ca.crt", Path: "ca.crt"}}}}
	unmounted := podWith()
	unmounted.Spec.Volumes = []v1.Volume{volume("n", v1.VolumeSource{AzureDisk: &v1.AzureDiskVolumeSource{}}), configMap("a", "gone")}
	sent := volumes.Data{Projected: map[string]v1.ConfigMap{"p": configMapObject("p", map[string]string{"x": "y"})}}
	tests := []struct {
		name string
		pod  *v1.Pod
		data volumes.Data
		want []string
	}{
		{"no projected data", podWith(projected("p", token, ca)), volumes.Data{}, []string{
			`spec.volumes[0] p (projected): no data was sent for it (interLink's option DisableProjectedVolumes does this); it holds only what the pod itself tells`}},
		{"projected secret", podWith(projected("p", secret)), sent, []string{
			`spec.volumes[0] p (projected): sources[0] Secret s: interLink does not send the Secrets of projected volumes; mount the Secret as a volume of its own too, its files are then taken from there`}},
		{"part of the data", podWith(projected("p", ca, token)), sent, []string{
			`spec.volumes[0] p (projected): sources[0] ConfigMap ca: not all its items were sent; their files are missing`,
			`spec.volumes[0] p (projected): sources[1]: file token was not sent; it is missing`}},
		{"not mounted", unmounted, volumes.Data{}, []string{
			`spec.volumes[0] n (azureDisk): not supported by this node; ignored, because no container mounts it`}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := validate(tt.pod, tt.data, volumes.Policy{})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestRecursiveReadOnly: honoured, or refused by name; never ignored.
func TestRecursiveReadOnly(t *testing.T) {
	policy := volumes.Policy{HostPathPrefixes: []string{"/data"}, ClaimFallback: "/claims"}
	for _, c := range []struct {
		volume      string
		mode        v1.RecursiveReadOnlyMode
		readOnly    bool
		propagation *v1.MountPropagationMode
		want        string
	}{
		{"empty", v1.RecursiveReadOnlyDisabled, false, nil, ""},
		{"empty", v1.RecursiveReadOnlyIfPossible, true, nil, ""},
		{"empty", v1.RecursiveReadOnlyEnabled, true, new(v1.MountPropagationNone), ""},
		{"host", v1.RecursiveReadOnlyDisabled, true, new(v1.MountPropagationHostToContainer), ""},
		{"host", v1.RecursiveReadOnlyIfPossible, true, nil, ""},
		{"host", v1.RecursiveReadOnlyEnabled, true, nil, "recursiveReadOnly Enabled is not supported by this node for a hostPath; use IfPossible"},
		{"claim", v1.RecursiveReadOnlyEnabled, true, nil, "recursiveReadOnly Enabled is not supported by this node for a persistentVolumeClaim; use IfPossible"},
		{"empty", v1.RecursiveReadOnlyIfPossible, false, nil, "recursiveReadOnly IfPossible needs readOnly"},
		{"empty", v1.RecursiveReadOnlyEnabled, true, new(v1.MountPropagationHostToContainer), "recursiveReadOnly Enabled needs mountPropagation None"},
		{"shared", v1.RecursiveReadOnlyIfPossible, true, nil, ""},
		{"shared", v1.RecursiveReadOnlyEnabled, true, nil, "recursiveReadOnly Enabled is not supported by this node for a volume that a container mounts Bidirectional; use IfPossible"},
		{"empty", "Always", true, nil, "recursiveReadOnly Always is none of Disabled, IfPossible and Enabled"},
	} {
		pod := podWith(emptyDir("empty"), emptyDir("shared"), hostPathVolume("host", "/data", ""),
			volume("claim", v1.VolumeSource{PersistentVolumeClaim: &v1.PersistentVolumeClaimVolumeSource{ClaimName: "c"}}))
		main := &pod.Spec.Containers[0]
		main.VolumeMounts = append(main.VolumeMounts, v1.VolumeMount{Name: c.volume, MountPath: "/x",
			ReadOnly: c.readOnly, RecursiveReadOnly: &c.mode, MountPropagation: c.propagation})
		pod.Spec.InitContainers = append(pod.Spec.InitContainers, v1.Container{Name: "mounter", SecurityContext: &v1.SecurityContext{Privileged: new(true)},
			VolumeMounts: []v1.VolumeMount{{Name: "shared", MountPath: "/x", MountPropagation: new(v1.MountPropagationBidirectional)}}})
		_, err := validate(pod, volumes.Data{}, policy)
		want := ""
		if c.want != "" {
			want = "spec.containers[0] main volumeMounts[4] /x: " + c.want
		}
		if got := fmt.Sprint(err); got != want && (err != nil || want != "") {
			t.Errorf("%s, %s: got %v, want %q", c.volume, c.mode, err, want)
		}
	}
}
