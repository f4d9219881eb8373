package accelerators

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/cdi"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/engine"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/gpu"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/gpu/gputest"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/gpu/inject"
)

func podAsking(n int64) *v1.Pod {
	limits := v1.ResourceList{gpu.ResourceGPU: *resource.NewQuantity(n, resource.DecimalSI)}
	return &v1.Pod{ObjectMeta: metav1.ObjectMeta{UID: "pod"}, Spec: v1.PodSpec{Containers: []v1.Container{
		{Name: "main", Resources: v1.ResourceRequirements{Limits: limits}}, {Name: "other"},
	}}}
}

// brokerOf gives all GPUs of a host to a pod, by the recorded specification.
func brokerOf(t *testing.T, gpus int) (Broker, json.RawMessage) {
	t.Helper()
	data, err := os.ReadFile("../cdi/testdata/nvidia-cdi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	specs := cdi.Specs{Dirs: []string{t.TempDir()}}
	if err := os.WriteFile(filepath.Join(specs.Dirs[0], "nvidia.yaml"), data, 0o600); err != nil {
		t.Fatal(err)
	}
	devices, err := inject.Strategies(inject.StrategyDevices, specs)
	if err != nil {
		t.Fatal(err)
	}
	b := Broker{ledger: gpu.NewLedger(gpu.Sharing{}), injector: inject.Injector{NVIDIA: devices[0]}}
	b.ledger.Update(gputest.Host(gpus))
	held, err := b.Reserve(podAsking(int64(gpus)))
	if err != nil {
		t.Fatal(err)
	}
	return b, held
}

// The driver's folders are appended to the library path that the container would
// have without them: the pod's, or else the image's.
func TestInjectKeepsLibraryPath(t *testing.T) {
	const own = "/usr/lib/x86_64-linux-gnu"
	for _, tc := range []struct {
		name       string
		image, pod []string
		want       string
	}{
		{"none", nil, nil, own},
		{"the image's", []string{"PATH=/bin", "LD_LIBRARY_PATH=/opt/lib"}, nil, "/opt/lib:" + own},
		{"the pod's", []string{"LD_LIBRARY_PATH=/opt/lib"}, []string{"LD_LIBRARY_PATH=/a:/b"}, "/a:/b:" + own},
		{"emptied by the pod", []string{"LD_LIBRARY_PATH=/opt/lib"}, []string{"LD_LIBRARY_PATH="}, own},
	} {
		t.Run(tc.name, func(t *testing.T) {
			b, held := brokerOf(t, 1)
			spec := engine.Spec{Env: slices.Clone(tc.pod)}
			if err := b.Inject(held, "main", tc.image, &spec); err != nil {
				t.Fatal(err)
			}
			if got, want := spec.Env[len(spec.Env)-1], "LD_LIBRARY_PATH="+tc.want; got != want {
				t.Errorf("last variable = %q, want %q", got, want)
			}
			if n := strings.Count(strings.Join(spec.Env, "\n"), "LD_LIBRARY_PATH="); n != 1 {
				t.Errorf("the path is given %d times", n)
			}
			without := engine.Spec{Env: append(slices.Clone(tc.pod), "NVIDIA_VISIBLE_DEVICES=all")}
			if err := b.Inject(held, "other", tc.image, &without); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(append(slices.Clone(tc.pod), "NVIDIA_VISIBLE_DEVICES=void"), without.Env); diff != "" {
				t.Errorf("variables of a container without GPUs (-want +got):\n%s", diff)
			}
		})
	}
}

func TestHealthOfContainer(t *testing.T) {
	b, _ := brokerOf(t, 2)
	if list, trouble := b.Health("pod", "main"); list != nil || trouble != "" {
		t.Errorf("health while all is well = %v, %q, want nothing", list, trouble)
	}
	b.ledger.MarkUnhealthy(gputest.UUID(1), "XID 79")
	fault := gputest.Trouble(b.ledger, "pod")
	list, trouble := b.Health("pod", "main")
	if len(list) != 1 || list[0].Name != gpu.ResourceGPU || len(list[0].Resources) != 2 {
		t.Fatalf("health = %v, want both devices under one name", list)
	}
	for _, r := range list[0].Resources {
		bad := string(r.ResourceID) == gputest.UUID(1)
		if (r.Health == v1.ResourceHealthStatusUnhealthy) != bad || (r.Message != nil) != bad {
			t.Errorf("%s is %s", r.ResourceID, r.Health)
		}
	}
	if want := "device " + fault; trouble != want {
		t.Errorf("trouble = %q, want %q", trouble, want)
	}
	if list, trouble := b.Health("pod", "other"); list != nil || trouble != "" {
		t.Errorf("health of a container without devices = %v, %q", list, trouble)
	}
	b.ledger.Update(gputest.Host(1))
	if list, trouble = b.Health("pod", "main"); len(list) != 1 || len(list[0].Resources) != 1 || trouble == "" {
		t.Errorf("health with a lost device = %v, %q", list, trouble)
	}
	b.Release("pod")
	if list, trouble := b.Health("pod", "main"); list != nil || trouble != "" {
		t.Errorf("health after the end = %v, %q", list, trouble)
	}
}
