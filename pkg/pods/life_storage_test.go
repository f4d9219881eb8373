package pods_test

import (
	"strings"
	"testing"

	v1 "k8s.io/api/core/v1"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/engine/enginetest"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/initapi"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/podstatus"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/sandbox/sandboxtest"
)

// TestNFSServerIsAway: the pod waits, says for what, and runs once the server answers.
func TestNFSServerIsAway(t *testing.T) {
	n := newNode(t)
	p := newPod(func(p *v1.Pod) {
		p.Spec.Volumes = []v1.Volume{{Name: "data", VolumeSource: v1.VolumeSource{NFS: &v1.NFSVolumeSource{Server: "192.0.2.7", Path: "/data"}}}}
		p.Spec.Containers[0].VolumeMounts = []v1.VolumeMount{{Name: "data", MountPath: "/data"}, {Name: "data", MountPath: "/again"}}
	})
	n.host.Each(func(s *sandboxtest.Sandbox) {
		s.Init.Refuse(initapi.OpNFS, initapi.KindAway, "mount 192.0.2.7:/data: connection timed out")
	})
	n.create(p)
	n.await(p, "waiting for its server", func(r podstatus.Report) bool {
		w := statusOf(r, "main").State.Waiting
		return w != nil && strings.Contains(w.Message, "waiting for its volumes: volume data: mount 192.0.2.7:/data: connection timed out")
	})
	n.awaitRunning(p, "main")
	asked := n.sandbox(p).Init.Requests(initapi.OpNFS)
	if len(asked) != 2 || asked[1].NFS == nil || asked[1].NFS.Server != "192.0.2.7" || asked[0].NFS.Name != asked[1].NFS.Name {
		t.Errorf("the init was asked for %+v", asked)
	}
	n.delete(p, nil)
}

// TestImageVolume: the image is pulled before the pod is placed, held by a container that
// never runs, and shown by the init before the container is made.
func TestImageVolume(t *testing.T) {
	n := newNode(t)
	n.host.AddImage(enginetest.Image{Tags: []string{"data:1"}, Layers: []string{"top", "base"}})
	p := newPod(func(p *v1.Pod) {
		p.Spec.Volumes = []v1.Volume{{Name: "data", VolumeSource: v1.VolumeSource{Image: &v1.ImageVolumeSource{Reference: "data:1", PullPolicy: v1.PullNever}}}}
		p.Spec.Containers[0].VolumeMounts = []v1.VolumeMount{{Name: "data", MountPath: "/data"}}
	})
	n.create(p)
	n.awaitRunning(p, "main")
	s := n.sandbox(p)
	asked := s.Init.Requests(initapi.OpImage)
	if len(asked) != 2 || asked[1].Image.Volume != "data" || !asked[1].Image.Mount || len(asked[1].Image.Layers) == 0 {
		t.Errorf("the init was asked for %+v", asked)
	}
	held := false
	for _, c := range s.Engine.Snapshot().Containers {
		held = held || c.Name == "image-data" && c.Status == "created"
	}
	if !held {
		t.Errorf("containers of the sandbox = %+v, want one that holds the image", s.Engine.Snapshot().Containers)
	}
	n.delete(p, nil)
}
