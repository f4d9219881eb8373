package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"
	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/interlink"
)

// sample is one pod of the bench and when what happened to it.
type sample struct {
	pod *v1.Pod
	// sandbox is the pool name of the sandbox that it claimed.
	sandbox string
	// sent, answered and started are when the create was sent and answered, and
	// when the container's own process ran.
	sent, answered, started time.Time
	// warm says that the sandbox had been seen ready before the create.
	warm bool
}

// newPod makes a pod of one container that tells its start and then does extra.
func (b *bench) newPod(image, extra string) *v1.Pod {
	uid := uuid.NewString()
	grace := int64(5)
	pod := &v1.Pod{}
	pod.Name, pod.Namespace, pod.UID = "bench-"+uid[:8], "bench", types.UID(uid)
	pod.Spec = v1.PodSpec{
		RestartPolicy: v1.RestartPolicyNever, TerminationGracePeriodSeconds: &grace,
		Volumes: []v1.Volume{{Name: "bench", VolumeSource: v1.VolumeSource{HostPath: &v1.HostPathVolumeSource{Path: b.signals.dir}}}},
		Containers: []v1.Container{{Name: "main", Image: image, Command: command(uid, extra), ImagePullPolicy: v1.PullIfNotPresent,
			VolumeMounts: []v1.VolumeMount{{Name: "bench", MountPath: signalMount}}}},
	}
	pod.Status.Phase = v1.PodPending
	return pod
}

// create sends the pod and notes the answer; it does not wait for the start.
func (d *daemon) create(ctx context.Context, s *sample) error {
	body, err := json.Marshal(interlink.CreateRequest{Pod: *s.pod, Containers: []interlink.ContainerData{{Name: "main"}}})
	if err != nil {
		return fmt.Errorf("encode a create: %w", err)
	}
	var answer interlink.CreateAnswer
	s.sent = time.Now()
	if err := d.api.raw(ctx, http.MethodPost, "/create", body, &answer); err != nil {
		return err
	}
	s.answered = time.Now()
	if s.sandbox, err = sandboxOf(d.data, string(s.pod.UID)); err != nil {
		return err
	}
	s.warm = d.claim(s.sandbox)
	return nil
}

// sandboxOf reads in a pod's record which sandbox it has claimed; the record is on disk
// before the create is answered.
func sandboxOf(data, uid string) (string, error) {
	file, err := os.ReadFile(filepath.Join(data, "records", uid+".json"))
	if err != nil {
		return "", fmt.Errorf("find the sandbox of pod %s: %w", uid, err)
	}
	var kept struct{ Record struct{ Sandbox string } }
	if err := json.Unmarshal(file, &kept); err != nil {
		return "", fmt.Errorf("find the sandbox of pod %s: %w", uid, err)
	}
	return kept.Record.Sandbox, nil
}

// claim notes that a pod holds the sandbox and says whether it had been warm.
func (d *daemon) claim(sandbox string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.claimed[sandbox] = true
	return d.warmSeen[sandbox]
}

func (d *daemon) isClaimed(sandbox string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.claimed[sandbox]
}

// start creates a pod and waits until its process runs.
func (d *daemon) start(ctx context.Context, pod *v1.Pod) (*sample, error) {
	s := &sample{pod: pod}
	wait := d.b.signals.expect(string(pod.UID))
	if err := d.create(ctx, s); err != nil {
		return s, err
	}
	at, err := await(ctx, "pod "+string(pod.UID), wait)
	if err != nil {
		return s, errors.Join(err, d.explain(ctx, pod))
	}
	s.started = at
	return s, nil
}

// explain puts the pod's status into an error.
func (d *daemon) explain(ctx context.Context, pod *v1.Pod) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	var status json.RawMessage
	if err := d.api.call(ctx, http.MethodPost, "/status", []*v1.Pod{pod}, &status); err != nil {
		return err
	}
	return fmt.Errorf("its status is %s", status)
}

// delete asks for the pod's end and returns how long the answer took.
func (d *daemon) delete(ctx context.Context, pod *v1.Pod) (time.Duration, error) {
	body, err := json.Marshal(pod)
	if err != nil {
		return 0, fmt.Errorf("encode a delete: %w", err)
	}
	sent := time.Now()
	_, err = d.api.drain(ctx, http.MethodPost, "/delete", body)
	return time.Since(sent), err
}

// awaitGone returns when nothing is left of the pod: its record is removed last.
func (d *daemon) awaitGone(ctx context.Context, pod *v1.Pod) error {
	path := filepath.Join(d.data, "records", string(pod.UID)+".json")
	return poll(ctx, "wait for the end of pod "+string(pod.UID), startTimeout, time.Millisecond, func() (bool, error) {
		_, err := os.Stat(path)
		return errors.Is(err, os.ErrNotExist), err
	})
}

// remove deletes pods and waits until they are gone.
func (d *daemon) remove(ctx context.Context, samples ...*sample) error {
	for _, s := range samples {
		if _, err := d.delete(ctx, s.pod); err != nil {
			return err
		}
	}
	for _, s := range samples {
		if err := d.awaitGone(ctx, s.pod); err != nil {
			return err
		}
	}
	return nil
}

// startMany creates pods at once and returns when all of them run, with the
// time from the first create to the last start.
func (d *daemon) startMany(ctx context.Context, n int) ([]*sample, time.Duration, error) {
	samples := make([]*sample, n)
	group, ctx := errgroup.WithContext(ctx)
	began := time.Now()
	for i := range n {
		group.Go(func() (err error) {
			samples[i], err = d.start(ctx, d.b.newPod(d.b.image, ""))
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, 0, err
	}
	last := began
	for _, s := range samples {
		if s.started.After(last) {
			last = s.started
		}
	}
	return samples, last.Sub(began), nil
}

func podsOf(samples []*sample) []*v1.Pod {
	out := make([]*v1.Pod, len(samples))
	for i, s := range samples {
		out[i] = s.pod
	}
	return out
}

// plainStart is a create and a start on the plain engine: the container's id,
// when its process ran, and when the start call returned.
func (b *bench) plainStart(ctx context.Context, image, network string) (id string, running, returned time.Duration, err error) {
	name := uuid.NewString()
	wait := b.signals.expect(name)
	sent := time.Now()
	if id, err = b.startPlain(ctx, image, network, command(name, "")); err != nil {
		return id, 0, 0, err
	}
	returned = time.Since(sent)
	at, err := await(ctx, "plain container "+strings.TrimSpace(id), wait)
	return id, at.Sub(sent), returned, err
}
