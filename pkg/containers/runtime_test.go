package containers

import (
	"errors"
	"strings"
	"testing"

	v1 "k8s.io/api/core/v1"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/engine"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/podstatus"
)

// TestKeepRuntime: devices that come by a runtime do not take the place of the runtime of the
// pod's class, which may be there to confine it.
func TestKeepRuntime(t *testing.T) {
	for name, c := range map[string]struct {
		class, now string
		want       bool
	}{
		"no class":              {"", "", true},
		"devices, no class":     {"", "nvidia", true},
		"class alone":           {"runsc", "runsc", true},
		"the same":              {"nvidia", "nvidia", true},
		"devices against class": {"runsc", "nvidia", false},
	} {
		t.Run(name, func(t *testing.T) {
			err := keepRuntime(runnerOfClass(c.class), engine.Spec{Runtime: c.now})
			if (err == nil) != c.want {
				t.Errorf("keepRuntime() = %v", err)
			}
			if wrong := (&configError{}); err != nil && (!errors.As(err, &wrong) || wrong.reason != "" || !strings.Contains(err.Error(), "GPUStrategy")) {
				t.Errorf("the container does not wait with words: %v", err)
			}
		})
	}
}

// TestRuntimeFails: only a runtime of the operator's choice that does not run makes a container
// wait; a program that is missing in the image is an end.
func TestRuntimeFails(t *testing.T) {
	missing := errors.New("failed to create shim: OCI runtime create failed: unable to retrieve OCI runtime error (open /run/x/log.json: no such file or directory): fork/exec /opt/crun: no such file or directory: : unknown")
	program := errors.New(`OCI runtime create failed: exec: "serve": executable file not found in $PATH: unknown`)
	for name, c := range map[string]struct {
		class string
		cause error
		want  bool
	}{
		"the runtime":           {"crun", missing, true},
		"the program":           {"crun", program, false},
		"the engine's own":      {"", missing, false},
		"the program, no class": {"", program, false},
	} {
		t.Run(name, func(t *testing.T) {
			err := runtimeFails(runnerOfClass(c.class), c.cause)
			if (err != nil) != c.want {
				t.Fatalf("runtimeFails() = %v", err)
			}
			if wrong := (&configError{}); c.want && (!errors.As(err, &wrong) || wrong.reason != podstatus.ReasonRun || !errors.Is(err, c.cause)) {
				t.Errorf("the container does not wait with the cause: %v", err)
			}
		})
	}
}

func runnerOfClass(runtime string) *runner {
	return &runner{p: &Pod{Spec: &v1.Pod{Spec: v1.PodSpec{RuntimeClassName: new("class")}}, Runtime: runtime}}
}
