package podspec

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	v1 "k8s.io/api/core/v1"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/engine"
)

func TestHostPorts(t *testing.T) {
	pod := plainPod()
	withPorts(v1.ContainerPort{ContainerPort: 80}, v1.ContainerPort{ContainerPort: 80, HostPort: 8080},
		v1.ContainerPort{ContainerPort: 53, HostPort: 53, Protocol: "UDP", HostIP: "127.0.0.1"})(pod)
	want := []engine.Port{{Host: 8080, Container: 80, Protocol: "tcp"}, {HostIP: "127.0.0.1", Host: 53, Container: 53, Protocol: "udp"}}
	if diff := cmp.Diff(want, HostPorts(pod)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	// An init container may name the same port; it can be published only once.
	withInit(func(c *v1.Container) { c.Ports = pod.Spec.Containers[0].Ports })(pod)
	if diff := cmp.Diff(want, HostPorts(pod)); diff != "" {
		t.Errorf("named by two containers: -want +got:\n%s", diff)
	}
}
