package pods_test

import (
	"slices"
	"testing"

	v1 "k8s.io/api/core/v1"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/initapi"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/podspec"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/podstatus"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/sandbox"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/sandbox/sandboxtest"
)

// TestFuseIsGiven to privileged containers and those with a volume of /dev/fuse, and to no
// others; one that may mount by itself gets the device in its place.
func TestFuseIsGiven(t *testing.T) {
	offer := initapi.Fuse{Program: "/s/fusermount3", Socket: "/s/socket"}
	// The cases share this list and run in parallel, so it is sorted once, here.
	helped := []string{"/dev/fuse=/dev/null", initapi.FuseSocket + "=/s/socket", "/bin/fusermount=/s/fusermount3",
		"/bin/fusermount3=/s/fusermount3", "/usr/bin/fusermount=/s/fusermount3", "/usr/bin/fusermount3=/s/fusermount3"}
	slices.Sort(helped)
	privileged := func(p *v1.Pod) { p.Spec.Containers[0].SecurityContext = &v1.SecurityContext{Privileged: new(true)} }
	volume := func(p *v1.Pod) {
		p.Spec.Volumes = []v1.Volume{{Name: "fuse", VolumeSource: v1.VolumeSource{HostPath: &v1.HostPathVolumeSource{Path: "/dev/fuse"}}}}
		p.Spec.Containers[0].VolumeMounts = []v1.VolumeMount{{Name: "fuse", MountPath: "/dev/fuse"}}
	}
	for name, c := range map[string]struct {
		edit            func(*v1.Pod)
		mayMount, offer bool
		want            []string
	}{
		"privileged":      {privileged, false, true, helped},
		"volume":          {volume, false, true, helped},
		"plain":           {func(*v1.Pod) {}, false, true, nil},
		"older sandbox":   {privileged, false, false, nil},
		"mounts itself":   {privileged, true, true, nil},
		"both, by itself": {func(p *v1.Pod) { privileged(p); volume(p) }, true, true, []string{"/dev/fuse=/dev/fuse"}},
	} {
		t.Run(name, func(t *testing.T) {
			n := newNode(t, func(n *node) {
				n.rules = podspec.Node{Fuse: true, AllowPrivileged: true, MayMount: c.mayMount, Capabilities: sandbox.Capabilities}
			})
			if c.offer {
				n.host.Each(func(s *sandboxtest.Sandbox) { s.Init.OfferFuse(offer) })
			}
			p := newPod(c.edit)
			n.create(p)
			n.awaitRunning(p, "main")
			places := append([]string{"/dev/fuse", initapi.FuseSocket}, initapi.FusePrograms()...)
			var got []string
			for _, container := range n.sandbox(p).Engine.Snapshot().Containers {
				for _, m := range container.Mounts {
					if slices.Contains(places, m.Target) {
						got = append(got, m.Target+"="+m.Source)
					}
				}
			}
			slices.Sort(got)
			if !slices.Equal(got, c.want) {
				t.Errorf("the container got %v, want %v", got, c.want)
			}
			n.delete(p, nil)
		})
	}
}

// TestFuseIsMissing: a pod that asks for /dev/fuse by name waits where there is none, and
// says so.
func TestFuseIsMissing(t *testing.T) {
	n := newNode(t, func(n *node) { n.rules = podspec.Node{Fuse: true} })
	p := newPod(func(p *v1.Pod) {
		p.Spec.Volumes = []v1.Volume{{Name: "fuse", VolumeSource: v1.VolumeSource{HostPath: &v1.HostPathVolumeSource{Path: "/dev/fuse"}}}}
		p.Spec.Containers[0].VolumeMounts = []v1.VolumeMount{{Name: "fuse", MountPath: "/dev/fuse"}}
	})
	n.create(p)
	want := v1.ContainerStateWaiting{Reason: "CreateContainerError", Message: `container "main" asks for /dev/fuse, which its sandbox does not have`}
	n.await(p, "main waits for it", func(r podstatus.Report) bool {
		waiting := r.Containers[0].State.Waiting
		return waiting != nil && *waiting == want
	})
	n.delete(p, nil)
}
