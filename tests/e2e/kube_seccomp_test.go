//go:build e2e

package e2e_test

import (
	"os"
	"path/filepath"
	"testing"

	v1 "k8s.io/api/core/v1"
)

// profilesFolder is where the daemon of these tests has its seccomp profiles.
const profilesFolder = "profiles"

// kubeSeccompProfiles: a profile of the node does what it says and opens nothing that the
// sandbox's own filter closes; one that cannot be had keeps its container waiting.
func kubeSeccompProfiles(t *testing.T, d kubeDaemon) {
	folder := filepath.Join(d.dir, profilesFolder)
	if err := os.MkdirAll(filepath.Join(folder, "site"), 0o700); err != nil {
		t.Fatal(err)
	}
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("site/strict.json", `{"defaultAction":"SCMP_ACT_ALLOW","architectures":["SCMP_ARCH_X86_64","SCMP_ARCH_AARCH64"],
		"syscalls":[{"names":["mkdir","mkdirat"],"action":"SCMP_ACT_ERRNO","errnoRet":13}]}`)
	write("open.json", `{"defaultAction":"SCMP_ACT_ALLOW"}`)
	if err := os.Symlink("/etc/passwd", filepath.Join(folder, "outside.json")); err != nil {
		t.Fatal(err)
	}
	of := func(name string) *v1.SeccompProfile {
		return &v1.SeccompProfile{Type: v1.SeccompProfileTypeLocalhost, LocalhostProfile: &name}
	}
	const filters, makeDisk = "grep Seccomp_filters: /proc/self/status | cut -f2", "mknod /disk b 7 0 && echo made"
	looks := map[string][]sight{
		"strict": {{"mkdir /d", "mkdir: can't create directory '/d': Permission denied"}, {filters, "2"}},
		"plain":  {{"mkdir /d && echo made", "made"}},
		"open":   {{filters, "2"}, {makeDisk, "mknod: /disk: Operation not permitted"}},
		"root":   {{filters, "1"}, {"mkdir /d && echo made", "made"}},
	}
	pod := lookPod(looks)
	named(t, pod, "strict").SecurityContext = &v1.SecurityContext{SeccompProfile: of("site/strict.json")}
	named(t, pod, "open").SecurityContext = &v1.SecurityContext{SeccompProfile: of("open.json")}
	// As with kubelet a privileged container has no profile of its own.
	named(t, pod, "root").SecurityContext = &v1.SecurityContext{Privileged: ptr(true), SeccompProfile: of("site/strict.json")}
	p := d.run(t, pod)
	waiting := newPod(shell("c", "mkdir /d && echo made"))
	waiting.Spec.SecurityContext = &v1.PodSecurityContext{SeccompProfile: of("later.json")}
	w := d.run(t, waiting)
	outside := newPod(shell("c", "true"))
	outside.Spec.SecurityContext = &v1.PodSecurityContext{SeccompProfile: of("outside.json")}
	o := d.run(t, outside)
	// Without the sandbox around it a container with such a profile makes the node.
	out := runPlain(t, map[string]any{"Image": suite.images.busybox, "Cmd": []string{"sh", "-c", makeDisk},
		"HostConfig": map[string]any{"SecurityOpt": []string{`seccomp={"defaultAction":"SCMP_ACT_ALLOW"}`}}})
	if out != "made\n" {
		t.Errorf("without a sandbox the node cannot be made either: %s", out)
	}
	p.checkLooks(looks)
	o.waits("CreateContainerError", "outside.json", "not below the folder")
	w.waits("CreateContainerError", "later.json", "does not exist")
	write("later.json", `{"defaultAction":"SCMP_ACT_ALLOW"}`)
	if got := w.output(); got != "made\n" {
		t.Errorf("log = %q", got)
	}
}
