//go:build e2e

package e2e_test

import (
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"syscall"

	v1 "k8s.io/api/core/v1"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/clusternet"
)

// pod has its containers leave a mark in /marks each time that they run.
func (c *crashRun) pod(inits, mains []v1.Container) *v1.Pod {
	pod := newPod(mains...)
	pod.Spec.InitContainers = inits
	pod.Spec.Volumes = []v1.Volume{
		{Name: "marks", VolumeSource: hostDir(c.folder())},
		{Name: "memory", VolumeSource: v1.VolumeSource{EmptyDir: &v1.EmptyDirVolumeSource{Medium: v1.StorageMediumMemory}}},
		{Name: "image", VolumeSource: imageVolume(suite.images.busybox)},
	}
	if c.gpus > 0 {
		mains[0] = withGPUs(mains[0], c.gpus)
	}
	for _, list := range [][]v1.Container{inits, mains} {
		for i := range list {
			list[i].VolumeMounts = []v1.VolumeMount{{Name: "marks", MountPath: "/marks"}, {Name: "memory", MountPath: "/memory"}, {Name: "image", MountPath: "/image"}}
		}
	}
	return pod
}

// podEnds is the life of a pod that runs to its success.
func podEnds(c *crashRun) {
	c.arm(c.point())
	if c.pool > 0 {
		c.d.waitWarm(c.t, c.pool)
	}
	if c.standby > 0 {
		c.d.waitStandbys(c.t, c.standby)
	}
	if c.holders > 0 {
		c.d.waitHolders(c.t, c.holders)
	}
	p := c.create(c.endingPod())
	c.died(c.point())
	c.endWell(p)
}

// engineDiesToo is the life of a pod whose sandbox's engine dies while docker-sd
// is away: nobody knows any more whether the container that it had made was
// started, so it is not started again.
func engineDiesToo(c *crashRun) {
	c.arm(c.point())
	p := c.create(c.endingPod())
	c.died(c.point())
	for _, pid := range c.d.innerEngines(c.t.Errorf) {
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			c.t.Error(err)
		}
	}
	c.resume()
	c.find(p)
	end := p.waitPhase(v1.PodFailed).Container("main").State.Terminated
	if end.ExitCode != 128 || !strings.Contains(end.Message, "whether it ran is not known") {
		c.t.Errorf("end = %+v", end)
	}
	c.checkMarks(map[string]int{"init": 1, "main": 0})
	c.sandboxLetGo(p)
	p.delete(5)
	c.gone(p)
}

// imageIsPulled is the life of a pod whose image has to come from a registry.
func imageIsPulled(c *crashRun) {
	pod := c.endingPod()
	pod.Spec.Containers[0].Image = newFront(c.t, false).publish(c.t, "crash", 1<<10).ref
	c.arm(c.point())
	p := c.create(pod)
	c.died(c.point())
	c.endWell(p)
}

// podJoins is the life of a pod that joins the network of its cluster first.
func podJoins(c *crashRun) {
	pod := c.endingPod()
	pod.Annotations = map[string]string{clusternet.Commands: newCluster(c.t).values.Commands(8000)}
	c.arm(c.point())
	p := c.create(pod)
	c.passOnUntilDied()
	c.died(c.point())
	c.endWell(p)
}

func (c *crashRun) endingPod() *v1.Pod {
	init := shell("init", "echo init >>/marks/init; echo from init >/memory/file; echo init ran")
	main := shell("main", `echo main >>/marks/main; cat /memory/file; i=0; while [ $i -lt 300 ]; do i=$((i+1)); echo line $i; done`)
	return c.pod([]v1.Container{init}, []v1.Container{main})
}

// endWell brings a pod of endingPod to its end after the crash.
func (c *crashRun) endWell(p *podRun) {
	c.t.Helper()
	c.resume()
	c.find(p)
	p.waitPhase(v1.PodSucceeded)
	c.checkMarks(map[string]int{"init": 1, "main": 1})
	var lines strings.Builder
	lines.WriteString("from init\n")
	for i := range 300 {
		fmt.Fprintf(&lines, "line %d\n", i+1)
	}
	if got := p.logs("main", logOptions{}); got != lines.String() {
		c.t.Errorf("log of main has %d bytes, want %d: %.60q", len(got), lines.Len(), got)
	}
	if got := p.logs("init", logOptions{}); got != "init ran\n" {
		c.t.Errorf("log of init = %q", got)
	}
	c.sandboxLetGo(p)
	p.delete(5)
	c.gone(p)
}

// sandboxLetGo waits until an ended pod holds no container and no network.
func (c *crashRun) sandboxLetGo(p *podRun) {
	c.t.Helper()
	eventually(c.t, runLimit, "the ended pod holds no sandbox", func() bool {
		containers, err := suite.engine.containers(c.t.Context(), c.d.label())
		if err != nil {
			c.t.Fatal(err)
		}
		networks, err := suite.engine.networks(c.t.Context(), c.d.label())
		if err != nil {
			c.t.Fatal(err)
		}
		ahead := c.pool + c.standby + c.holders
		return len(containers) == ahead && len(networks) == ahead
	}, nil)
}

// podIsDeleted is the life of a pod that runs until it is deleted. A delete whose
// answer is lost is not sent again (protocol 1.5).
func podIsDeleted(c *crashRun) {
	main := shell("main", "echo main >>/marks/main; "+untilStopped)
	main.Lifecycle = &v1.Lifecycle{PostStart: execHook("echo hook >>/marks/hook"), PreStop: execHook("echo stop >>/marks/stop")}
	pod := c.pod(nil, []v1.Container{main})
	share := true
	pod.Spec.ShareProcessNamespace = &share
	c.arm(c.point())
	if c.holders > 0 {
		c.d.waitHolders(c.t, c.holders)
	}
	p := c.create(pod)
	if !c.diesBefore(func() bool { return c.marks("hook") == 1 }) {
		c.ask("/delete", p.deleteBody(5))
		c.died(c.point())
		c.resume()
		if deleteIsWritten(c.at) {
			if answer := c.d.poll(c.t, p.pod); len(answer) != 0 {
				c.t.Errorf("a deleted pod is in the status again: %+v", answer)
			}
			c.gone(p)
			c.checkDeleted()
			return
		}
	} else {
		c.died(c.point())
		c.resume()
	}
	c.find(p)
	p.waitRunning()
	p.sandbox() // it has the pod's name, or gets it
	eventually(c.t, runLimit, "the postStart hook ran", func() bool { return c.marks("hook") == 1 }, nil)
	if c.gpus > 0 {
		c.d.refusedCreate(c.t, newPod(withGPUs(shell("c", "true"), 1)))
	}
	p.delete(5)
	c.gone(p)
	c.checkDeleted()
}

// deleteIsWritten says whether a delete was on disk before docker-sd died. Until
// then it was not answered either, and the pod goes on.
func deleteIsWritten(at string) bool {
	return at != "pods.delete.asked" && !strings.HasPrefix(at, "pods.record.pending")
}

// checkDeleted: a hook runs at least once in Kubernetes, so the one that was cut
// short may run again; a container may not.
func (c *crashRun) checkDeleted() {
	c.t.Helper()
	c.checkMarks(map[string]int{"main": 1, "hook": 1})
	if n := c.marks("stop"); n < 1 || n > 2 {
		c.t.Errorf("the preStop hook ran %d times", n)
	}
}

// diesBefore says whether the armed daemon dies before something has happened.
func (c *crashRun) diesBefore(happened func() bool) bool {
	c.t.Helper()
	eventually(c.t, runLimit, "docker-sd dies or the pod runs", func() bool { return !c.d.Running() || happened() }, nil)
	if !c.d.Running() {
		return true
	}
	// The mark comes before the point behind it, and may come before one that nothing waits for.
	return strings.HasPrefix(c.at, "pods.container.hooked") || c.at == "sandbox.fit.updated"
}

// poolFills is the life of a sandbox that nobody asked for yet.
func poolFills(c *crashRun) {
	c.arm(c.point())
	c.died(c.point())
	c.resume()
	if err := c.d.idle(c.t.Context()); err != nil {
		c.t.Fatal(err)
	}
	p := c.d.run(c.t, newPod(shell("c", "echo works")))
	if got := p.output(); got != "works\n" {
		c.t.Errorf("log = %q", got)
	}
	p.delete(0)
	c.gone(p)
}

// podRestarts is the life of a container that fails once.
func podRestarts(c *crashRun) {
	main := shell("main", "echo main >>/marks/main; n=$(wc -l </marks/main); echo run $n; test $n -ge 2")
	pod := c.pod(nil, []v1.Container{main})
	pod.Spec.RestartPolicy = v1.RestartPolicyOnFailure
	c.arm(c.point())
	p := c.create(pod)
	c.died(c.point())
	c.resume()
	c.find(p)
	seen := p.waitPhase(v1.PodSucceeded)
	if got := seen.Container("main").RestartCount; got != 1 {
		c.t.Errorf("restartCount = %d, want 1", got)
	}
	c.checkMarks(map[string]int{"main": 2})
	if got := p.logs("main", logOptions{}); got != "run 2\n" {
		c.t.Errorf("log = %q", got)
	}
	if got := p.logs("main", logOptions{Previous: true}); got != "run 1\n" {
		c.t.Errorf("previous log = %q", got)
	}
	p.delete(5)
	c.gone(p)
}

// podRestartsWhole is the life of a pod of which one container has all restarted once.
func podRestartsWhole(c *crashRun) {
	script := func(name, then string) string {
		return "echo " + name + " >>/marks/" + name + "; n=$(wc -l </marks/" + name + "); echo run $n; " + then
	}
	init, other := shell("init", script("init", "true")), shell("other", script("other", "test $n -ge 2 || sleep 100000"))
	main := restartsAllOn(shell("main", script("main", "until test -e /marks/other; do usleep 20000; done; test $n -ge 2 || exit 42")), 42)
	c.arm(c.point())
	p := c.create(c.pod([]v1.Container{init}, []v1.Container{other, main}))
	c.died(c.point())
	c.resume()
	c.find(p)
	seen := p.waitPhase(v1.PodSucceeded)
	for _, status := range append(seen.Containers, seen.InitContainers...) {
		if status.RestartCount != 1 {
			c.t.Errorf("restartCount of %s = %d, want 1", status.Name, status.RestartCount)
		}
		if got := p.logs(status.Name, logOptions{}); got != "run 2\n" {
			c.t.Errorf("log of %s = %q", status.Name, got)
		}
		if got := p.logs(status.Name, logOptions{Previous: true}); got != "run 1\n" {
			c.t.Errorf("previous log of %s = %q", status.Name, got)
		}
	}
	c.checkMarks(map[string]int{"init": 2, "other": 2, "main": 2})
	p.delete(5)
	c.gone(p)
}

// sandboxIsLost is the life of a pod whose sandbox somebody removes. Its policy is
// Always, so it starts over in another.
func sandboxIsLost(c *crashRun) {
	pod := c.pod(nil, []v1.Container{shell("main", "echo main >>/marks/main; "+untilStopped)})
	pod.Spec.RestartPolicy = v1.RestartPolicyAlways
	c.arm(c.point())
	p := c.create(pod)
	p.waitRunning()
	if err := suite.engine.removeContainer(c.t.Context(), p.sandbox().ID); err != nil {
		c.t.Fatal(err)
	}
	c.died(c.point())
	c.resume()
	c.find(p)
	p.waitRunning()
	eventually(c.t, runLimit, "the container ran again", func() bool { return c.marks("main") == 2 }, nil)
	p.delete(5)
	c.gone(p)
}

// networkIsLost is the life of a pod whose sandbox loses its network while docker-sd
// is away: with the network it gets its processes anew.
func networkIsLost(c *crashRun) {
	pod := c.pod(nil, []v1.Container{shell("main", "echo main >>/marks/main; "+untilStopped)})
	pod.Spec.RestartPolicy = v1.RestartPolicyAlways
	c.arm(c.point())
	c.d.waitHolders(c.t, c.holders)
	p := c.create(pod)
	c.died(c.point())
	if err := suite.engine.kill(c.t.Context(), c.d.holderOf(c.t, p.sandbox()).ID); err != nil {
		c.t.Fatal(err)
	}
	c.resume()
	c.find(p)
	p.waitRunning()
	eventually(c.t, runLimit, "the container ran again", func() bool { return c.marks("main") == 2 }, nil)
	p.delete(5)
	c.gone(p)
}

// imageArrives is the life of a pod whose image is newer than the warm sandbox.
func imageArrives(c *crashRun) {
	c.arm(c.point())
	warm := slices.Collect(maps.Values(c.d.waitWarm(c.t, 1)))[0]
	name := "docker-sd-crash:" + c.d.instance
	commit := url.Values{"container": {warm.ID}, "pause": {"0"}, "repo": {"docker-sd-crash"}, "tag": {c.d.instance}, "comment": {c.d.instance}}
	if err := suite.engine.call(c.t.Context(), http.MethodPost, "/commit?"+commit.Encode(), nil); err != nil {
		c.t.Fatal(err)
	}
	pod := c.endingPod()
	pod.Spec.Containers[0].Image = name
	p := c.create(pod)
	c.died(c.point())
	c.endWell(p)
	suite.engine.removeImage(c.t, name)
}

// podIsOverdue is the life of a pod that is ended by its deadline, although its
// container makes a success of being stopped.
func podIsOverdue(c *crashRun) {
	pod := c.pod(nil, []v1.Container{shell("main", "trap 'exit 0' TERM; echo main >>/marks/main; while :; do usleep 50000; done")})
	c.resume()
	seconds := c.d.deadline(c.t)
	c.before++
	if err := c.d.stop(); err != nil {
		c.t.Fatal(err)
	}
	pod.Spec.ActiveDeadlineSeconds = &seconds
	c.arm(c.point())
	p := c.create(pod)
	c.died(c.point())
	c.resume()
	c.find(p)
	end := p.waitPhase(v1.PodFailed).Container("main").State.Terminated
	if end.ExitCode != 137 || !strings.Contains(end.Message, "DeadlineExceeded") {
		c.t.Errorf("end = %+v", end)
	}
	c.checkMarks(map[string]int{"main": 1})
	c.sandboxLetGo(p)
	p.delete(5)
	c.gone(p)
}

// podWaitsTooLong is the life of a pod whose deadline passes before it has a sandbox: the
// host uses the port that it is to publish.
func podWaitsTooLong(c *crashRun) {
	held, err := net.Listen("tcp", "0.0.0.0:0")
	if err != nil {
		c.t.Fatal(err)
	}
	defer held.Close()
	pod := c.pod(nil, []v1.Container{shell("main", "echo main >>/marks/main")})
	pod.Spec.Containers[0].Ports = []v1.ContainerPort{{ContainerPort: 80, HostPort: int32(held.Addr().(*net.TCPAddr).Port)}}
	pod.Spec.ActiveDeadlineSeconds = ptr(int64(1))
	c.arm(c.point())
	p := c.create(pod)
	c.died(c.point())
	c.resume()
	c.find(p)
	if end := p.waitPhase(v1.PodFailed).Container("main").State.Terminated; end.ExitCode != 137 || !strings.Contains(end.Message, "DeadlineExceeded") {
		c.t.Errorf("end = %+v", end)
	}
	p.delete(5)
	c.gone(p)
	c.checkMarks(map[string]int{"main": 0})
}
