package podspec

import (
	"slices"
	"strings"
	"testing"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/engine"
)

// FuzzFlags: the annotation is refused as an invalid argument, without any of
// the values that it holds, or gives nothing that a pod may not have.
func FuzzFlags(f *testing.F) {
	for _, text := range []string{"", "--shm-size=1g --ipc host", "-e A=b -e 'C=d e' -u 1:2 -w /x", "--cap-add SYS_ADMIN", "--cap-add=all --cap-drop NET_RAW",
		"--ulimit nofile=1:2 --cpus 1.5 -m 64m --pids-limit 9 --read-only --init --stop-signal TERM", "--privileged", "-v /:/host", "`id`", "$(id)", "'", "--cpus 1e-99999999", "--", "-- x"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		pod := plainPod()
		pod.Annotations = map[string]string{flagsAnnotation: text}
		flags, problems := parseFlags(pod, trusting)
		if len(problems) > 0 {
			return
		}
		var spec engine.Spec
		flags.apply(&spec, pod, trusting)
		if spec.Privileged || spec.Network != "" || len(spec.Mounts) > 0 || len(spec.Devices) > 0 || spec.Runtime != "" {
			t.Fatalf("flags gave %+v", spec)
		}
		for _, name := range spec.CapAdd {
			if !slices.Contains(trusting.capabilities(pod), name) {
				t.Fatalf("flags gave the capability %q", name)
			}
		}
		for _, variable := range spec.Env {
			if name, _, found := strings.Cut(variable, "="); !found || name == "" {
				t.Fatalf("flags gave the variable %q", variable)
			}
		}
	})
}
