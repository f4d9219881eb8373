package podspec

import (
	"testing"

	v1 "k8s.io/api/core/v1"
)

func TestUserOfTheImage(t *testing.T) {
	for name, c := range map[string]struct {
		group       *int64
		user, image string
		want        string
	}{
		"no group":            {nil, "", "app:app", ""},
		"group and user":      {new(int64(5)), "7:5", "app", "7:5"},
		"group and image":     {new(int64(5)), "", "app", "app:5"},
		"group wins":          {new(int64(5)), "", "app:app", "app:5"},
		"group and no user":   {new(int64(5)), "", "", "0:5"},
		"group, image's user": {new(int64(0)), "", "1000", "1000:0"},
	} {
		t.Run(name, func(t *testing.T) {
			for level, edit := range map[string]func(*v1.Pod){
				"container": withSecurity(v1.SecurityContext{RunAsGroup: c.group}), "pod": withPodSecurity(v1.PodSecurityContext{RunAsGroup: c.group}),
			} {
				pod := plainPod()
				edit(pod)
				if got := withGroup(pod, &pod.Spec.Containers[0], c.user, c.image); got != c.want {
					t.Errorf("%s: got %q, want %q", level, got, c.want)
				}
			}
		})
	}
}

func TestCheckNonRoot(t *testing.T) {
	for name, c := range map[string]struct {
		must        bool
		user, image string
		want        string
	}{
		"may be root":        {false, "0", "", ""},
		"other user":         {true, "7:0", "root", ""},
		"image's user":       {true, "", "1000:1000", ""},
		"image without user": {true, "", "", "container main has runAsNonRoot and its image runs as root: set securityContext.runAsUser"},
		"image's root":       {true, "", "0:7", "container main has runAsNonRoot and its image runs as root: set securityContext.runAsUser"},
		"image's zeros":      {true, "", "00", "container main has runAsNonRoot and its image runs as root: set securityContext.runAsUser"},
		"image's name":       {true, "", "app", `container main has runAsNonRoot and its image has a non-numeric user app: set securityContext.runAsUser`},
		"name and group":     {true, "app:5", "app", `container main has runAsNonRoot and its image has a non-numeric user app: set securityContext.runAsUser`},
	} {
		t.Run(name, func(t *testing.T) {
			pod := plainPod()
			withPodSecurity(v1.PodSecurityContext{RunAsNonRoot: &c.must})(pod)
			err := checkNonRoot(pod, &pod.Spec.Containers[0], c.user, c.image)
			if got := sentence(err); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
	for level, edit := range map[string]func(*v1.Pod){
		"container": withSecurity(v1.SecurityContext{RunAsUser: new(int64(0)), RunAsNonRoot: new(true)}),
		"pod":       withPodSecurity(v1.PodSecurityContext{RunAsUser: new(int64(0)), RunAsNonRoot: new(true)}),
	} {
		pod := plainPod()
		edit(pod)
		const want = "container main has runAsNonRoot and runAsUser 0, which is root: set another user"
		if _, err := User(pod, &pod.Spec.Containers[0], "0", "1000"); sentence(err) != want {
			t.Errorf("of the %s: %v", level, err)
		}
	}
}
