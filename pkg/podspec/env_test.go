package podspec

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
)

func literal(pairs ...string) []v1.EnvVar {
	var out []v1.EnvVar
	for i := 0; i < len(pairs); i += 2 {
		out = append(out, v1.EnvVar{Name: pairs[i], Value: pairs[i+1]})
	}
	return out
}

func fieldVar(name, path string) v1.EnvVar {
	return v1.EnvVar{Name: name, ValueFrom: &v1.EnvVarSource{FieldRef: &v1.ObjectFieldSelector{FieldPath: path}}}
}

func resourceVar(name, container, path, divisor string) v1.EnvVar {
	ref := &v1.ResourceFieldSelector{ContainerName: container, Resource: path}
	if divisor != "" {
		ref.Divisor = resource.MustParse(divisor)
	}
	return v1.EnvVar{Name: name, ValueFrom: &v1.EnvVarSource{ResourceFieldRef: ref}}
}

// expanding is a node whose Virtual Kubelet expands nothing.
var expanding = Node{Capabilities: testCapabilities, ExpandValues: true}

// TestValuesAreFinal: what a Secret or a ConfigMap holds must not be read as anything else.
func TestValuesAreFinal(t *testing.T) {
	values := []string{"pa$$word", "$(A)/x", "$(HOME)", "$$(A)", "$", "$(", "$$$", ""}
	pod := plainPod()
	main := &pod.Spec.Containers[0]
	main.Env = literal("A", "a")
	want := []string{"A=a"}
	for i, value := range values {
		name := string(rune('B' + i))
		main.Env = append(main.Env, v1.EnvVar{Name: name, Value: value})
		want = append(want, name+"="+value)
	}
	main.Command, main.Args = []string{"$(B)"}, []string{"$(C)", "$$(A)", "$(A)"}
	spec, err := Container(pod, main, NewEnvironment(pod, main, testNode, testIP, nil), testNode, "")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, spec.Env); diff != "" {
		t.Errorf("variables: -want +got:\n%s", diff)
	}
	if diff := cmp.Diff([]string{"pa$$word", "$(A)/x", "$(A)", "a"}, append(spec.Entrypoint, spec.Cmd...)); diff != "" {
		t.Errorf("command and arguments: -want +got:\n%s", diff)
	}
}

// TestEnvironmentOfValues is of a Virtual Kubelet that leaves expansion to us.
func TestEnvironmentOfValues(t *testing.T) {
	for name, c := range map[string]struct {
		in   []v1.EnvVar
		want []string
	}{
		"none":                     {nil, []string{}},
		"order is kept":            {literal("Z", "1", "A", "2", "M", "3"), []string{"Z=1", "A=2", "M=3"}},
		"empty is set":             {literal("A", ""), []string{"A="}},
		"last of a name wins":      {literal("A", "1", "B", "2", "A", "3", "A", ""), []string{"A=", "B=2"}},
		"earlier name":             {literal("A", "1", "B", "<$(A)>"), []string{"A=1", "B=<1>"}},
		"later name stays":         {literal("B", "<$(A)>", "A", "1"), []string{"B=<$(A)>", "A=1"}},
		"own name adds to before":  {literal("P", "/bin", "P", "$(P):/sbin"), []string{"P=/bin:/sbin"}},
		"own name without before":  {literal("P", "$(P):/sbin"), []string{"P=$(P):/sbin"}},
		"name as it was then":      {literal("A", "1", "B", "$(A)", "A", "2", "C", "$(A)"), []string{"A=2", "B=1", "C=2"}},
		"escaped":                  {literal("A", "1", "B", "$$(A) $$ $A"), []string{"A=1", "B=$(A) $ $A"}},
		"values are not searched":  {literal("A", "$$(B)", "B", "x", "C", "$(A)"), []string{"A=$(B)", "B=x", "C=$(B)"}},
		"unknown name stays":       {literal("A", "$(HOME)"), []string{"A=$(HOME)"}},
		"equals signs and quotes":  {literal("A", `=a=b 'c' "d" \e`+"`f`\n"), []string{`A==a=b 'c' "d" \e` + "`f`\n"}},
		"name that is no variable": {literal("CM_a.txt", "x", "B", "$(CM_a.txt)"), []string{"CM_a.txt=x", "B=x"}},
	} {
		t.Run(name, func(t *testing.T) {
			pod := plainPod()
			pod.Spec.Containers[0].Env = c.in
			env := NewEnvironment(pod, &pod.Spec.Containers[0], expanding, "10.0.0.2", nil)
			if diff := cmp.Diff(c.want, env.list()); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
			if len(env.Skipped) > 0 {
				t.Errorf("skipped %v", env.Skipped)
			}
		})
	}
}

// TestEnvironmentLeavesOutWhatNobodyResolved (protocol 5.1).
func TestEnvironmentLeavesOutWhatNobodyResolved(t *testing.T) {
	key := v1.LocalObjectReference{Name: "settings"}
	pod := plainPod()
	pod.Spec.Containers[0].Env = []v1.EnvVar{
		{Name: "A", Value: "a"},
		{Name: "CM", ValueFrom: &v1.EnvVarSource{ConfigMapKeyRef: &v1.ConfigMapKeySelector{LocalObjectReference: key, Key: "k"}}},
		{Name: "SECRET", ValueFrom: &v1.EnvVarSource{SecretKeyRef: &v1.SecretKeySelector{LocalObjectReference: key, Key: "k"}}},
		{Name: "A", ValueFrom: &v1.EnvVarSource{SecretKeyRef: &v1.SecretKeySelector{LocalObjectReference: key, Key: "k"}}},
		fieldVar("NODE", "status.phase"),
		{Name: "NOTHING", ValueFrom: &v1.EnvVarSource{}},
		{Name: "B", Value: "$(A)$(CM)"},
	}
	env := NewEnvironment(pod, &pod.Spec.Containers[0], expanding, "10.0.0.2", nil)
	if diff := cmp.Diff([]string{"A=a", "B=a$(CM)"}, env.list()); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if diff := cmp.Diff([]string{"CM", "SECRET", "A", "NODE", "NOTHING"}, env.Skipped); diff != "" {
		t.Errorf("skipped: -want +got:\n%s", diff)
	}
}

func TestEnvironmentOfPodFields(t *testing.T) {
	pod := plainPod()
	pod.Labels = map[string]string{"app": "shop", "example.org/part": "front", "empty": ""}
	pod.Annotations = map[string]string{"note": "it's $(A)"}
	pod.Spec.NodeName, pod.Spec.ServiceAccountName, pod.Status.HostIP = "vk", "robot", "192.0.2.1"
	for path, want := range map[string]string{
		"metadata.name":                       "web",
		"metadata.namespace":                  "team",
		"metadata.uid":                        testUID,
		"metadata.labels['app']":              "shop",
		"metadata.labels['example.org/part']": "front",
		"metadata.labels['empty']":            "",
		// Kubernetes sets a variable for a key that is not there to nothing.
		"metadata.labels['missing']":      "",
		"metadata.annotations['note']":    "it's $(A)",
		"metadata.annotations['missing']": "",
		"spec.nodeName":                   "vk",
		"spec.serviceAccountName":         "robot",
		"status.podIP":                    "10.0.0.2",
		"status.podIPs":                   "10.0.0.2",
		"status.hostIP":                   "192.0.2.1",
		"status.hostIPs":                  "192.0.2.1",
	} {
		t.Run(path, func(t *testing.T) {
			c := v1.Container{Env: append(literal("A", "a"), fieldVar("V", path))}
			got := NewEnvironment(pod, &c, testNode, "10.0.0.2", nil)
			if diff := cmp.Diff([]string{"A=a", "V=" + want}, got.list()); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
	for _, path := range []string{"", "metadata", "metadata.labels['", "metadata.labels['']x", "status.podIP.x"} {
		t.Run("no field "+path, func(t *testing.T) {
			got := NewEnvironment(pod, &v1.Container{Env: []v1.EnvVar{fieldVar("V", path)}}, testNode, "10.0.0.2", nil)
			if diff := cmp.Diff([]string{"V"}, got.Skipped); diff != "" || len(got.list()) > 0 {
				t.Errorf("got %v, skipped %v", got.list(), got.Skipped)
			}
		})
	}
}

func TestEnvironmentBeforeTheAddressIsKnown(t *testing.T) {
	c := v1.Container{Env: []v1.EnvVar{fieldVar("IP", "status.podIP"), fieldVar("HOST", "status.hostIP")}}
	if got := NewEnvironment(plainPod(), &c, testNode, "", nil).Skipped; !cmp.Equal(got, []string{"IP", "HOST"}) {
		t.Errorf("skipped %v", got)
	}
}

func TestEnvironmentOfResources(t *testing.T) {
	pod := plainPod()
	pod.Spec.Containers[0].Resources = v1.ResourceRequirements{
		Limits:   amounts("cpu", "1500m", "memory", "129Mi", "ephemeral-storage", "1Gi"),
		Requests: amounts("cpu", "250m", "memory", "64Mi"),
	}
	pod.Spec.InitContainers = []v1.Container{{Name: "init", Image: "busybox", Resources: v1.ResourceRequirements{Limits: amounts("cpu", "2")}}}
	for name, c := range map[string]struct {
		variable v1.EnvVar
		want     string
	}{
		"CPU is rounded up":               {resourceVar("V", "", "limits.cpu", ""), "2"},
		"a divisor of 0 is none":          {resourceVar("V", "", "limits.cpu", "0"), "2"},
		"in millicores":                   {resourceVar("V", "", "limits.cpu", "1m"), "1500"},
		"CPU request is rounded up":       {resourceVar("V", "", "requests.cpu", "1"), "1"},
		"memory in bytes":                 {resourceVar("V", "", "requests.memory", ""), "67108864"},
		"memory in Mi":                    {resourceVar("V", "", "limits.memory", "1Mi"), "129"},
		"memory in Gi is rounded up":      {resourceVar("V", "", "limits.memory", "1Gi"), "1"},
		"storage":                         {resourceVar("V", "", "limits.ephemeral-storage", "1M"), "1074"},
		"of itself by name":               {resourceVar("V", "main", "limits.cpu", "1m"), "1500"},
		"of another container":            {resourceVar("V", "init", "limits.cpu", ""), "2"},
		"request that is not set is none": {resourceVar("V", "init", "requests.memory", ""), "0"},
	} {
		t.Run(name, func(t *testing.T) {
			got := NewEnvironment(pod, &v1.Container{Name: "main", Resources: pod.Spec.Containers[0].Resources, Env: []v1.EnvVar{c.variable}}, testNode, "", nil)
			if diff := cmp.Diff([]string{"V=" + c.want}, got.list()); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
	for name, variable := range map[string]v1.EnvVar{
		"unknown container": resourceVar("V", "other", "limits.cpu", ""),
		"unknown resource":  resourceVar("V", "", "limits.gpu", ""),
		"no kind":           resourceVar("V", "", "cpu", ""),
	} {
		t.Run(name, func(t *testing.T) {
			got := NewEnvironment(pod, &v1.Container{Name: "main", Env: []v1.EnvVar{variable}}, testNode, "", nil)
			if len(got.list()) > 0 || !cmp.Equal(got.Skipped, []string{"V"}) {
				t.Errorf("got %v, skipped %v", got.list(), got.Skipped)
			}
		})
	}
}

func TestExpandAllKeepsNoCommand(t *testing.T) {
	env := NewEnvironment(plainPod(), &v1.Container{Env: literal("A", "two words")}, testNode, "", nil)
	if got := env.Expand(nil); got != nil {
		t.Errorf("got %v for no command, which must leave the image's", got)
	}
	if got := env.Expand([]string{}); got == nil || len(got) != 0 {
		t.Errorf("got %v for an empty command", got)
	}
	if diff := cmp.Diff([]string{"echo", "two words", "", "$(B)"}, env.Expand([]string{"echo", "$(A)", "", "$(B)"})); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}
