package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/interlink"
)

// measureLogs takes reads of one line and of 100 MB, against reading the log
// endpoint of the very engine that holds the log, and the status of real pods.
func (b *bench) measureLogs(ctx context.Context) error {
	return b.withDaemon(ctx, usual(3), func(d *daemon) error {
		short, err := d.startWriter(ctx, "echo hello")
		if err != nil {
			return err
		}
		if err := d.logs(ctx, short, "line", 1, b.times(100, 1000)); err != nil {
			return err
		}
		if err := d.statuses(ctx, "status_1", []*v1.Pod{short.pod}, b.times(100, 1000)); err != nil {
			return err
		}
		nine, _, err := d.startMany(ctx, 9)
		if err != nil {
			return err
		}
		if err := d.awaitWarm(ctx); err != nil {
			return err
		}
		if err := d.statuses(ctx, "status_10", append(podsOf(nine), short.pod), b.times(100, 1000)); err != nil {
			return err
		}
		if err := d.remove(ctx, nine...); err != nil {
			return err
		}
		// Lines of 100 bytes, as programs write them.
		long, err := d.startWriter(ctx, fmt.Sprintf("yes %099d | head -c %d", 0, largeLog))
		if err != nil {
			return err
		}
		return d.logs(ctx, long, "100mb", largeLog, b.times(2, 7))
	})
}

// startWriter starts a pod and waits until it has written its log.
func (d *daemon) startWriter(ctx context.Context, extra string) (*sample, error) {
	pod := d.b.newPod(d.b.image, extra)
	name := string(pod.UID) + extraDone
	done := d.b.signals.expect(name)
	s, err := d.start(ctx, pod)
	if err != nil {
		return nil, err
	}
	_, err = await(ctx, name, done)
	return s, err
}

// largeLog is the size of the large log in bytes.
const largeLog = 100_000_000

// logs reads a pod's log by turns from the engine in its sandbox and from
// docker-sd. It waits until the log holds want bytes.
func (d *daemon) logs(ctx context.Context, s *sample, name string, want int64, n int) error {
	inner, err := newCaller("sandbox", "unix://"+d.socket(s.sandbox))
	if err != nil {
		return err
	}
	defer inner.close()
	id, err := d.containerID(ctx, s.pod)
	if err != nil {
		return err
	}
	path := "/containers/" + url.PathEscape(id) + "/logs?stdout=1&stderr=1"
	body, err := json.Marshal(interlink.LogRequest{Namespace: s.pod.Namespace, PodUID: string(s.pod.UID),
		PodName: s.pod.Name, ContainerName: "main"})
	if err != nil {
		return err
	}
	if err := poll(ctx, "wait for the log", 2*time.Minute, 500*time.Millisecond, func() (bool, error) {
		got, err := d.api.drain(ctx, http.MethodPost, "/getLogs", body)
		return got >= want, err
	}); err != nil {
		return err
	}
	var direct, through []time.Duration
	for range n {
		began := time.Now()
		if _, err := inner.drain(ctx, http.MethodGet, path, nil); err != nil {
			return err
		}
		direct = append(direct, time.Since(began))
		began = time.Now()
		if _, err := d.api.drain(ctx, http.MethodPost, "/getLogs", body); err != nil {
			return err
		}
		through = append(through, time.Since(began))
	}
	d.b.report.addTimes("engine_log_"+name, direct, "")
	d.b.report.addTimes("getlogs_"+name, through, "engine_log_"+name)
	return nil
}

// containerID is the pod's container in the engine of its sandbox.
func (d *daemon) containerID(ctx context.Context, pod *v1.Pod) (string, error) {
	body, err := statusBody([]*v1.Pod{pod})
	if err != nil {
		return "", err
	}
	found, err := d.awaitRunning(ctx, body, 1)
	return strings.TrimPrefix(found[string(pod.UID)].ContainerID, "docker://"), err
}

// awaitRunning returns the containers by pod as soon as a status of n pods says
// that all of them run.
func (d *daemon) awaitRunning(ctx context.Context, body []byte, n int) (map[string]v1.ContainerStatus, error) {
	var found map[string]v1.ContainerStatus
	err := poll(ctx, "wait until all containers run (log: "+d.log.Name()+")", time.Minute, 5*time.Millisecond, func() (bool, error) {
		var answer []interlink.PodStatus
		err := d.api.raw(ctx, http.MethodPost, "/status", body, &answer)
		if err == nil {
			found, err = runningContainers(answer, n)
		}
		return err == nil, err
	})
	return found, err
}

// runningContainers are the containers by pod in the status of n pods of one
// container each. It fails unless all of them run.
func runningContainers(answer []interlink.PodStatus, n int) (map[string]v1.ContainerStatus, error) {
	out := map[string]v1.ContainerStatus{}
	for _, status := range answer {
		if len(status.Containers) != 1 || status.Containers[0].State.Running == nil || status.Containers[0].ContainerID == "" {
			return nil, fmt.Errorf("pod %s has not one running container: %+v", status.UID, status.Containers)
		}
		out[status.UID] = status.Containers[0]
	}
	if len(out) != n {
		return nil, fmt.Errorf("the status lists %d pods of %d", len(out), n)
	}
	return out, nil
}

// statusBody asks for pods, each described as fully as an interLink server does it.
func statusBody(pods []*v1.Pod) ([]byte, error) {
	full, err := recordedPods(len(pods))
	if err != nil {
		return nil, err
	}
	for i, pod := range pods {
		full[i].UID, full[i].Name, full[i].Namespace = pod.UID, pod.Name, pod.Namespace
		full[i].Spec.Containers = pod.Spec.Containers
	}
	return json.Marshal(full)
}

// statuses takes polls of pods that docker-sd knows: of one pod, each in its turn,
// as interLink asks from 0.5 on, and of all of them in one call, as it did before.
func (d *daemon) statuses(ctx context.Context, name string, pods []*v1.Pod, n int) error {
	all, err := statusBody(pods)
	if err != nil {
		return err
	}
	if err := d.knows(ctx, all, pods); err != nil {
		return err
	}
	var each [][]byte
	for _, pod := range pods {
		body, err := statusBody([]*v1.Pod{pod})
		if err != nil {
			return err
		}
		each = append(each, body)
	}
	if err := d.polls(ctx, name, each, n); err != nil || len(pods) == 1 {
		return err
	}
	return d.polls(ctx, name+"_in_one_call", [][]byte{all}, n)
}

// polls asks n times for what the bodies name, one body after the other.
func (d *daemon) polls(ctx context.Context, name string, bodies [][]byte, n int) error {
	var times []time.Duration
	for i := range n + 10*warmUps {
		began := time.Now()
		if _, err := d.api.drain(ctx, http.MethodPost, "/status", bodies[i%len(bodies)]); err != nil {
			return err
		}
		if i >= 10*warmUps {
			times = append(times, time.Since(began))
		}
	}
	d.b.report.addTimes(name, times, base)
	return nil
}

// knows fails unless docker-sd has all these pods.
func (d *daemon) knows(ctx context.Context, body []byte, pods []*v1.Pod) error {
	known := map[types.UID]bool{}
	var answer []interlink.PodStatus
	if err := d.api.raw(ctx, http.MethodPost, "/status", body, &answer); err != nil {
		return err
	}
	for _, status := range answer {
		known[types.UID(status.UID)] = status.JID != ""
	}
	for _, pod := range pods {
		if !known[pod.UID] {
			return fmt.Errorf("docker-sd does not know pod %s", pod.UID)
		}
	}
	return nil
}

// measureKnown takes status and memory of a docker-sd that knows many pods.
// They are recorded pods that have ended; see record.
func (b *bench) measureKnown(ctx context.Context) error {
	for _, n := range []int{100, 500} {
		pods, err := recordedPods(n)
		if err != nil {
			return err
		}
		d, err := b.startDaemon(ctx, sizes{}, pods)
		if err != nil {
			return err
		}
		err = d.knownPods(ctx, pods)
		if err := errors.Join(err, d.stop(context.WithoutCancel(ctx))); err != nil {
			return err
		}
	}
	return nil
}

func (d *daemon) knownPods(ctx context.Context, pods []*v1.Pod) error {
	if len(pods) == 100 {
		if err := d.memory("100_recorded"); err != nil {
			return err
		}
	}
	if err := d.statuses(ctx, fmt.Sprintf("status_%d", len(pods)), pods, d.b.times(100, 1000)); err != nil {
		return err
	}
	if len(pods) == 100 {
		return d.memory("100_recorded_busy")
	}
	return nil
}
