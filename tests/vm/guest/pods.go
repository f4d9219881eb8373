package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// base is where the packaged configuration has docker-sd listen.
const base = "http://127.0.0.1:4000"

// pod is one that docker-sd was given.
type pod struct{ *v1.Pod }

// newPod has containers of busybox, named c, d and so on, that run scripts.
func (h *host) newPod(policy v1.RestartPolicy, scripts ...string) pod {
	h.Pods++
	p := &v1.Pod{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("pod-%d", h.Pods), Namespace: "default",
		UID: types.UID(fmt.Sprintf("00000000-0000-4000-8000-%06d%06d", os.Getpid()%1000000, h.Pods))}, Spec: v1.PodSpec{RestartPolicy: policy}}
	for i, script := range scripts {
		p.Spec.Containers = append(p.Spec.Containers, v1.Container{Name: string(rune('c' + i)), Image: h.busybox,
			ImagePullPolicy: v1.PullIfNotPresent, Command: []string{"sh", "-c", script}})
	}
	return pod{p}
}

func call(ctx context.Context, path string, body any) (string, error) {
	encoded, err := json.Marshal(body)
	if err != nil {
		return "", err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, base+path, bytes.NewReader(encoded))
	if err != nil {
		return "", err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s was answered with %d: %s", path, response.StatusCode, answer)
	}
	return string(answer), err
}

func (p pod) create(ctx context.Context) error {
	_, err := call(ctx, "/create", map[string]any{"pod": p.Pod, "container": []any{}})
	return err
}

// state is that of a pod's first container.
func (p pod) state(ctx context.Context) (v1.ContainerStatus, error) {
	states, err := p.states(ctx)
	if err != nil {
		return v1.ContainerStatus{}, err
	}
	return states[0], nil
}

// states are those of a pod's containers, of which there is at least one.
func (p pod) states(ctx context.Context) ([]v1.ContainerStatus, error) {
	answer, err := call(ctx, "/status", []any{p.Pod})
	if err != nil {
		return nil, err
	}
	var found []struct {
		Containers []v1.ContainerStatus `json:"containers"`
	}
	if err := json.Unmarshal([]byte(answer), &found); err != nil {
		return nil, err
	}
	if len(found) != 1 || len(found[0].Containers) == 0 {
		return nil, fmt.Errorf("the status is %s", answer)
	}
	return found[0].Containers, nil
}

func (p pod) log(ctx context.Context) (string, error) {
	return call(ctx, "/getLogs", map[string]any{"Namespace": p.Namespace, "PodUID": p.UID, "PodName": p.Name, "ContainerName": p.Spec.Containers[0].Name,
		"Opts": map[string]any{}})
}

// running creates the pod and waits until its first container runs and is ready.
func (p pod) running(ctx context.Context) error {
	if err := p.create(ctx); err != nil {
		return err
	}
	return p.awaitReady(ctx, 0)
}

func (p pod) awaitReady(ctx context.Context, restarts int32) error {
	return await(ctx, "a container that is ready", func() error {
		s, err := p.state(ctx)
		if err == nil && (s.State.Running == nil || !s.Ready || s.RestartCount < restarts) {
			err = fmt.Errorf("its status is %+v", s)
		}
		return err
	})
}

// ended waits for the end of the pod's first container.
func (p pod) ended(ctx context.Context) (*v1.ContainerStateTerminated, error) {
	var out *v1.ContainerStateTerminated
	err := await(ctx, "the end of a container", func() error {
		s, err := p.state(ctx)
		if out = s.State.Terminated; err == nil && out == nil {
			err = fmt.Errorf("its status is %+v", s)
		}
		return err
	})
	return out, err
}

// logged waits for a line of the first container.
func (p pod) logged(ctx context.Context, line string) error {
	return await(ctx, "the line "+line, func() error {
		text, err := p.log(ctx)
		if err == nil && !strings.Contains(text, line) {
			err = fmt.Errorf("the log is %q", text)
		}
		return err
	})
}

// sandbox is the name of the pod's sandbox on the host's engine.
func (p pod) sandbox(ctx context.Context) (string, error) {
	return sh(ctx, "docker ps -a --format '{{.Names}}' | grep -- "+string(p.UID))
}

func (p pod) delete(ctx context.Context) error {
	_, err := call(ctx, "/delete", p.Pod)
	return err
}

// deleted deletes the pod and waits until it is gone, with everything that it had.
func (p pod) deleted(ctx context.Context) error {
	if err := p.delete(ctx); err != nil {
		return err
	}
	return await(ctx, "an end of the pod", func() error {
		return says(ctx, "ls /var/lib/docker-sd/records | grep -c -- "+string(p.UID)+" || true", "0")
	})
}
