package gpu_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/engine"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/gpu"
)

func podAsking(n int64) *v1.Pod {
	limits := v1.ResourceList{gpu.ResourceGPU: *resource.NewQuantity(n, resource.DecimalSI)}
	return &v1.Pod{ObjectMeta: metav1.ObjectMeta{UID: "pod"}, Spec: v1.PodSpec{Containers: []v1.Container{
		{Name: "main", Resources: v1.ResourceRequirements{Limits: limits}}, {Name: "other"},
	}}}
}

func brokerOf(t *testing.T, gpus int) (gpu.Broker, json.RawMessage) {
	t.Helper()
	b := gpu.Broker{Ledger: ledgerOf(host(gpus)), Injector: gpu.Injector{NVIDIA: strategy(t, gpu.StrategyDevices, cdiHost(t))}}
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
	b.Ledger.MarkUnhealthy(uuid(1), "XID 79")
	fault := trouble(b.Ledger, "pod")
	list, trouble := b.Health("pod", "main")
	if len(list) != 1 || list[0].Name != gpu.ResourceGPU || len(list[0].Resources) != 2 {
		t.Fatalf("health = %v, want both devices under one name", list)
	}
	for _, r := range list[0].Resources {
		bad := string(r.ResourceID) == uuid(1)
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
	b.Ledger.Update(host(1))
	if list, trouble = b.Health("pod", "main"); len(list) != 1 || len(list[0].Resources) != 1 || trouble == "" {
		t.Errorf("health with a lost device = %v, %q", list, trouble)
	}
	b.Release("pod")
	if list, trouble := b.Health("pod", "main"); list != nil || trouble != "" {
		t.Errorf("health after the end = %v, %q", list, trouble)
	}
}

// An FPGA brings the tools of its vendor; other devices do not.
func TestFPGATools(t *testing.T) {
	const tools = "/opt/xilinx/xrt"
	i := gpu.Injector{FPGATools: []string{tools}}
	for _, tc := range []struct {
		device gpu.Device
		want   []gpu.Mount
	}{{fpga, []gpu.Mount{{Source: tools, Target: tools, ReadOnly: true}}}, {amd, nil}} {
		in, err := i.Container([]gpu.Device{tc.device})
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(tc.want, in.Mounts); diff != "" {
			t.Errorf("%s: mounts (-want +got):\n%s", tc.device.Resource, diff)
		}
	}
}
