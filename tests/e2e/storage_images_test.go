//go:build e2e

package e2e_test

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	v1 "k8s.io/api/core/v1"
)

// imageVolume is a volume that shows an image that the host has.
func imageVolume(ref string) v1.VolumeSource {
	return v1.VolumeSource{Image: &v1.ImageVolumeSource{Reference: ref, PullPolicy: v1.PullIfNotPresent}}
}

// treeImage has files, links that are meant for its own root, and one that climbs.
func treeImage(t *testing.T) string {
	return builtImage(t, "RUN mkdir -p /tree/in && echo content >/tree/in/file && chmod 640 /tree/in/file && chown 7:8 /tree/in/file",
		"RUN echo later >/tree/in/later && rm /tree/in/file && echo anew >/tree/in/file && mkdir /tree/gone && touch /tree/gone/x",
		"RUN rm -r /tree/gone && ln -s /tree/in /tree/absolute && ln -s ../../../../tree/in /tree/climbing && ln -s /etc /tree/etc")
}

// storageImages: a volume shows an image as its containers would see it, read-only, whole or
// in part, to several containers.
func storageImages(t *testing.T, d *daemon) {
	ref := treeImage(t)
	looks := map[string][]sight{
		"init": {{"cat /vol/tree/in/file", "anew"}},
		"one": {
			{"cat /vol/tree/in/file /vol/tree/in/later", "anew\nlater"},
			{"ls /vol/tree", "absolute\nclimbing\netc\nin"},
			{"/vol/bin/busybox echo runs", "runs"},
			{"touch /vol/x || echo refused", "touch: /vol/x: Read-only file system\nrefused"},
			{"touch /vol/tree/in/file || echo refused", "touch: /vol/tree/in/file: Read-only file system\nrefused"},
			{"mount -o remount,rw /vol 2>/dev/null || echo refused", "refused"},
			{"ls /sub", "file\nlater"},
			{"cat /leaf", "anew"},
			{"ls /absolute", "file\nlater"},
			{"ls /climbing", "file\nlater"},
			{"ls /expr", "file\nlater"},
			{"cat /etcs/hostname 2>/dev/null; ls /etcs | grep -c passwd", "1"},
		},
		"two": {{"cat /elsewhere/tree/in/file", "anew"}, {"cat /none/1 2>/dev/null; ls /two/tree/in", "file\nlater"}},
	}
	pod := lookPod(map[string][]sight{"one": looks["one"], "two": looks["two"]})
	pod = withInits(pod, shell("init", lookScript(looks["init"])))
	addVolume(pod, "image", imageVolume(ref))
	addVolume(pod, "same", imageVolume(ref))
	named(t, pod, "init").VolumeMounts = []v1.VolumeMount{mount("image", "/vol")}
	named(t, pod, "one").Env = []v1.EnvVar{{Name: "WHERE", Value: "tree"}}
	named(t, pod, "one").VolumeMounts = []v1.VolumeMount{mount("image", "/vol"),
		{Name: "image", MountPath: "/sub", SubPath: "tree/in"}, {Name: "image", MountPath: "/leaf", SubPath: "tree/in/file"},
		{Name: "image", MountPath: "/absolute", SubPath: "tree/absolute"}, {Name: "image", MountPath: "/climbing", SubPath: "tree/climbing"},
		{Name: "image", MountPath: "/expr", SubPathExpr: "$(WHERE)/in"}, {Name: "image", MountPath: "/etcs", SubPath: "tree/etc"}}
	named(t, pod, "two").VolumeMounts = []v1.VolumeMount{mount("image", "/elsewhere"), mount("same", "/two")}
	p := d.run(t, pod)
	p.checkLooks(map[string][]sight{"one": looks["one"], "two": looks["two"]})
	if got := p.logs("init", logOptions{}); !strings.Contains(got, "anew") {
		t.Errorf("log of init = %q", got)
	}
}

// storageManyLayers: the options of a mount have 4096 bytes.
func storageManyLayers(t *testing.T, d *daemon) {
	var lines []string
	for i := range 124 {
		lines = append(lines, fmt.Sprintf("COPY Dockerfile /layer%d", i))
	}
	pod := newPod(shell("c", "ls /vol | grep -c layer"))
	if got := d.run(t, withVolume(pod, imageVolume(builtImage(t, lines...)), "/vol")).output(); got != "124\n" {
		t.Errorf("log = %q", got)
	}
}

// storageImageCopiesNothing: the layers of an image are not in the sandbox's own store.
func storageImageCopiesNothing(t *testing.T, d *daemon) {
	ref := builtImage(t, "RUN dd if=/dev/zero of=/large bs=1M count=64")
	p := d.run(t, withVolume(newPod(shell("c", "stat -c %s /vol/large; "+untilStopped)), imageVolume(ref), "/vol"))
	p.waitLog("c", "67108864\n")
	if used := d.storeOf(t, p); used > 16<<20 {
		t.Errorf("the sandbox's own store has %d bytes, with an image of 64 MB as a volume", used)
	}
	// What is copied does show there.
	copied := d.run(t, withVolume(newPod(shell("c", "cp /vol/large /copy && echo copied; "+untilStopped)), imageVolume(ref), "/vol"))
	copied.waitLog("c", "copied\n")
	if used := d.storeOf(t, copied); used < 64<<20 {
		t.Errorf("the sandbox's own store has %d bytes, with a copy of 64 MB in it", used)
	}
}

// storeOf is the size of the data of the engine in a pod's sandbox, in bytes.
func (d *daemon) storeOf(t *testing.T, p *podRun) (used int64) {
	t.Helper()
	var info struct{ DockerRootDir string }
	if err := suite.engine.call(t.Context(), "GET", "/info", &info); err != nil {
		t.Fatal(err)
	}
	for _, m := range p.sandbox().Mounts {
		if m.Type != "volume" {
			continue
		}
		err := filepath.WalkDir(filepath.Join(info.DockerRootDir, "volumes", m.Name, "_data", "overlay2"), func(path string, entry fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			if entry.IsDir() && entry.Name() == "merged" {
				return fs.SkipDir
			}
			info, err := entry.Info()
			if err != nil {
				return err
			}
			used += info.Sys().(*syscall.Stat_t).Blocks * 512
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return used
}

// storageImageMissing: containers without the volume run, the one with it tells why it waits
// in kubelet's words, and goes on once the image can be had.
func storageImageMissing(t *testing.T, d *daemon) {
	f := newFront(t, false)
	image := f.publish(t, "volume", 1<<10)
	f.spoilWith(refusing())
	for _, c := range []struct {
		name, ref string
		policy    v1.PullPolicy
		reasons   []string
	}{
		{"refused", f.address + "/denied:1", v1.PullAlways, []string{"ErrImagePull", "ImagePullBackOff"}},
		{"never", f.address + "/nowhere:1", v1.PullNever, []string{"ErrImageNeverPull"}},
		{"half", image.ref, v1.PullIfNotPresent, []string{"ErrImagePull"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			with := shell("with", "ls /vol >/dev/null && echo seen")
			pod := newPod(with, shell("without", "echo ran; "+untilStopped))
			addVolume(pod, "image", v1.VolumeSource{Image: &v1.ImageVolumeSource{Reference: c.ref, PullPolicy: c.policy}})
			pod.Spec.Containers[0].VolumeMounts = []v1.VolumeMount{mount("image", "/vol")}
			p := d.run(t, pod)
			seen := map[string]bool{}
			p.waitFor(fmt.Sprint(c.reasons), func(s podStatus) bool {
				seen[waitingReason(s, "with")] = true
				for _, reason := range c.reasons {
					if !seen[reason] {
						return false
					}
				}
				return s.Container("without").State.Running != nil
			})
			if c.name != "half" {
				p.delete(0)
				p.waitGone()
				return
			}
			p.waitFor("the container has run", func(s podStatus) bool { return s.Container("with").State.Terminated != nil })
			if got := p.logs("with", logOptions{}); got != "seen\n" {
				t.Errorf("log = %q", got)
			}
		})
	}
}

// storageImageMistakes: what can never be carried out is told, and leaves nothing running.
func storageImageMistakes(t *testing.T, d *daemon) {
	ref := treeImage(t)
	for _, c := range []struct {
		name, ref, subPath, reason, word string
	}{
		{"invalid name", "UPPER/x:1", "", "InvalidImageName", "UPPER"},
		{"subPath that is not there", ref, "tree/nothing", "CreateContainerConfigError", "read-only"},
		{"subPath through a file", ref, "tree/in/file/x", "CreateContainerConfigError", "leads through a file"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			pod := newPod(shell("c", "true"))
			addVolume(pod, "image", imageVolume(c.ref))
			pod.Spec.Containers[0].VolumeMounts = []v1.VolumeMount{{Name: "image", MountPath: "/vol", SubPath: c.subPath}}
			p := d.run(t, pod)
			p.waits(c.reason, c.word)
			p.delete(0)
			p.waitGone()
		})
	}
	for name, source := range map[string]v1.ImageVolumeSource{
		"needs a reference":                         {},
		"is none of Always, Never and IfNotPresent": {Reference: ref, PullPolicy: "Sometimes"},
	} {
		pod := newPod(shell("c", "true"))
		if text := d.refusedCreate(t, withVolume(pod, v1.VolumeSource{Image: &source}, "/vol")); !strings.Contains(text, name) {
			t.Errorf("refusal = %q, it lacks %q", text, name)
		}
	}
	climbing := withVolume(newPod(shell("c", "true")), imageVolume(ref), "/vol")
	climbing.Spec.Containers[0].VolumeMounts[0].SubPath = "../../etc"
	if text := d.refusedCreate(t, climbing); !strings.Contains(text, "subPath") {
		t.Errorf("refusal = %q", text)
	}
}

// storageImageEscape: a link of an image is followed below the image's root, so it shows none
// of the sandbox's files; a volume of the pod's own, whose links are the sandbox's, refuses.
func storageImageEscape(t *testing.T, d *daemon) {
	ref := builtImage(t, "RUN mkdir -p /run/docker-sd && echo the image >/run/docker-sd/mark && ln -s /run/docker-sd /way && ln -s ../../../../../run/docker-sd /climb")
	looks := map[string][]sight{"c": {
		{"ls /way; cat /way/mark", "mark\nthe image"},
		{"ls /climb", "mark"},
	}}
	pod := lookPod(looks)
	addVolume(pod, "image", imageVolume(ref))
	named(t, pod, "c").VolumeMounts = []v1.VolumeMount{{Name: "image", MountPath: "/way", SubPath: "way"}, {Name: "image", MountPath: "/climb", SubPath: "climb"}}
	d.run(t, pod).checkLooks(looks)
	// The same links in a volume that is not an image are found to lead outside.
	own := withInits(newPod(shell("c", "true")), shell("init", "ln -s /run/docker-sd /vol/way"))
	addVolume(own, "vol", emptyDir())
	own.Spec.InitContainers[0].VolumeMounts = []v1.VolumeMount{mount("vol", "/vol")}
	own.Spec.Containers[0].VolumeMounts = []v1.VolumeMount{{Name: "vol", MountPath: "/way", SubPath: "way"}}
	d.run(t, own).waits("CreateContainerConfigError", "leads outside")
}

// storageImageTakenOver: a pod with an image goes on over a restart of docker-sd, with the
// image held on the host and the same content for containers that start later; a sandbox that
// stopped gets its volume again.
func storageImageTakenOver(t *testing.T, d *daemon) {
	ref := builtImage(t, "RUN echo first >/what")
	pod := newPod(shell("c", "cat /vol/what; until test -e /shared/stop; do usleep 50000; done; exit 3"))
	pod.Spec.RestartPolicy = v1.RestartPolicyAlways
	addVolume(pod, "image", imageVolume(ref))
	dir := d.hostFolder(t, "taken-over")
	addVolume(pod, "shared", hostDir(dir))
	pod.Spec.Containers[0].VolumeMounts = []v1.VolumeMount{mount("image", "/vol"), mount("shared", "/shared")}
	p := d.run(t, pod)
	p.waitLog("c", "first\n")
	if err := d.kill(); err != nil {
		t.Fatal(err)
	}
	// The name is another image's by now.
	buildFrom(t, ref, map[string][]byte{"Dockerfile": []byte("FROM " + suite.images.busybox + "\nRUN echo second >/what\n")})
	if err := d.start(); err != nil {
		t.Fatal(err)
	}
	d.waitReady(t)
	touch(t, dir+"/stop")
	p.waitFor("a restart", func(s podStatus) bool { return s.Container("c").RestartCount > 0 })
	if err := os.Remove(dir + "/stop"); err != nil {
		t.Fatal(err)
	}
	p.waitFor("it runs again", func(s podStatus) bool { return s.Container("c").State.Running != nil })
	if got := p.logs("c", logOptions{}); got != "first\n" {
		t.Errorf("log after a restart = %q, want the image that the volume had", got)
	}
	if err := suite.engine.kill(t.Context(), p.sandbox().ID); err != nil {
		t.Fatal(err)
	}
	p.waitFor("it runs in the sandbox again", func(s podStatus) bool {
		return s.Container("c").RestartCount > 1 && s.Container("c").State.Running != nil
	})
	p.delete(0)
	p.waitGone()
}
