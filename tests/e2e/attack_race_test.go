//go:build e2e

package e2e_test

import (
	"encoding/base64"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	v1 "k8s.io/api/core/v1"
)

// lookers is how many containers of one pod mount what is being exchanged, at once,
// and again as they restart.
const lookers = 6

// racePod mounts a volume, or a part of it, in many containers that say what they saw.
func racePod(t *testing.T, source v1.VolumeSource, subPath string) *v1.Pod {
	t.Helper()
	pod := newPod()
	addVolume(pod, "vol", source)
	at := []v1.VolumeMount{{Name: "vol", MountPath: "/in", SubPath: subPath}}
	for i := range lookers {
		c := attacker(t, fmt.Sprintf("look%d", i), "look", "/in")
		c.VolumeMounts = at
		pod.Spec.Containers = append(pod.Spec.Containers, c)
	}
	pod.Spec.RestartPolicy = v1.RestartPolicyAlways
	return pod
}

// withExchanger adds a sidecar that exchanges a folder of a volume with a link to /.
func withExchanger(t *testing.T, pod *v1.Pod, source v1.VolumeSource) *v1.Pod {
	t.Helper()
	c := attacker(t, "exchange", "exchange", "/vol", "x", "/")
	c.RestartPolicy = ptr(v1.ContainerRestartPolicyAlways)
	c.VolumeMounts = []v1.VolumeMount{mount("race", "/vol")}
	addVolume(pod, "race", source)
	pod.Spec.InitContainers = append([]v1.Container{c}, pod.Spec.InitContainers...)
	return pod
}

// race runs pods one after the other until one of their containers sees what lies
// outside its volume, or the time is over.
func (d *daemon) race(t *testing.T, next func() *v1.Pod, limit time.Duration) string {
	t.Helper()
	end := time.Now().Add(limit)
	pods, mounts := 0, 0
	for {
		p := d.run(t, next())
		saw, n := p.raceOnce(end)
		pods, mounts = pods+1, mounts+n
		p.delete(0)
		p.waitGone()
		if saw != "" || time.Now().After(end) {
			t.Logf("%d mounts in %d pods", mounts, pods)
			return saw
		}
	}
}

// raceOnce waits until the siblings have been started twice, or were refused as often:
// later restarts have a back-off.
func (p *podRun) raceOnce(end time.Time) (saw string, mounts int) {
	p.t.Helper()
	round := time.Now().Add(min(15*time.Second, max(time.Until(end), time.Second)))
	for {
		for _, status := range p.d.poll(p.t, p.pod) {
			saw, mounts = p.sightings(status), mounted(status)
			done := 0
			for _, c := range status.Containers {
				waits := c.State.Waiting
				if c.RestartCount > 0 || c.State.Terminated != nil || waits != nil && slices.Contains([]string{"CrashLoopBackOff", "CreateContainerConfigError", "CreateContainerError"}, waits.Reason) {
					done++
				}
			}
			if saw != "" || done >= lookers || time.Now().After(round) {
				return saw, mounts
			}
		}
		<-time.After(200 * time.Millisecond)
	}
}

// mounted is how many containers of a pod have run.
func mounted(status podStatus) int {
	n := 0
	for _, list := range [][]v1.ContainerStatus{status.InitContainers, status.Containers} {
		for _, c := range list {
			n += int(c.RestartCount)
			if c.State.Terminated != nil || c.State.Running != nil {
				n++
			}
		}
	}
	return n
}

// sightings is what the first container that got out has seen.
func (p *podRun) sightings(status podStatus) string {
	p.t.Helper()
	for _, list := range [][]v1.ContainerStatus{status.InitContainers, status.Containers} {
		for _, c := range list {
			if c.ContainerID == "" || c.Name == "exchange" {
				continue
			}
			for _, previous := range []bool{false, true} {
				if previous && c.RestartCount == 0 {
					continue
				}
				code, text := p.d.must(p.t, "GET", "/getLogs", logBody(p.t, p.pod, c.Name, logOptions{Previous: previous}))
				if f := findings(text)["look"]; code == 200 && f.state == escaped {
					return c.Name + ": " + f.saw
				}
			}
		}
	}
	return ""
}

// TestAttackSubPathRace: a container that exchanges a folder of an emptyDir with a
// link never has its siblings mount what the link leads to.
func TestAttackSubPathRace(t *testing.T) {
	againstBoth(t, 1, nil, func(t *testing.T, d *daemon, limit time.Duration) string {
		return d.race(t, func() *v1.Pod {
			pod := racePod(t, emptyDir(), "x")
			pod = withExchanger(t, pod, emptyDir())
			// The race is in the volume that the others mount.
			pod.Spec.Volumes = pod.Spec.Volumes[:1]
			pod.Spec.InitContainers[0].VolumeMounts[0].Name = "vol"
			return pod
		}, limit)
	})
}

// TestAttackHostPathRace: the same across two pods, with a folder of the host that both
// may write.
func TestAttackHostPathRace(t *testing.T) {
	againstBoth(t, 2, nil, func(t *testing.T, d *daemon, limit time.Duration) string {
		dir := d.hostFolder(t, "race")
		other := newPod()
		c := attacker(t, "exchange", "exchange", "/vol", "x", "/")
		other.Spec.Containers = append(other.Spec.Containers, c)
		exchanger := d.run(t, withVolume(other, hostDir(dir), "/vol"))
		exchanger.waitRunning()
		waitFile(t, filepath.Join(dir, "x"))
		kind := v1.HostPathUnset
		return d.race(t, func() *v1.Pod {
			return racePod(t, hostPathOf(filepath.Join(dir, "x"), kind), "")
		}, limit)
	})
}

// TestAttackClaimRace: the same with a part of a claim.
func TestAttackClaimRace(t *testing.T) {
	claim, err := os.MkdirTemp("/tmp", "dsclaim")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(claim) })
	if err := os.Chmod(claim, 0o777); err != nil {
		t.Fatal(err)
	}
	settings := map[string]any{"PersistentVolumeClaims": map[string]string{"race": claim}}
	againstBoth(t, 2, settings, func(t *testing.T, d *daemon, limit time.Duration) string {
		other := newPod(attacker(t, "exchange", "exchange", "/vol", "x", "/"))
		exchanger := d.run(t, withVolume(other, claimOf("race", false), "/vol"))
		exchanger.waitRunning()
		return d.race(t, func() *v1.Pod { return racePod(t, claimOf("race", false), "x") }, limit)
	})
}

// TestAttackShareProcessNamespace: with no way of sharing images do the containers of a
// pod with one process namespace see the processes of their sandbox, where SYS_PTRACE
// opens every file of its root.
func TestAttackShareProcessNamespace(t *testing.T) {
	t.Parallel()
	i := theIntruder(t)
	attacks := []string{"probe", "other-roots", "other-memory", "other-programs"}
	control := findings(runPlain(t, map[string]any{"Cmd": append([]string{"/intruder"}, attacks...),
		"HostConfig": map[string]any{"PidMode": "host", "CapAdd": []string{"SYS_PTRACE"}}}))
	for _, name := range attacks[1:] {
		if f := control[name]; f.state != escaped {
			t.Errorf("the control of %s %s: %s", name, f.state, f.saw)
		}
	}
	for _, sharing := range []string{"copy", "pull"} {
		t.Run(sharing, func(t *testing.T) {
			t.Parallel()
			d := ownDaemon(t, 1, map[string]any{"ImageSharing": sharing})
			c := attacker(t, "c", attacks...)
			if sharing == "pull" {
				c.Image, c.ImagePullPolicy = pulled(t, d, i), v1.PullAlways
			}
			c.SecurityContext = &v1.SecurityContext{Capabilities: &v1.Capabilities{Add: []v1.Capability{"SYS_PTRACE"}}}
			pod := newPod(c)
			pod.Spec.ShareProcessNamespace = ptr(true)
			got := findings(d.run(t, pod).output())
			for name, f := range got {
				if f.state == escaped {
					t.Errorf("%s escaped: %s", name, f.saw)
				}
			}
			if len(got) != 3 {
				t.Errorf("%d of 3 attacks were tried: %s", len(got), strings.Join(sortedKeys(got), " "))
			}
		})
	}
}

// pulled is the intruder's image in a registry that the next sandbox finds on its own
// loopback.
func pulled(t *testing.T, d *daemon, i intruder) string {
	t.Helper()
	f := newFront(t, false)
	repo := f.address + "/intruder"
	if err := post(t.Context(), "/images/"+i.image+"/tag?repo="+repo+"&tag=1", "application/json", nil, io.Discard); err != nil {
		t.Fatal(err)
	}
	suite.engine.post(t, "/images/"+repo+"/push?tag=1", map[string]string{"X-Registry-Auth": base64.URLEncoding.EncodeToString([]byte("{}"))}, nil)
	suite.engine.removeImage(t, repo+":1")
	for id := range d.waitWarm(t, 1) {
		f.serveInside(t, id)
	}
	return repo + ":1"
}
