package podspec

import (
	"errors"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

func TestRefusal(t *testing.T) {
	if err := Refusal(nil); err != nil {
		t.Errorf("no fault is %v", err)
	}
	f := &faults{}
	at := field.NewPath("spec", "a")
	f.invalid(at, "%s is not a name", shown("x\n\"y\" \x00"))
	f.forbid(at.Index(1), "is not supported")
	f.forbid(at.Index(1), "is not supported")
	f.oneOf(at, "", "A", "B")
	err := Refusal(f.list)
	if want := `spec.a: x\n"y" \x00 is not a name; spec.a[1]: is not supported; spec.a: an empty value is none of A, B`; err.Error() != want {
		t.Errorf("\n got %s\nwant %s", err, want)
	}
	if !errors.Is(err, errdefs.ErrInvalidArgument) {
		t.Error("it is no invalid argument")
	}
	for range 30 {
		f.invalid(at.Index(len(f.list)), "%s", strings.Repeat("\u20ac", 10_000))
	}
	if got := len(Refusal(f.list).Error()); got > (maxFaults+1)*(maxSentence+len("...; ")) {
		t.Errorf("a refusal of %d bytes", got)
	}
}

// TestAllFaultsAtOnce: a pod is created once, so its user learns of faults of every
// kind together.
func TestAllFaultsAtOnce(t *testing.T) {
	pod := plainPod()
	pod.Name, pod.Spec.HostNetwork = "A", true
	pod.Annotations = map[string]string{flagsAnnotation: "--cap-add NET_RAW -m x"}
	main := &pod.Spec.Containers[0]
	main.Image, main.WorkingDir, main.Env = " not an image", "x", literal("A=", "1")
	err := refuse(pod)
	for _, want := range []string{"metadata.name", "spec.hostNetwork", "metadata.annotations[" + flagsAnnotation + "]: --cap-add", "--memory is not a size",
		"spec.containers[0].image", "spec.containers[0].workingDir", "spec.containers[0].env[0].name"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s is not in %v", want, err)
		}
	}
}
