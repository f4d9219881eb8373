package sandbox

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/engine"
)

// TestConfinement: system calls of a sandbox are filtered where the engine can, and bpf
// is left to runtimes where they need it.
func TestConfinement(t *testing.T) {
	for name, c := range map[string]struct {
		info          engine.Info
		filtered, bpf bool
	}{
		"an engine without filters":   {engine.Info{CgroupVersion: "2"}, false, false},
		"control groups of version 1": {engine.Info{Seccomp: true, CgroupVersion: "1"}, true, true},
		"control groups of version 2": {engine.Info{Seccomp: true, CgroupVersion: "2"}, true, false},
	} {
		t.Run(name, func(t *testing.T) {
			var config Config
			config.Confine(c.info)
			profile, _ := strings.CutPrefix(config.confinement()[0], "seccomp=")
			if !c.filtered {
				if profile != "unconfined" {
					t.Errorf("seccomp=%s, want unconfined", profile)
				}
				return
			}
			type rule struct {
				Names  []string
				Action string
			}
			var read struct {
				DefaultAction string
				ArchMap       []struct{ Architecture string }
				Syscalls      []rule
			}
			if err := json.Unmarshal([]byte(profile), &read); err != nil {
				t.Fatal(err)
			}
			if read.DefaultAction != "SCMP_ACT_ALLOW" || len(read.ArchMap) == 0 || len(read.Syscalls) == 0 || read.Syscalls[0].Action != "SCMP_ACT_ERRNO" {
				t.Fatalf("profile %s", profile)
			}
			refused := read.Syscalls[0].Names
			for _, name := range []string{"keyctl", "socket", "mknod", "mknodat"} {
				if !slices.ContainsFunc(read.Syscalls[1:], func(r rule) bool { return slices.Contains(r.Names, name) }) {
					t.Errorf("no rule on %s", name)
				}
			}
			for _, name := range []string{"open_by_handle_at", "fanotify_init", "quotactl", "kexec_load", "init_module"} {
				if !slices.Contains(refused, name) {
					t.Errorf("%s is not refused", name)
				}
			}
			for _, name := range []string{"mount", "unshare", "setns", "pivot_root", "clone3", "ptrace"} {
				if slices.Contains(refused, name) {
					t.Errorf("%s is refused, which an engine needs", name)
				}
			}
			if got := slices.Contains(refused, "bpf"); got != c.bpf {
				t.Errorf("bpf is refused: %t, want %t", got, c.bpf)
			}
		})
	}
}
