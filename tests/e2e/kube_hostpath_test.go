//go:build e2e

package e2e_test

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	v1 "k8s.io/api/core/v1"
)

func hostPathOf(path string, kind v1.HostPathType) v1.VolumeSource {
	return v1.VolumeSource{HostPath: &v1.HostPathVolumeSource{Path: path, Type: &kind}}
}

// hostThings makes one of each kind of file below a folder.
func hostThings(t *testing.T, dir string) {
	t.Helper()
	if err := os.Mkdir(filepath.Join(dir, "dir"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "file"), []byte("content\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("unix", filepath.Join(dir, "sock"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	// The char device is /dev/null; the block device is one of the loop driver's.
	for name, device := range map[string]struct {
		mode uint32
		dev  int
	}{"char": {syscall.S_IFCHR | 0o666, 1<<8 | 3}, "block": {syscall.S_IFBLK | 0o666, 7 << 8}} {
		if err := syscall.Mknod(filepath.Join(dir, name), device.mode, device.dev); err != nil {
			t.Fatalf("make a device, which needs root: %v", err)
		}
	}
}

func kubeHostPathTypes(t *testing.T, d kubeDaemon) {
	dir := d.hostFolder(t, "types")
	hostThings(t, dir)
	kinds := []struct {
		volume, path string
		kind         v1.HostPathType
	}{
		{"unset", "unset/new", v1.HostPathUnset}, {"dirnew", "dir/made/here", v1.HostPathDirectoryOrCreate},
		{"dir", "dir", v1.HostPathDirectory}, {"filenew", "filenew", v1.HostPathFileOrCreate}, {"file", "file", v1.HostPathFile},
		{"sock", "sock", v1.HostPathSocket}, {"char", "char", v1.HostPathCharDev}, {"block", "block", v1.HostPathBlockDev},
	}
	looks := map[string][]sight{"c": {
		{"echo hello >/unset/f; test -d /unset && cat /unset/f", "hello"},
		{"touch /dirnew/g; stat -c %a /dirnew", "755"},
		{"ls /dir/made/here", "g"},
		{"stat -c %a /filenew; echo into >/filenew", "644"},
		{"cat /file", "content"},
		{"test -S /sock && echo socket", "socket"},
		{"test -c /char && echo gone >/char && cat /char", ""},
		{"test -b /block && echo block", "block"},
		{"head -c 1 /block >/dev/null || echo refused", "head: /block: Operation not permitted\nrefused"},
		{"cat /ro; echo x >/ro || echo refused", "content\nsh: can't create /ro: Read-only file system\nrefused"},
	}}
	pod := lookPod(looks)
	c := named(t, pod, "c")
	for _, k := range kinds {
		addVolume(pod, k.volume, hostPathOf(filepath.Join(dir, k.path), k.kind))
		c.VolumeMounts = append(c.VolumeMounts, mount(k.volume, "/"+k.volume))
	}
	c.VolumeMounts = append(c.VolumeMounts, v1.VolumeMount{Name: "file", MountPath: "/ro", ReadOnly: true})
	// A nil type is the same as an empty one.
	addVolume(pod, "nil", v1.VolumeSource{HostPath: &v1.HostPathVolumeSource{Path: dir}})
	c.VolumeMounts = append(c.VolumeMounts, mount("nil", "/nil"))
	d.run(t, pod).checkLooks(looks)
	for path, want := range map[string]string{"unset/new/f": "hello\n", "dir/made/here/g": "", "filenew": "into\n", "file": "content\n"} {
		if got, err := os.ReadFile(filepath.Join(dir, path)); err != nil || string(got) != want {
			t.Errorf("%s on the host = %q, %v", path, got, err)
		}
	}
}

// kubeHostPathMistakes: what only the host's files tell ends the pod with words
// that name the volume, and makes nothing.
func kubeHostPathMistakes(t *testing.T, d kubeDaemon) {
	dir := d.hostFolder(t, "mistakes")
	hostThings(t, dir)
	outside := filepath.Join(d.dir, "outside")
	if err := os.Mkdir(outside, 0o777); err != nil {
		t.Fatal(err)
	}
	for link, to := range map[string]string{"escape": outside, "etc": "/etc", "nowhere": filepath.Join(dir, "missing")} {
		if err := os.Symlink(to, filepath.Join(dir, link)); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		path, words string
		kind        v1.HostPathType
	}{
		{"missing", "does not exist", v1.HostPathDirectory}, {"missing", "does not exist", v1.HostPathFile},
		{"file", "Directory", v1.HostPathDirectory}, {"dir", "File", v1.HostPathFile}, {"file", "Socket", v1.HostPathSocket},
		{"block", "CharDevice", v1.HostPathCharDev}, {"char", "BlockDevice", v1.HostPathBlockDev},
		{"missing/file", "does not exist", v1.HostPathFileOrCreate},
		{"escape", "leads outside", v1.HostPathUnset}, {"escape/made", "leads outside", v1.HostPathDirectoryOrCreate},
		{"etc/passwd", "leads outside", v1.HostPathFile}, {"nowhere", "leads nowhere", v1.HostPathUnset},
	} {
		t.Run(c.path+" as "+string(c.kind), func(t *testing.T) {
			t.Parallel()
			pod := withVolume(newPod(shell("c", "true")), hostPathOf(filepath.Join(dir, c.path), c.kind), "/vol")
			p := d.run(t, pod)
			p.waitsToBeMade("vol (hostPath)", c.words)
			if phase := p.pod.Status.Phase; phase != v1.PodPending {
				t.Errorf("the pod is %s", phase)
			}
			if entries, err := os.ReadDir(outside); err != nil || len(entries) > 0 {
				t.Errorf("outside the prefix: %v, %v", entries, err)
			}
		})
	}
}

// waitsToBeMade waits until container c is not made yet for a reason with these words.
func (p *podRun) waitsToBeMade(words ...string) {
	p.t.Helper()
	p.waitFor("it is not made: "+strings.Join(words, ", "), func(s podStatus) bool {
		w := s.Container("c").State.Waiting
		return w != nil && w.Reason == "ContainerCreating" && !slices.ContainsFunc(words, func(word string) bool { return !strings.Contains(w.Message, word) })
	})
}

// kubeVolumeThatComesLater: what a volume lacks may come yet, and the pod then runs as if
// it had been there.
func kubeVolumeThatComesLater(t *testing.T, d kubeDaemon) {
	path := filepath.Join(d.hostFolder(t, "later"), "folder")
	pod := withInits(withVolume(newPod(shell("c", "cat /vol/f")), hostPathOf(path, v1.HostPathDirectory), "/vol"), shell("first", "true"))
	p := d.run(t, pod)
	p.waitFor("it says what it waits for", func(s podStatus) bool {
		w := s.Container("c").State.Waiting
		return w != nil && strings.Contains(w.Message, "does not exist") && s.InitContainers[0].ContainerID == ""
	})
	if err := os.Mkdir(path, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(path, "f"), []byte("came\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if got := p.output(); got != "came\n" {
		t.Errorf("log = %q", got)
	}
}

// kubeRefusedByEngine: a container that its engine does not make waits, the others run, and
// the pod can be deleted.
func kubeRefusedByEngine(t *testing.T, d kubeDaemon) {
	bad := shell("c", "true")
	bad.Lifecycle = &v1.Lifecycle{StopSignal: ptr(v1.Signal("SIGNONE"))}
	p := d.run(t, newPod(bad, shell("other", "echo ran")))
	p.waits("CreateContainerError", "SIGNONE")
	p.waitFor("the other one has run", func(s podStatus) bool { return s.Container("other").State.Terminated != nil })
	if phase := p.pod.Status.Phase; phase == v1.PodSucceeded || phase == v1.PodFailed {
		t.Errorf("the pod is %s", phase)
	}
	p.delete(30)
	p.waitGone()
}

// kubeSubPathEscape: a link that a container made leads nowhere but below its volume.
func kubeSubPathEscape(t *testing.T, d kubeDaemon) {
	for link, words := range map[string]string{"/etc": "leads outside the volume", "../../..": "leads outside the volume", "inside": ""} {
		t.Run("link to "+strings.ReplaceAll(link, "/", ":"), func(t *testing.T) {
			t.Parallel()
			pod := withInits(newPod(shell("c", "ls /in")), shell("init", fmt.Sprintf("mkdir /vol/inside; touch /vol/inside/good; ln -s %s /vol/link", link)))
			addVolume(pod, "vol", emptyDir())
			named(t, pod, "init").VolumeMounts = []v1.VolumeMount{mount("vol", "/vol")}
			named(t, pod, "c").VolumeMounts = []v1.VolumeMount{{Name: "vol", MountPath: "/in", SubPath: "link"}}
			p := d.run(t, pod)
			if words != "" {
				p.waits("CreateContainerConfigError", `subPath "link"`, words)
			} else if got := p.output(); got != "good\n" {
				t.Errorf("log = %q", got)
			}
		})
	}
}

func claimOf(name string, readOnly bool) v1.VolumeSource {
	return v1.VolumeSource{PersistentVolumeClaim: &v1.PersistentVolumeClaimVolumeSource{ClaimName: name, ReadOnly: readOnly}}
}

func kubeClaims(t *testing.T, d kubeDaemon) {
	looks := map[string][]sight{"c": {
		{"echo data >/named/f; cat /anywhere/f", "data"},
		{"touch /anywhere/x || echo refused", "touch: /anywhere/x: Read-only file system\nrefused"},
		{"echo part >/part/g; cat /named/sub/g", "part"},
	}}
	pod := lookPod(looks)
	addVolume(pod, "named", claimOf("named", false))
	addVolume(pod, "anywhere", claimOf("anywhere", true))
	named(t, pod, "c").VolumeMounts = []v1.VolumeMount{mount("named", "/named"), mount("anywhere", "/anywhere"),
		{Name: "named", MountPath: "/part", SubPath: "sub"}}
	p := d.run(t, pod)
	p.checkLooks(looks)
	p.delete(0)
	p.waitGone()
	// The data of a claim outlives the pod.
	if got, err := os.ReadFile(filepath.Join(d.claim, "f")); err != nil || string(got) != "data\n" {
		t.Errorf("the claim's file = %q, %v", got, err)
	}
}
