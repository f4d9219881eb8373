package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	v1 "k8s.io/api/core/v1"
)

// ofEachPolicy makes a pod for each restart policy that runs, and one that has ended.
func (h *host) ofEachPolicy(ctx context.Context) error {
	again := h.newPod(v1.RestartPolicyOnFailure, "test -e /vol/ran && exec echo second run; touch /vol/ran; sync /vol /vol/ran; exec sleep 100000")
	again.Spec.Volumes = []v1.Volume{{Name: "v", VolumeSource: v1.VolumeSource{EmptyDir: &v1.EmptyDirVolumeSource{}}}}
	again.Spec.Containers[0].VolumeMounts = []v1.VolumeMount{{Name: "v", MountPath: "/vol"}}
	// A shell that ignores the signal to end does not end with code 0 before the machine does.
	always := h.newPod(v1.RestartPolicyAlways, "trap '' TERM; while :; do sleep 1000; done")
	never := h.newPod(v1.RestartPolicyNever, "exec sleep 100000")
	done := h.newPod(v1.RestartPolicyNever, "echo of the ended")
	h.Left = nil
	for _, p := range []pod{always, again, never} {
		if err := p.running(ctx); err != nil {
			return err
		}
		h.Left = append(h.Left, p.Pod)
	}
	if err := done.create(ctx); err != nil {
		return err
	}
	_, err := done.ended(ctx)
	h.Left = append(h.Left, done.Pod)
	return err
}

// afterBoot: Always runs again, OnFailure runs again and succeeds, Never has failed with this
// message, and what had ended has ended as before.
func (h *host) afterBoot(ctx context.Context, message string) error {
	if err := await(ctx, "docker-sd", func() error { _, err := sh(ctx, "systemctl is-active docker-sd"); return err }); err != nil {
		return err
	}
	if len(h.Left) != 4 {
		return fmt.Errorf("%d pods are left of the boot before", len(h.Left))
	}
	always, again, never, done := pod{h.Left[0]}, pod{h.Left[1]}, pod{h.Left[2]}, pod{h.Left[3]}
	problems := []error{always.awaitReady(ctx, 1)}
	for _, c := range []struct {
		pod     pod
		code    int32
		message string
	}{{again, 0, ""}, {never, 137, message}, {done, 0, ""}} {
		end, err := c.pod.ended(ctx)
		if err == nil && (end.ExitCode != c.code || !strings.Contains(end.Message, c.message)) {
			err = fmt.Errorf("the pod with restartPolicy %s ended with %+v, want %d", c.pod.Spec.RestartPolicy, end, c.code)
		}
		problems = append(problems, err)
	}
	problems = append(problems, again.logged(ctx, "second run"), done.logged(ctx, "of the ended"))
	for _, p := range h.Left {
		problems = append(problems, pod{p}.delete(ctx))
	}
	h.Left = nil
	return errors.Join(append(problems, nothingLeft(ctx, h))...)
}

func beforeBoot(ctx context.Context, h *host) error { return h.ofEachPolicy(ctx) }

func afterCut(ctx context.Context, h *host) error {
	return h.afterBoot(ctx, "the pod's sandbox stopped: its host was started again")
}

// afterReboot: sandboxes end before docker-sd, which then knows no more than that.
func afterReboot(ctx context.Context, h *host) error {
	return h.afterBoot(ctx, "the pod's sandbox stopped")
}
