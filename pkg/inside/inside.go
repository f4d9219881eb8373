// Package inside lets operators into pods: to run a process beside a container's own, to
// connect to a port of the pod, and to copy files. Each works through the engine and the
// init of the pod's sandbox, with the rights that the pod has there and no others.
package inside

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/containerd/containerd/log"
	"github.com/containerd/errdefs"
	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/admin"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/engine"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/podlogs"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/pods"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/podspec"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/podstatus"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/relay"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/remotecommand"
)

// Inside lets operators into the pods.
type Inside struct {
	// Enter returns what leads into a pod; ErrNotFound if it is not kept.
	Enter   func(types.UID) (pods.Entry, error)
	Journal *admin.Journal
	// Logs looks a log up.
	Logs func(podlogs.Query) (*podlogs.Source, error)
}

var _ admin.Inside = &Inside{}

// entry is what leads into a pod that has a sandbox.
func (i *Inside) entry(uid types.UID) (pods.Entry, error) {
	e, err := i.Enter(uid)
	if err != nil {
		return e, err
	}
	if e.Sandbox == nil {
		switch e.View.Phase {
		case podstatus.PhaseSucceeded, podstatus.PhaseFailed:
			return e, fmt.Errorf("pod %s has %s and its sandbox is removed: %w", nameOf(e.Spec), e.View.Phase, errdefs.ErrFailedPrecondition)
		}
		return e, fmt.Errorf("pod %s is %s and has no sandbox, docker-sd describe says why: %w", nameOf(e.Spec), e.View.Phase, errdefs.ErrFailedPrecondition)
	}
	return e, nil
}

func nameOf(p *v1.Pod) string { return p.Namespace + "/" + p.Name }

// defaultContainer is the annotation by which a pod names the container that kubectl means
// where none is named.
const defaultContainer = "kubectl.kubernetes.io/default-container"

// container finds a container of a pod by its name; "" is the pod's default one.
func container(e pods.Entry, name string) (string, v1.ContainerStatus, error) {
	if name == "" {
		name = e.Spec.Annotations[defaultContainer]
		if _, known := e.Statuses[name]; !known {
			name = e.Spec.Spec.Containers[0].Name
		}
	}
	status, known := e.Statuses[name]
	if !known {
		var names []string
		for _, c := range podspec.Containers(e.Spec) {
			names = append(names, c.Name)
		}
		return "", status, fmt.Errorf("pod %s has no container %q: it has %s: %w", nameOf(e.Spec), name, strings.Join(names, ", "), errdefs.ErrNotFound)
	}
	return name, status, nil
}

// Log writes the last lines of a container's log. Errors are ErrNotFound, and ErrUnavailable
// for a sandbox that does not answer.
func (i *Inside) Log(ctx context.Context, q admin.LogQuery, w io.Writer) error {
	source, err := i.Logs(podlogs.Query{UID: q.UID, Container: q.Container, Previous: q.Previous, Tail: q.Lines})
	if err != nil {
		return err
	}
	return source.Copy(ctx, w)
}

// Exec finds a container that runs, and returns what runs a process in it. Errors are
// ErrNotFound, and ErrFailedPrecondition for a container that does not run.
func (i *Inside) Exec(uid types.UID, name string) (admin.Exec, error) {
	e, err := i.Enter(uid)
	if err != nil {
		return nil, err
	}
	name, status, err := container(e, name)
	if err != nil {
		return nil, err
	}
	if end := status.State.Terminated; end != nil {
		return nil, fmt.Errorf("container %s of pod %s %s: %w", name, nameOf(e.Spec), ending(end), errdefs.ErrFailedPrecondition)
	}
	if e, err = i.entry(uid); err != nil {
		return nil, err
	}
	if status.State.Running == nil {
		waiting := status.State.Waiting
		if waiting == nil {
			waiting = &v1.ContainerStateWaiting{}
		}
		return nil, fmt.Errorf("container %s of pod %s does not run yet: %s: %w", name, nameOf(e.Spec),
			strings.TrimSuffix(waiting.Reason+": "+waiting.Message, ": "), errdefs.ErrFailedPrecondition)
	}
	return func(ctx context.Context, process admin.Process, streams remotecommand.Streams) (int, error) {
		log.G(ctx).WithField("pod", uid).WithField("container", name).Info("an operator runs a command in a container")
		return run(ctx, e, e.Instances[name], process, streams)
	}, nil
}

// ending tells how a container ended.
func ending(end *v1.ContainerStateTerminated) string {
	text := fmt.Sprintf("has ended with exit code %d", end.ExitCode)
	if end.Reason != "" {
		text += " (" + end.Reason + ")"
	}
	if end.Message != "" {
		text += ": " + end.Message
	}
	return text
}

// killLimit bounds the end of a process whose caller has left.
const killLimit = 5 * time.Second

// run runs a process, of which nothing is left in its session when it has ended or ctx has.
func run(ctx context.Context, e pods.Entry, id string, process admin.Process, streams remotecommand.Streams) (int, error) {
	sizes := make(chan engine.Size)
	converting, stop := context.WithCancel(ctx)
	converted := make(chan struct{})
	go func() { defer close(converted); passSizes(converting, sizes, streams.Sizes) }()
	defer func() { stop(); <-converted }()
	held := &hold{e: e}
	defer held.release()
	ended, err := e.Sandbox.Engine.Run(ctx, id, engine.Process{Argv: process.Command, TTY: process.TTY, Began: func(pid int) { held.take(ctx, pid) }},
		engine.Streams{Stdin: streams.Stdin, Stdout: streams.Stdout, Stderr: streams.Stderr, Sizes: sizes})
	killing, cancel := context.WithTimeout(context.WithoutCancel(ctx), killLimit)
	defer cancel()
	var problem error
	switch left, given := errors.AsType[*engine.UnfinishedError](err); {
	case given && left.PID > 1:
		problem = e.Sandbox.Init.Kill(killing, left.PID)
	case ended.PID > 1:
		// A sandbox of an earlier version does not know the operation.
		if problem = e.Sandbox.Init.EndSession(killing, ended.PID); errdefs.IsNotImplemented(problem) {
			problem = nil
		}
	}
	if problem != nil && !gone(e) {
		log.G(ctx).WithError(problem).WithField("pod", e.Spec.UID).Warn("what a command has left in a container could not be killed")
	}
	return ended.Code, err
}

// hold has the sandbox's init kill a process if docker-sd cannot do it any more.
type hold struct {
	e    pods.Entry
	kept io.Closer
}

// take begins it.
func (h *hold) take(ctx context.Context, pid int) {
	ctx, cancel := context.WithTimeout(ctx, killLimit)
	defer cancel()
	kept, err := h.e.Sandbox.Init.Hold(ctx, pid)
	switch {
	case err == nil:
		h.kept = kept
	case errdefs.IsNotImplemented(err), errdefs.IsFailedPrecondition(err), ctx.Err() != nil:
		// The sandbox is of an earlier version, or the process has ended, or the call has.
	default:
		log.G(ctx).WithError(err).WithField("pod", h.e.Spec.UID).Warn("a command in a container would outlive docker-sd")
	}
}

// release ends it, and kills what is left.
func (h *hold) release() {
	if h.kept != nil {
		_ = h.kept.Close() // nothing was sent
	}
}

func gone(e pods.Entry) bool {
	select {
	case <-e.Sandbox.Gone():
		return true
	default:
		return false
	}
}

// passSizes passes on the sizes of a terminal until ctx ends.
func passSizes(ctx context.Context, to chan<- engine.Size, from <-chan remotecommand.Size) {
	for {
		select {
		case <-ctx.Done():
			return
		case size := <-from:
			select {
			case <-ctx.Done():
				return
			case to <- engine.Size(size):
			}
		}
	}
}

// Connect connects to a port at the loopback interface of a pod.
func (i *Inside) Connect(ctx context.Context, uid types.UID, port uint16) (relay.Conn, error) {
	e, err := i.entry(uid)
	if err != nil {
		return nil, err
	}
	conn, err := e.Sandbox.Init.Connect(ctx, port)
	switch {
	case errdefs.IsNotImplemented(err):
		return nil, fmt.Errorf("the sandbox of pod %s was made by an earlier docker-sd, whose init cannot connect to its ports: create the pod anew: %w",
			nameOf(e.Spec), err)
	case errdefs.IsFailedPrecondition(err):
		return nil, fmt.Errorf("nothing in pod %s listens at its port %d: %w", nameOf(e.Spec), port, err)
	case err != nil:
		return nil, fmt.Errorf("connect to port %d of pod %s: %w", port, nameOf(e.Spec), err)
	}
	return conn, nil
}

// existing finds a container of a pod that has a sandbox, whether it runs or not, and the
// engine's id of it.
func (i *Inside) existing(uid types.UID, name string) (e pods.Entry, id string, err error) {
	if e, err = i.Enter(uid); err != nil {
		return e, "", err
	}
	if name, _, err = container(e, name); err != nil {
		return e, "", err
	}
	if e, err = i.entry(uid); err != nil {
		return e, "", err
	}
	id = e.Instances[name]
	if id == "" {
		return e, "", fmt.Errorf("container %s of pod %s does not exist yet: %w", name, nameOf(e.Spec), errdefs.ErrFailedPrecondition)
	}
	return e, id, nil
}

// pathOf is an absolute path of a container: others begin at its root.
func pathOf(path string) string { return cmp.Or("/"+strings.TrimLeft(path, "/"), "/") }
