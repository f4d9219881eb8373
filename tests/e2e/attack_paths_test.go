//go:build e2e

package e2e_test

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"
	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
)

// imageOf imports an image of the intruder, links and folders, and nothing else.
func imageOf(t *testing.T, links map[string]string) string {
	t.Helper()
	archive, err := archiveOf(theIntruder(t).binary, links)
	if err != nil {
		t.Fatal(err)
	}
	tag := uuid.NewString()[:8]
	suite.engine.post(t, "/images/create?fromSrc=-&repo=docker-sd-test/links&tag="+tag, map[string]string{"Content-Type": "application/x-tar"}, bytes.NewReader(archive))
	image := "docker-sd-test/links:" + tag
	t.Cleanup(func() { suite.engine.removeImage(t, image) })
	return image
}

// TestAttackImages: an image whose folders are links has nothing mounted or made where
// they lead. The program runs, or the container is refused.
func TestAttackImages(t *testing.T) {
	t.Parallel()
	d := sharedDaemon(t)
	up := strings.Repeat("../", 1000)
	for name, links := range map[string]map[string]string{
		"etc":         {"etc": "/proc/self/root/proc/sys"},
		"etc up":      {"etc": up + "var/lib/docker"},
		"hosts":       {"etc/hosts": "/proc/sys/kernel/core_pattern"},
		"message":     {"dev": "/proc/1/root/dev", "tmp": "/proc/self/fd"},
		"volume":      {"vol": "/proc/1/root"},
		"volume up":   {"vol": up},
		"volume fd":   {"vol": "/proc/self/fd/7/../../.."},
		"proc":        {"proc": "/tmp"},
		"sys":         {"sys": "/vol"},
		"working dir": {"work": "/proc/self/fd/8"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			image := imageOf(t, links)
			c := attacker(t, "c", "cwd")
			c.Image = image
			if links["work"] != "" {
				c.WorkingDir = "/work"
			}
			pod := withVolume(newPod(c), emptyDir(), "/vol")
			d.endsInside(t, pod)
		})
	}
}

// endsInside runs a pod to its end and wants that it saw nothing outside, or was
// refused. Its sandbox's root file system and the host's must not be changed by it.
func (d *daemon) endsInside(t *testing.T, pod *v1.Pod) {
	t.Helper()
	p := d.run(t, pod)
	status := p.waitFor("an end, or a refusal to make it", func(s podStatus) bool {
		return p.pod.Status.Phase == v1.PodSucceeded || p.pod.Status.Phase == v1.PodFailed ||
			!slices.ContainsFunc(s.Containers, func(c v1.ContainerStatus) bool {
				return c.State.Terminated == nil && waitingReason(s, c.Name) != "CreateContainerError"
			})
	})
	for _, c := range status.Containers {
		code, text := d.must(t, http.MethodGet, "/getLogs", logBody(t, p.pod, c.Name, logOptions{}))
		got := findings(text)
		for _, name := range sortedKeys(got) {
			if f := got[name]; f.state == escaped {
				t.Errorf("%s: %s escaped: %s", c.Name, name, f.saw)
			}
		}
		if end := c.State.Terminated; end != nil && (code != http.StatusOK || len(got) == 0) {
			if end.ExitCode == 0 {
				t.Errorf("%s ended well and found nothing: %s", c.Name, text)
			}
			t.Logf("%s was refused: %.400s", c.Name, end.Message+text)
		}
	}
}

// TestAttackDescriptors: no working folder and no command leads out through a
// descriptor that a runtime has left open.
func TestAttackDescriptors(t *testing.T) {
	t.Parallel()
	control := findings(runPlain(t, map[string]any{"Cmd": []string{"/intruder", "cwd"}, "WorkingDir": "/host/tmp",
		"HostConfig": map[string]any{"Binds": []string{"/:/host"}}}))
	if f := control["cwd"]; f.state != escaped {
		t.Errorf("the control %s: %s", f.state, f.saw)
	}
	d := sharedDaemon(t)
	pod := newPod()
	for fd := 3; fd < 15; fd++ {
		c := attacker(t, fmt.Sprintf("fd%d", fd), "cwd")
		c.WorkingDir = fmt.Sprintf("/proc/self/fd/%d", fd)
		pod.Spec.Containers = append(pod.Spec.Containers, c)
	}
	self := container("self", "/proc/self/exe", "cwd")
	self.Image = theIntruder(t).image
	pod.Spec.Containers = append(pod.Spec.Containers, self)
	d.endsInside(t, pod)
}

// TestAttackMountTargets: mount paths that lead through links of a shared volume, of
// the image, over /dev, and into /proc stay in the container.
func TestAttackMountTargets(t *testing.T) {
	t.Parallel()
	d := sharedDaemon(t)
	prepare := attacker(t, "prepare", "make", "link:/vol/out:/", "link:/vol/proc:/proc/1/root", "link:/vol/null:/proc/sys/kernel/core_pattern",
		"link:/vol/shm:/proc/sys", "link:/vol/up:"+strings.Repeat("../", 1000)+"proc/sys", "dir:/vol/in", "link:/vol/in/deep:/proc/self/root")
	const setting = "/proc/sys/kernel/core_pattern"
	device := attacker(t, "prepare", "make", "dir:/vol/shm", "dir:/vol/mqueue", "dir:/vol/pts", "link:/vol/null:"+setting, "link:/vol/console:"+setting,
		"link:/vol/pts/0:"+setting, "link:/vol/ptmx:"+setting)
	doors := openDoors("/tmp")
	if f := findings(runPlain(t, map[string]any{"Cmd": []string{"/intruder", "probe", "masked-settings"}, "Env": []string{"ATTACK_MASKED=" + setting},
		"HostConfig": doors}))["masked-settings"]; f.state != escaped {
		t.Errorf("the control %s: %s", f.state, f.saw)
	}
	for name, at := range map[string][]v1.VolumeMount{
		"through a link":         {mount("vol", "/vol"), mount("other", "/vol/out/usr")},
		"through a link of proc": {mount("vol", "/vol"), mount("other", "/vol/proc/etc")},
		"nested":                 {mount("vol", "/vol"), mount("other", "/vol/in/deep/proc/sys")},
		"far up":                 {mount("vol", "/vol"), mount("other", "/vol/up/kernel")},
		"dev":                    {mount("vol", "/dev")},
		"dev and a terminal":     {mount("vol", "/dev")},
		"proc":                   {mount("other", "/proc/sys/kernel")},
		"descriptor":             {mount("other", "/proc/self/fd/7")},
		"hosts":                  {mount("other", "/etc/hosts")},
		"the program":            {mount("vol", "/intruder")},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := attacker(t, "c", "probe", "core-pattern", "kernel-settings", "proc-files", "other-roots", "masked-settings")
			c.VolumeMounts = at
			first := prepare
			if strings.HasPrefix(name, "dev") {
				first = device
			}
			pod := withInits(newPod(c), first)
			named(t, pod, "prepare").VolumeMounts = []v1.VolumeMount{mount("vol", "/vol")}
			addVolume(pod, "vol", emptyDir())
			addVolume(pod, "other", emptyDir())
			if strings.HasPrefix(name, "dev") {
				c := named(t, pod, "c")
				c.Command = append(c.Command, "block-devices")
				c.TerminationMessagePath, c.TTY = "", strings.Contains(name, "terminal")
			}
			d.endsInside(t, pod)
		})
	}
}

// TestAttackSources: what leads up a thousand levels is refused when it is created, or
// keeps its container from being made, and nothing is mounted or made.
func TestAttackSources(t *testing.T) {
	t.Parallel()
	d := sharedDaemon(t)
	up := strings.Repeat("../", 1000)
	canary := filepath.Join("/tmp", "attack-"+uuid.NewString()[:8])
	for name, change := range map[string]func(*v1.Pod){
		"subPath":     func(p *v1.Pod) { p.Spec.Containers[0].VolumeMounts[0].SubPath = up + canary[1:] },
		"absolute":    func(p *v1.Pod) { p.Spec.Containers[0].VolumeMounts[0].SubPath = canary },
		"subPathExpr": func(p *v1.Pod) { expr(p, up+canary[1:]) },
		"expanded":    func(p *v1.Pod) { expr(p, "a/../../"+up+canary[1:]) },
		"hostPath": func(p *v1.Pod) {
			p.Spec.Volumes[0].VolumeSource = hostDir(d.hostPath() + "/" + up + canary[1:])
		},
		"items": func(p *v1.Pod) {
			p.Spec.Volumes[0].VolumeSource = configMap("cm")
			p.Spec.Volumes[0].ConfigMap.Items = []v1.KeyToPath{{Key: "a.txt", Path: up + canary[1:]}}
		},
		"volume name":  func(p *v1.Pod) { rename(p, up+"x") },
		"claim":        func(p *v1.Pod) { p.Spec.Volumes[0].VolumeSource = claimOf(up+"etc", false) },
		"message path": func(p *v1.Pod) { p.Spec.Containers[0].TerminationMessagePath = "/dev/../" + up + canary[1:] },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			pod := withVolume(newPod(attacker(t, "c", "cwd")), emptyDir(), "/vol")
			change(pod)
			request := newCreate(pod)
			request.GiveData([]v1.ConfigMap{bytesMap()}, nil, nil)
			code, text := d.must(t, http.MethodPost, "/create", encode(t, request))
			if code == http.StatusOK {
				p := d.created(t, pod, code, text)
				p.waitFor("an end, or a container that cannot be made", func(s podStatus) bool {
					return p.pod.Status.Phase == v1.PodSucceeded || p.pod.Status.Phase == v1.PodFailed || cannotBeMade(s.Container("c"))
				})
			} else if code != http.StatusBadRequest {
				t.Errorf("%d: %s", code, text)
			}
			if _, err := os.Lstat(canary); err == nil {
				t.Errorf("%s was made on the host", canary)
			}
		})
	}
}

// cannotBeMade says that a container waits because of what its pod asks for.
func cannotBeMade(c v1.ContainerStatus) bool {
	return c.State.Waiting != nil && c.State.Waiting.Reason == "CreateContainerConfigError"
}

func expr(p *v1.Pod, value string) {
	c := &p.Spec.Containers[0]
	c.Env = append(c.Env, v1.EnvVar{Name: "WHERE", Value: value})
	c.VolumeMounts[0].SubPathExpr = "$(WHERE)"
}

// TestAttackFiles: what a pod puts into its volumes, fifos, devices and links, holds up
// neither docker-sd nor the pod's end, and is not followed. A naive reader would wait.
func TestAttackFiles(t *testing.T) {
	t.Parallel()
	d := ownDaemon(t, 1, nil)
	victim := filepath.Join(d.dir, "victim")
	if err := os.WriteFile(victim, []byte("untouched"), 0o600); err != nil {
		t.Fatal(err)
	}
	things := []string{"make"}
	for _, dir := range []string{"/disk", "/mem", "/host"} {
		things = append(things, "fifo:"+dir+"/fifo", "link:"+dir+"/link:"+victim, "link:"+dir+"/loop:loop", "file:"+dir+"/new\nlevel=error msg=\"forged\"\n:x")
	}
	things = append(things, "size:/dev/termination-log:1099511627776", "null:/disk/null", "deep:/disk/deep:3000")
	pod := withInits(newPod(shell("c", untilStopped)), attacker(t, "make", things...))
	addVolume(pod, "disk", v1.VolumeSource{EmptyDir: &v1.EmptyDirVolumeSource{SizeLimit: ptr(resource.MustParse("64Mi"))}})
	addVolume(pod, "mem", v1.VolumeSource{EmptyDir: &v1.EmptyDirVolumeSource{Medium: v1.StorageMediumMemory}})
	addVolume(pod, "host", hostDir(d.hostFolder(t, "files")))
	for _, part := range []string{"fifo", "link", "loop", "null"} {
		for _, volume := range []string{"disk", "mem", "host"} {
			c := attacker(t, part+"-"+volume, "open", "r:/in", "r:/in/.")
			c.VolumeMounts = []v1.VolumeMount{{Name: volume, MountPath: "/in", SubPath: part}}
			pod.Spec.Containers = append(pod.Spec.Containers, c)
		}
	}
	named(t, pod, "make").VolumeMounts = []v1.VolumeMount{mount("disk", "/disk"), mount("mem", "/mem"), mount("host", "/host")}
	p := d.run(t, pod)
	p.waitFor("all but one container have ended or cannot be made", func(s podStatus) bool {
		for _, c := range s.Containers {
			if c.Name != "c" && c.State.Terminated == nil && !cannotBeMade(c) {
				return false
			}
		}
		return s.Container("c").State.Running != nil
	})
	// A docker-sd that starts looks at all of it again.
	if err := d.kill(); err != nil {
		t.Fatal(err)
	}
	if err := d.start(); err != nil {
		t.Fatal(err)
	}
	d.waitReady(t)
	p.waitFor("it runs", func(s podStatus) bool { return s.Container("c").State.Running != nil })
	for line := range strings.Lines(d.log.String()) {
		if strings.HasPrefix(line, "level=error msg=\"forged\"") {
			t.Errorf("a name of a file is a line of the log: %s", line)
		}
	}
	p.delete(0)
	p.waitGone()
	if text, err := os.ReadFile(victim); err != nil || string(text) != "untouched" {
		t.Errorf("the host's file is %q, %v", text, err)
	}
}

// TestAttackRemoval: while a pod is deleted, one of its folders is exchanged with a link
// to a folder of the host again and again. Nothing there is deleted. A remover that goes
// by names deletes it.
func TestAttackRemoval(t *testing.T) {
	t.Parallel()
	i := theIntruder(t)
	d := ownDaemon(t, 1, nil)
	outside := filepath.Join(d.dir, "outside")
	lay := func() {
		if err := os.MkdirAll(outside, 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(outside, "inside"), []byte("kept"), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	lay()
	lost := func() bool { _, err := os.Stat(filepath.Join(outside, "inside")); return err != nil }
	control := t.TempDir()
	stop := exchangeOnHost(t, i, control, outside)
	eventually(t, controlLimit, "a remover that goes by names deletes what is outside", func() bool {
		_ = os.Remove(filepath.Join(control, "x", "inside"))
		return lost()
	}, nil)
	stop()
	lay()
	for range 10 {
		p := d.run(t, withVolume(newPod(shell("c", "mkdir -p /vol/x; touch /vol/x/inside; "+untilStopped)), emptyDir(), "/vol"))
		p.waitRunning()
		p.sandbox()
		key := strings.ReplaceAll(strings.TrimSuffix(p.box, "_dind"), "-", "")
		found, err := filepath.Glob(filepath.Join(d.data(), "sandboxes", key[:16], "pod", "*", "vol"))
		if err != nil || len(found) != 1 {
			t.Fatalf("the folder of the volume: %v, %v", found, err)
		}
		stop := exchangeOnHost(t, i, found[0], outside)
		p.delete(0)
		p.waitGone()
		stop()
		if lost() {
			t.Fatal("a file of the host's was deleted with the pod")
		}
	}
}

// exchangeOnHost runs the exchanging program on the host until it is stopped, or
// what it exchanges is gone.
func exchangeOnHost(t *testing.T, i intruder, dir, target string) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	command := exec.CommandContext(ctx, i.binary, "exchange", dir, "x", target)
	if err := command.Start(); err != nil {
		cancel()
		t.Fatal(err)
	}
	eventually(t, runLimit, "the exchange has begun", func() bool {
		info, err := os.Lstat(filepath.Join(dir, "x"))
		return err == nil && info.Mode()&os.ModeSymlink != 0
	}, nil)
	return func() { cancel(); _ = command.Wait() }
}
