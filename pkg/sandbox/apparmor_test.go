package sandbox_test

import (
	"maps"
	"testing"
	"testing/fstest"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/sandbox"
)

func TestAppArmorFor(t *testing.T) {
	const path = "sys/kernel/security/apparmor/profiles"
	loaded := fstest.MapFS{path: {Data: []byte("docker-default (enforce)\ndocker-sd-sandbox (enforce)\n/usr/bin/man (complain)\n")}}
	others := fstest.MapFS{path: {Data: []byte("docker-default (enforce)\ndocker-sd-sandbox//child (enforce)\n")}}
	for name, c := range map[string]struct {
		root          fstest.MapFS
		setting, want string
	}{
		"ours":            {loaded, "", sandbox.AppArmorSandbox},
		"not loaded":      {others, "", sandbox.AppArmorUnconfined},
		"no AppArmor":     {fstest.MapFS{}, "", sandbox.AppArmorUnconfined},
		"told not to":     {loaded, "unconfined", sandbox.AppArmorUnconfined},
		"another's":       {loaded, "mine", "mine"},
		"unseen and told": {fstest.MapFS{}, "mine", "mine"},
	} {
		if got := sandbox.AppArmorFor(c.root, c.setting); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

// TestPodProfiles: those of the namespace, in both spellings of kernels, and no others.
func TestPodProfiles(t *testing.T) {
	root := fstest.MapFS{"sys/kernel/security/apparmor/profiles": &fstest.MapFile{Data: []byte("docker-default (enforce)\n:docker-sd:k8s-a (enforce)\n" +
		":docker-sd://k8s b (complain)\n:docker-sd:k8s-a//child (enforce)\n:other:k8s-c (enforce)\nk8s-d (enforce)\n")}}
	all, ok := sandbox.AppArmorProfiles(root)
	if got, want := sandbox.PodProfiles(all), map[string]bool{"k8s-a": true, "k8s b": true, "k8s-a//child": true}; !ok || !maps.Equal(got, want) {
		t.Errorf("they are %v, want %v", got, want)
	}
	for profile, want := range map[string]string{"": "unconfined//&:docker-sd:unconfined", "docker-sd-sandbox": "docker-sd-sandbox//&:docker-sd:unconfined"} {
		if got := sandbox.WithNamespace(profile); got != want {
			t.Errorf("%q with the namespace is %s, want %s", profile, got, want)
		}
	}
}
