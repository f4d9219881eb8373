//go:build e2e

package e2e_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/intertwin-eu/interlink-docker-plugin/tests/kit"
	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

const (
	tickPeriod = 20 * time.Millisecond
	// runLimit is more than anything here needs on the slowest machine, where a
	// sandbox boots in half a minute. Whatever a test waits for has this limit.
	runLimit = 5 * time.Minute
)

// eventually waits for a condition and fails the test when it does not come
// true; last says what was seen instead.
func eventually(t *testing.T, limit time.Duration, what string, ok func() bool, last func() string) {
	t.Helper()
	deadline := time.Now().Add(limit)
	tick := time.NewTicker(tickPeriod)
	defer tick.Stop()
	for !ok() {
		if time.Now().After(deadline) {
			seen := ""
			if last != nil {
				seen = ": " + last()
			}
			t.Fatalf("not within %s: %s%s", limit, what, seen)
		}
		<-tick.C
	}
}

// container runs argv in the busybox image, with what an API server fills in.
func container(name string, argv ...string) v1.Container {
	return v1.Container{Name: name, Image: suite.images.busybox, Command: argv, ImagePullPolicy: v1.PullIfNotPresent,
		TerminationMessagePath: "/dev/termination-log", TerminationMessagePolicy: v1.TerminationMessageReadFile}
}

// shell runs a script in the busybox image.
func shell(name, script string) v1.Container { return container(name, "sh", "-c", script) }

// untilStopped is a script that ends at once on SIGTERM.
const untilStopped = "trap 'exit 0' TERM; while :; do sleep 1000 & wait $!; done"

// newPod has restartPolicy Never unless the test changes it.
func newPod(containers ...v1.Container) *v1.Pod {
	uid := uuid.NewString()
	return &v1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: "e2e-" + uid[:8], Namespace: "default", UID: types.UID(uid)},
		Spec:       v1.PodSpec{Containers: containers, RestartPolicy: v1.RestartPolicyNever, NodeName: "e2e"},
		Status:     v1.PodStatus{Phase: v1.PodPending, HostIP: "127.0.0.1", PodIP: "127.0.0.1"},
	}
}

// withVolume mounts a volume in every container of the pod.
func withVolume(pod *v1.Pod, source v1.VolumeSource, at string) *v1.Pod {
	pod.Spec.Volumes = append(pod.Spec.Volumes, v1.Volume{Name: "vol", VolumeSource: source})
	for _, list := range [][]v1.Container{pod.Spec.InitContainers, pod.Spec.Containers} {
		for i := range list {
			list[i].VolumeMounts = append(list[i].VolumeMounts, v1.VolumeMount{Name: "vol", MountPath: at})
		}
	}
	return pod
}

func emptyDir() v1.VolumeSource {
	return v1.VolumeSource{EmptyDir: &v1.EmptyDirVolumeSource{}}
}

func hostDir(path string) v1.VolumeSource {
	kind := v1.HostPathDirectoryOrCreate
	return v1.VolumeSource{HostPath: &v1.HostPathVolumeSource{Path: path, Type: &kind}}
}

func limits(cpu, memory string) v1.ResourceRequirements {
	list := v1.ResourceList{}
	if cpu != "" {
		list[v1.ResourceCPU] = resource.MustParse(cpu)
	}
	if memory != "" {
		list[v1.ResourceMemory] = resource.MustParse(memory)
	}
	return v1.ResourceRequirements{Limits: list, Requests: list}
}

// podRun is a pod that was created, seen as the Virtual Kubelet sees it.
type podRun struct {
	t   *testing.T
	d   *daemon
	pod *v1.Pod
	jid string
	// box is the pool name of the pod's sandbox, once it has been seen. The JID is
	// the name of the one that was promised, which may be another.
	box string
}

// run creates a pod. When the test ends the pod is deleted and must leave
// nothing behind.
func (d *daemon) run(t *testing.T, pod *v1.Pod) *podRun {
	t.Helper()
	return d.runRequest(t, newCreate(pod))
}

func (d *daemon) runRequest(t *testing.T, request createRequest) *podRun {
	t.Helper()
	code, text := d.must(t, http.MethodPost, "/create", encode(t, request))
	return d.created(t, request.Pod, code, text)
}

// created takes over a pod whose create was answered.
func (d *daemon) created(t *testing.T, pod *v1.Pod, code int, text string) *podRun {
	t.Helper()
	p := &podRun{t: t, d: d, pod: pod}
	t.Cleanup(p.clean)
	p.jid = decodeCreate(t, pod, code, text).PodJID
	p.annotate()
	return p
}

// annotate marks the pod as the Virtual Kubelet does after a create.
func (p *podRun) annotate() {
	if p.pod.Annotations == nil {
		p.pod.Annotations = map[string]string{}
	}
	p.pod.Annotations["JobID"] = p.jid
}

// clean deletes without grace and checks that nothing of the pod is left.
func (p *podRun) clean() {
	if p.t.Failed() {
		p.t.Logf("the daemon's log on pod %s:\n%s", p.pod.UID, p.d.log.About(string(p.pod.UID), p.jid))
	}
	if !p.d.Running() {
		return // the test ended it; all that carries its label is removed
	}
	// The test's own context is over.
	if _, err := p.find(context.Background()); err != nil {
		p.t.Errorf("look for the sandbox of pod %s: %v", p.pod.UID, err)
	}
	code, text, err := p.d.call(context.Background(), http.MethodPost, "/delete", p.deleteBody(0))
	if err != nil || code != http.StatusOK {
		p.t.Errorf("delete of pod %s was answered with %d: %s: %v", p.pod.UID, code, text, err)
		return
	}
	p.waitGone()
}

func (p *podRun) deleteBody(grace int64) []byte {
	pod := p.pod.DeepCopy()
	now := metav1.Now()
	pod.DeletionTimestamp, pod.DeletionGracePeriodSeconds = &now, &grace
	return encode(p.t, pod)
}

// delete asks with a grace period and returns how long the answer took.
func (p *podRun) delete(grace int64) time.Duration {
	p.t.Helper()
	began := time.Now()
	if code, text := p.d.must(p.t, http.MethodPost, "/delete", p.deleteBody(grace)); code != http.StatusOK {
		p.t.Fatalf("delete was answered with %d: %s", code, text)
	}
	return time.Since(began)
}

// deadline is enough seconds for a pod to run before they are over, as it goes now.
func (d *daemon) deadline(t *testing.T) int64 {
	t.Helper()
	began := time.Now()
	p := d.run(t, newPod(shell("c", untilStopped)))
	p.waitRunning()
	enough := 3*time.Since(began) + 2*time.Second
	p.delete(0)
	p.waitGone()
	return int64(enough.Seconds()) + 1
}

// waitGone waits until no trace of the pod is left on the host.
func (p *podRun) waitGone() {
	p.t.Helper()
	deadline := time.Now().Add(runLimit)
	for {
		left, err := p.traces()
		switch {
		case err != nil:
			p.t.Errorf("look for traces of pod %s: %v", p.pod.UID, err)
			return
		case len(left) == 0:
			return
		case time.Now().After(deadline):
			p.t.Errorf("pod %s left behind: %s", p.pod.UID, strings.Join(left, ", "))
			return
		}
		<-time.After(tickPeriod)
	}
}

// find looks for the pod's sandbox on the host, by its name (protocol 8.1).
func (p *podRun) find(ctx context.Context) ([]hostContainer, error) {
	all, err := p.d.engine.containers(ctx, p.d.label())
	if err != nil {
		return nil, err
	}
	var out []hostContainer
	for _, c := range all {
		switch {
		case c.name() == string(p.pod.UID)+"_dind":
			p.box = c.Labels[sandboxLabel]
			out = append(out, c)
		case p.box != "" && c.Labels[sandboxLabel] == p.box:
			out = append(out, c)
		}
	}
	return out, nil
}

// sandbox waits until the pod's sandbox has its name.
func (p *podRun) sandbox() hostContainer {
	p.t.Helper()
	var found []hostContainer
	eventually(p.t, runLimit, "the sandbox has its pod's name", func() bool {
		var err error
		if found, err = p.find(p.t.Context()); err != nil {
			p.t.Fatal(err)
		}
		found = slices.DeleteFunc(found, hostContainer.holder)
		return len(found) == 1
	}, nil)
	return found[0]
}

// traces names what exists of a pod: container, network, files, record. What
// was never seen under the pod's name is found when its daemon is idle.
func (p *podRun) traces() ([]string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), runLimit)
	defer cancel()
	var left []string
	containers, err := p.find(ctx)
	if err != nil {
		return nil, err
	}
	for _, c := range containers {
		left = append(left, "container "+c.name())
	}
	paths := []string{filepath.Join("records", string(p.pod.UID)+".json"), p.pod.Namespace + "-" + string(p.pod.UID)}
	if p.box != "" {
		networks, err := p.d.engine.networks(ctx, p.d.label(), sandboxLabel+"="+p.box)
		if err != nil {
			return nil, err
		}
		for _, n := range networks {
			left = append(left, "network "+n.Name)
		}
		key := strings.ReplaceAll(strings.TrimSuffix(p.box, "_dind"), "-", "")
		paths = append(paths, filepath.Join("sandboxes", key[:min(len(key), 16)]))
	}
	for _, path := range paths {
		if _, err := os.Lstat(filepath.Join(p.d.data(), path)); err == nil {
			left = append(left, "file "+path)
		} else if !errors.Is(err, os.ErrNotExist) {
			return nil, err
		}
	}
	return left, nil
}

// status polls once, checks the answer against the rules of protocol 2, and
// advances the pod's phase as the Virtual Kubelet does.
func (p *podRun) status() podStatus {
	p.t.Helper()
	// A pod that is being taken over is left out, and the caller keeps what it knows
	// (protocol 2.3).
	var answer []podStatus
	eventually(p.t, runLimit, "the status has an entry for the one pod", func() bool {
		answer = p.d.poll(p.t, p.pod)
		return len(answer) == 1
	}, nil)
	if err := kit.CheckStatus(p.pod, answer[0]); err != nil {
		p.t.Fatalf("status breaks a rule of the Virtual Kubelet: %v\n%s", err, encode(p.t, answer[0]))
	}
	if answer[0].JID != p.jid {
		p.t.Fatalf("status has JID %q, create answered %q", answer[0].JID, p.jid)
	}
	p.pod.Status.Phase = kit.PhaseOf(p.pod.Status.Phase, answer[0])
	return answer[0]
}

// waitFor polls until the status is as wanted.
func (p *podRun) waitFor(what string, ok func(podStatus) bool) podStatus {
	p.t.Helper()
	var seen podStatus
	eventually(p.t, runLimit, what, func() bool { seen = p.status(); return ok(seen) },
		func() string { return string(encode(p.t, seen)) })
	return seen
}

// waitPhase waits until the cluster would show the phase, and fails at once
// when another final one comes.
func (p *podRun) waitPhase(want v1.PodPhase) podStatus {
	p.t.Helper()
	seen := p.waitFor("phase "+string(want), func(podStatus) bool {
		phase := p.pod.Status.Phase
		return phase == want || phase == v1.PodSucceeded || phase == v1.PodFailed
	})
	if p.pod.Status.Phase != want {
		p.t.Fatalf("the pod ended as %s, want %s: %s", p.pod.Status.Phase, want, encode(p.t, seen))
	}
	return seen
}

// waitRunning waits until every container runs; the phase tells of one only.
func (p *podRun) waitRunning() podStatus {
	p.t.Helper()
	return p.waitFor("all containers run", func(s podStatus) bool {
		for _, c := range s.Containers {
			if c.State.Running == nil {
				return false
			}
		}
		return true
	})
}

func (p *podRun) logs(container string, opts logOptions) string {
	p.t.Helper()
	code, text := p.d.must(p.t, http.MethodGet, "/getLogs", logBody(p.t, p.pod, container, opts))
	if code != http.StatusOK {
		p.t.Fatalf("getLogs of %q was answered with %d: %s", container, code, text)
	}
	return text
}

// waitLog waits until a container has written exactly this.
func (p *podRun) waitLog(container, want string) {
	p.t.Helper()
	got := ""
	eventually(p.t, runLimit, fmt.Sprintf("log %q", want), func() bool {
		got = p.logs(container, logOptions{})
		return got == want
	}, func() string { return fmt.Sprintf("%q", got) })
}

// output runs the pod to its success and returns its only container's log.
func (p *podRun) output() string {
	p.t.Helper()
	p.waitPhase(v1.PodSucceeded)
	return p.logs("", logOptions{})
}

// follow opens a log that goes on; the headers must come although the container
// may write nothing.
func (p *podRun) follow(ctx context.Context, container string) io.ReadCloser {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(ctx, runLimit)
	p.t.Cleanup(cancel)
	response, err := p.d.Send(ctx, http.MethodGet, "/getLogs", logBody(p.t, p.pod, container, logOptions{Follow: true}), apiHeaders())
	if err != nil {
		p.t.Fatalf("the headers of a followed log did not come: %v", err)
	}
	if response.StatusCode != http.StatusOK {
		p.t.Fatalf("follow was answered with %d", response.StatusCode)
	}
	return response.Body
}
