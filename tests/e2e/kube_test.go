//go:build e2e

package e2e_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	v1 "k8s.io/api/core/v1"
)

// kubeDaemon is what most tests of this kind share: one daemon with claims.
type kubeDaemon struct {
	*daemon
	// claim is the host's folder of the claims.
	claim string
}

// kubeTests are run by TestKube, some at a time, on one daemon.
var kubeTests = []struct {
	name string
	run  func(*testing.T, kubeDaemon)
}{
	{"full pod", kubeFullPod},
	{"eviction of an emptyDir", kubeEmptyDirEviction},
	{"eviction for ephemeral storage", kubeEphemeralEviction},
	{"eviction for ephemeral storage of the pod", kubePodEphemeralEviction},
	{"large log", kubeLargeLog},
	{"exactness", kubeExactness},
	{"emptyDir", kubeEmptyDir},
	{"emptyDir propagation", kubeEmptyDirPropagation},
	{"configMap and secret", kubePayloads},
	{"projected and downwardAPI", kubeProjected},
	{"variables from files", kubeEnvFile},
	{"mistakes of files of variables", kubeEnvFileMistakes},
	{"secrets on the host", kubeSecretsOnHost},
	{"hostPath types", kubeHostPathTypes},
	{"hostPath mistakes", kubeHostPathMistakes},
	{"volume that comes later", kubeVolumeThatComesLater},
	{"container that the engine refuses", kubeRefusedByEngine},
	{"subPath escape", kubeSubPathEscape},
	{"claims", kubeClaims},
	{"failed init", kubeFailedInit},
	{"sidecars and an end", kubeSidecarsAtEnd},
	{"sidecars and a delete", kubeSidecarsAtDelete},
	{"sidecar restarts", kubeSidecarRestarts},
	{"restart back-off", kubeBackOff},
	{"container restart rules", kubeRestartRules},
	{"restart of all containers", kubeRestartAll},
	{"postStart", kubePostStart},
	{"failed postStart", kubeFailedPostStart},
	{"preStop", kubePreStop},
	{"active deadline", kubeActiveDeadline},
	{"active deadline of a pod that waits", kubeDeadlineWhileWaiting},
	{"termination messages", kubeTerminationMessages},
	{"process and IPC namespaces", kubeNamespaces},
	{"liveness restarts", kubeLivenessRestarts},
	{"probes that kill", kubeProbesThatKill},
	{"readiness", kubeReadiness},
	{"commands out of time", kubeCommandsOutOfTime},
	{"users and groups", kubeUsers},
	{"groups of the image", kubeGroups},
	{"modes of emptyDirs", kubeEmptyDirModes},
	{"configuration mistakes", kubeMistakes},
	{"configuration mistake that is mended", kubeMendedMistake},
	{"capabilities and filters", kubeCapabilities},
	{"seccomp profiles of the node", kubeSeccompProfiles},
	{"privileged is bounded", kubePrivileged},
	{"sysctls", kubeSysctls},
	{"names", kubeNames},
	{"resolver", kubeResolver},
	{"hostPort", kubeHostPort},
	{"resources", kubeResources},
	{"resources of the pod", kubePodResources},
	{"memory of the pod", kubePodMemory},
	{"sandbox bounds", kubeSandboxBounds},
	{"logs until delete", kubeLogsUntilDelete},
	{"many lines", kubeManyLines},
	{"partial lines", kubePartialLines},
	{"bytes of a log", kubeLogBytes},
	{"lines of a terminal", kubeTerminalLines},
	{"oddities", kubeOddities},
	{"stop signal of the image", kubeStopSignal},
	{"volume of the image over restarts", kubeVolumeOfTheImage},
	{"script with CRLF", kubeScriptWithCRLF},
	{"images of many layers", kubeManyLayers},
	{"flags", kubeFlags},
}

// TestKube runs what a pod may ask for on the real engine.
func TestKube(t *testing.T) {
	t.Parallel()
	d := prepareDaemon(t, map[string]any{"AVAILABLEDINDS": sharedPool, "AllowedUnsafeSysctls": []string{"net.core.somaxconn", "kernel.msg*"}})
	claim := filepath.Join(d.dir, "claim")
	if err := os.Mkdir(claim, 0o755); err != nil {
		t.Fatal(err)
	}
	d.settings["SeccompProfileRoot"] = filepath.Join(d.dir, profilesFolder)
	d.settings["PersistentVolumeClaims"] = map[string]string{"default/named": claim, "anywhere": claim}
	if err := d.writeConfig(); err != nil {
		t.Fatal(err)
	}
	if err := d.start(); err != nil {
		t.Fatal(err)
	}
	for _, test := range kubeTests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			test.run(t, kubeDaemon{d, claim})
		})
	}
}

// sight is a command that shows something, and what it should show, both streams
// without the last line's end.
type sight struct{ show, want string }

// lookScript runs every command of a list and marks where its output begins.
func lookScript(looks []sight) string {
	var b strings.Builder
	for i, l := range looks {
		fmt.Fprintf(&b, "printf '<%d>%%s\\n' \"$({ %s\n} 2>&1)\"\n", i, l.show)
	}
	return b.String()
}

// lookPod has one container for each list.
func lookPod(looks map[string][]sight) *v1.Pod {
	pod := newPod()
	for _, name := range sortedKeys(looks) {
		pod.Spec.Containers = append(pod.Spec.Containers, shell(name, lookScript(looks[name])))
	}
	return pod
}

func sortedKeys[T any](m map[string]T) []string {
	var out []string
	for key := range m {
		out = append(out, key)
	}
	slices.Sort(out)
	return out
}

// checkLooks compares what the containers showed once the pod has succeeded.
func (p *podRun) checkLooks(looks map[string][]sight) {
	p.t.Helper()
	p.waitPhase(v1.PodSucceeded)
	for _, name := range sortedKeys(looks) {
		text := p.logs(name, logOptions{})
		for i, l := range looks[name] {
			_, rest, found := strings.Cut(text, fmt.Sprintf("<%d>", i))
			got, _, _ := strings.Cut(rest, fmt.Sprintf("\n<%d>", i+1))
			if got = strings.TrimSuffix(got, "\n"); !found || got != l.want {
				p.t.Errorf("container %s: %s\nshows %q\nwant  %q", name, l.show, got, l.want)
			}
		}
	}
}

// named is a container of a pod, of whichever kind, to be changed.
func named(t *testing.T, pod *v1.Pod, name string) *v1.Container {
	t.Helper()
	for _, list := range [][]v1.Container{pod.Spec.InitContainers, pod.Spec.Containers} {
		for i := range list {
			if list[i].Name == name {
				return &list[i]
			}
		}
	}
	t.Fatalf("the pod has no container %s", name)
	return nil
}

// addVolume adds one and says nothing about who mounts it.
func addVolume(pod *v1.Pod, name string, source v1.VolumeSource) {
	pod.Spec.Volumes = append(pod.Spec.Volumes, v1.Volume{Name: name, VolumeSource: source})
}

// mount is one with nothing but a path.
func mount(volume, at string) v1.VolumeMount { return v1.VolumeMount{Name: volume, MountPath: at} }

func ptr[T any](value T) *T { return &value }

// hostFolder makes a folder of the test's own for a hostPath volume that
// containers of any user may write to.
func (d *daemon) hostFolder(t *testing.T, name string) string {
	t.Helper()
	dir := filepath.Join(d.hostPath(), name)
	if err := os.Mkdir(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	return dir
}

// waitFile waits until a container has made a file in a host folder.
func waitFile(t *testing.T, path string) {
	t.Helper()
	eventually(t, runLimit, path+" is there", func() bool { _, err := os.Stat(path); return err == nil }, nil)
}

// waitMessage waits for a failed pod and wants words in the message of a
// container that ended.
func (p *podRun) waitMessage(container string, words ...string) v1.ContainerStateTerminated {
	p.t.Helper()
	end := p.waitPhase(v1.PodFailed).Container(container).State.Terminated
	if end == nil {
		p.t.Fatalf("container %s has not ended", container)
	}
	for _, word := range words {
		if !strings.Contains(end.Message, word) {
			p.t.Errorf("container %s ended with %q, which does not mention %q", container, end.Message, word)
		}
	}
	return *end
}
