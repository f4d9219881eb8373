// Package runner creates the pods of cases on a docker-sd and compares what is seen of them.
package runner

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/intertwin-eu/interlink-docker-plugin/tests/kit"
	"github.com/intertwin-eu/interlink-docker-plugin/tests/kube/cases"
)

// pause between two polls of one pod.
const pause = 50 * time.Millisecond

// Node is a docker-sd and what its cases are made with.
type Node struct {
	Caller *kit.Caller
	// Engine is the host's, on which images of cases are built.
	Engine *kit.Caller
	// Image is that of containers which name none.
	Image string
	// Values stand for @NAME@ in a case.
	Values map[string]string

	instance *instance
}

// pod is one that was created.
type pod struct {
	node *Node
	c    *cases.Case
	pod  *v1.Pod
	seen kit.PodStatus
}

// Run creates the pod of a case, waits until it is as it must be, and deletes it. The error
// says all that is wrong; ctx has the deadline.
func (n *Node) Run(ctx context.Context, row *cases.Case) (problem error) {
	uid := uuid.NewString()
	values := map[string]string{"POD": "kube-" + uid[:8], "UID": uid, "IMAGE": n.Image}
	for name, value := range n.Values {
		values[name] = value
	}
	c, err := row.Replace(values)
	if err != nil {
		return fmt.Errorf("put values into the case: %w", err)
	}
	image := n.Image
	if len(c.Image) > 0 {
		if image, err = n.build(ctx, c.Image); err != nil {
			return err
		}
		defer func() { problem = errors.Join(problem, n.unbuild(context.WithoutCancel(ctx), image)) }()
	}
	c.Complete(image)
	p := &pod{node: n, c: c, pod: &v1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: values["POD"], Namespace: "default", UID: types.UID(uid), Labels: c.Labels, Annotations: c.Annotations},
		Spec:       c.Spec, Status: v1.PodStatus{Phase: v1.PodPending}}}
	if p.pod.Spec.NodeName == "" {
		p.pod.Spec.NodeName = "kube"
	}
	accepted, err := p.create(ctx)
	if !accepted {
		return err
	}
	return errors.Join(err, p.awaited(ctx), p.remove(ctx))
}

// create says whether the pod was accepted.
func (p *pod) create(ctx context.Context) (accepted bool, err error) {
	request := kit.NewCreate(p.pod)
	var configMaps []v1.ConfigMap
	var secrets []v1.Secret
	for name, data := range p.c.ConfigMaps {
		configMaps = append(configMaps, v1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "default"}, Data: data})
	}
	for name, data := range p.c.Secrets {
		secret := v1.Secret{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "default"}, Data: map[string][]byte{}}
		for key, value := range data {
			secret.Data[key] = []byte(value)
		}
		secrets = append(secrets, secret)
	}
	request.GiveData(configMaps, nil, secrets)
	body, err := json.Marshal(request)
	if err != nil {
		return false, err
	}
	code, text, err := p.node.Caller.Call(ctx, http.MethodPost, "/create", body, kit.Headers("kube"))
	if err != nil {
		return false, fmt.Errorf("create was not answered: %w", err)
	}
	if len(p.c.Refused) == 0 {
		_, err := kit.DecodeCreate(p.pod, code, text)
		return err == nil, err
	}
	if code == http.StatusOK {
		return true, fmt.Errorf("create was accepted; a refusal must name %q", p.c.Refused)
	}
	if code != http.StatusBadRequest {
		return false, fmt.Errorf("create was answered with %d: %s", code, text)
	}
	var problems []error
	for _, part := range p.c.Refused {
		if !strings.Contains(text, part) {
			problems = append(problems, fmt.Errorf("the refusal %q does not name %q", text, part))
		}
	}
	return false, errors.Join(problems...)
}

// awaited polls until nothing is missing. What can only get worse ends it at once.
func (p *pod) awaited(ctx context.Context) error {
	if len(p.c.Refused) > 0 {
		return nil
	}
	tick := time.NewTicker(pause)
	defer tick.Stop()
	for {
		if err := p.poll(ctx); err != nil {
			return err
		}
		missing := p.missing(ctx)
		if missing == nil || p.final() {
			return missing
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w; the phase is %s: %s", missing, p.pod.Status.Phase, p.states())
		case <-tick.C:
		}
	}
}

// final says that the pod changes no more.
func (p *pod) final() bool {
	return p.pod.Status.Phase == v1.PodSucceeded || p.pod.Status.Phase == v1.PodFailed
}

// poll asks once, and checks the answer by the rules of protocol 2.
func (p *pod) poll(ctx context.Context) error {
	if p.final() {
		return nil
	}
	answer, err := p.node.Caller.Poll(ctx, p.pod)
	if err != nil {
		return fmt.Errorf("poll: %w", err)
	}
	if len(answer) != 1 {
		return fmt.Errorf("the status of the one pod has %d entries", len(answer))
	}
	if err := kit.CheckStatus(p.pod, answer[0]); err != nil {
		return fmt.Errorf("status breaks a rule of the Virtual Kubelet: %w", err)
	}
	p.seen = answer[0]
	p.pod.Status.Phase = kit.PhaseOf(p.pod.Status.Phase, answer[0])
	return nil
}

// missing is what is not yet as the case wants it, nil for nothing. Logs are only read when the
// status is right.
func (p *pod) missing(ctx context.Context) error {
	var problems []error
	if want := p.c.Phase; want != "" && p.pod.Status.Phase != want {
		problems = append(problems, fmt.Errorf("the phase is %s, not %s: %s", p.pod.Status.Phase, want, p.states()))
	}
	for name, want := range p.c.Waits {
		state := p.seen.Container(name).State
		if w := state.Waiting; w == nil || w.Reason != want.Reason || !strings.Contains(w.Message, want.Message) {
			problems = append(problems, fmt.Errorf("container %s does not wait with %s, %q: %s", name, want.Reason, want.Message, p.states()))
		}
	}
	for name, want := range p.c.Ends {
		problems = append(problems, wrongEnd(name, p.seen.Container(name).State.Terminated, want))
	}
	for name, want := range p.c.Restarts {
		if got := p.seen.Container(name).RestartCount; got != want {
			problems = append(problems, fmt.Errorf("container %s was restarted %d times, not %d", name, got, want))
		}
	}
	if err := errors.Join(problems...); err != nil {
		return err
	}
	return p.missingInLogs(ctx)
}

func wrongEnd(name string, got *v1.ContainerStateTerminated, want cases.End) error {
	switch {
	case got == nil:
		return fmt.Errorf("container %s has not ended", name)
	case got.ExitCode != want.ExitCode || want.Reason != "" && got.Reason != want.Reason,
		!strings.Contains(got.Message, want.Message), want.Whole != nil && got.Message != *want.Whole:
		return fmt.Errorf("container %s ended with %d, %s, %q; not %+v", name, got.ExitCode, got.Reason, got.Message, want)
	}
	return nil
}

func (p *pod) missingInLogs(ctx context.Context) error {
	var problems []error
	for _, name := range slices.Sorted(maps.Keys(p.c.See)) {
		text, err := p.logs(ctx, name)
		if err != nil {
			return err
		}
		missing, _ := cases.Missing(p.c.See[name], text)
		for _, m := range missing {
			problems = append(problems, fmt.Errorf("container %s: %s", name, m))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(p.c.Logs)) {
		text, err := p.logs(ctx, name)
		if err != nil {
			return err
		}
		if text != p.c.Logs[name] {
			problems = append(problems, fmt.Errorf("the log of container %s is %q, not %q", name, text, p.c.Logs[name]))
		}
	}
	return errors.Join(problems...)
}

func (p *pod) logs(ctx context.Context, container string) (string, error) {
	body, err := kit.LogBody(p.pod, container, kit.LogOptions{})
	if err != nil {
		return "", err
	}
	code, text, err := p.node.Caller.Call(ctx, http.MethodGet, "/getLogs", body, kit.Headers("kube"))
	if err != nil || code != http.StatusOK {
		return "", fmt.Errorf("the log of container %s was answered with %d: %s: %w", container, code, text, err)
	}
	return text, nil
}

// remove deletes the pod and waits until docker-sd knows it no more.
func (p *pod) remove(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), kit.CallTimeout)
	defer cancel()
	if err := p.node.Caller.Delete(ctx, p.pod, 0); err != nil {
		return fmt.Errorf("delete: %w", err)
	}
	tick := time.NewTicker(pause)
	defer tick.Stop()
	for {
		answer, err := p.node.Caller.Poll(ctx, p.pod)
		if err == nil && len(answer) == 0 {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("the deleted pod is still answered for: %w", errors.Join(err, ctx.Err()))
		case <-tick.C:
		}
	}
}

// states is the status in short.
func (p *pod) states() string {
	var out []string
	for _, c := range slices.Concat(p.seen.InitContainers, p.seen.Containers) {
		switch s := c.State; {
		case s.Waiting != nil:
			out = append(out, fmt.Sprintf("%s waits with %s, %q", c.Name, s.Waiting.Reason, s.Waiting.Message))
		case s.Running != nil:
			out = append(out, fmt.Sprintf("%s runs, ready: %t", c.Name, c.Ready))
		case s.Terminated != nil:
			out = append(out, fmt.Sprintf("%s ended with %d, %s, %q", c.Name, s.Terminated.ExitCode, s.Terminated.Reason, s.Terminated.Message))
		}
	}
	return strings.Join(out, "; ")
}
