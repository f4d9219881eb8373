package main

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"

	v1 "k8s.io/api/core/v1"
)

// attempts to write a setting of the kernel's, each the value that it has. They end
// with "wrote" where they succeed.
var attempts = map[string]string{
	"proc mounted anew":        `mount -t proc proc /tmp/a; f=/tmp/a/sys/kernel/core_pattern`,
	"another setting":          `mount -t proc proc /tmp/a; f=/tmp/a/sys/kernel/modprobe`,
	"proc mounted and moved":   `mount --make-rprivate /; mount -t proc proc /tmp/a; mount --move /tmp/a /tmp/b; f=/tmp/b/sys/kernel/core_pattern`,
	"a folder of proc, bound":  `mount -t proc proc /tmp/a; mount --bind /tmp/a/sys/kernel /tmp/b; f=/tmp/b/core_pattern`,
	"a file of proc, bound":    `mount -t proc proc /tmp/a; touch /tmp/f; mount --bind /tmp/a/sys/kernel/core_pattern /tmp/f; f=/tmp/f`,
	"proc bound in two steps":  `mount -t proc proc /tmp/a; mount --bind /tmp/a/sys /tmp/b; mount --bind /tmp/b/kernel /tmp/c; f=/tmp/c/core_pattern`,
	"proc by a relative path":  `mount -t proc proc /tmp/a; cd /tmp/a/sys; f=kernel/core_pattern`,
	"proc by a descriptor":     `mount -t proc proc /tmp/a; exec 9</tmp/a/sys; umount -l /tmp/a; f=/proc/self/fd/9/kernel/core_pattern`,
	"proc as it was made":      `mount -o remount,rw,bind /proc/sys; f=/proc/sys/kernel/core_pattern`,
	"sysfs mounted anew":       `mkdir -p /tmp/sys; mount -t sysfs sysfs /tmp/sys; mount -o remount,rw /tmp/sys; f=/tmp/sys/kernel/mm/ksm/sleep_millisecs`,
	"sysfs with another name":  `mount -t sysfs sysfs /tmp/a; mount -o remount,rw /tmp/a; f=/tmp/a/kernel/mm/ksm/sleep_millisecs`,
	"formats of other systems": `mount -t binfmt_misc none /tmp/a; echo 1 >/tmp/a/status; f=/tmp/f; touch $f`,
}

// attempt runs one in a mount namespace of its own, in a container.
func attempt(ctx context.Context, script, container string) (bool, error) {
	cmd := exec.CommandContext(ctx, "docker", "exec", "-i", container, "sh")
	cmd.Stdin = strings.NewReader("mkdir -p /tmp/a /tmp/b /tmp/c\nexec unshare -m sh -c '(set -e; " + script +
		"; v=$(cat $f); printf %s \"$v\" >$f; echo wrote); echo end'")
	out, err := cmd.Output()
	if err == nil && !strings.Contains(string(out), "end") {
		err = errors.New("it did not run to its end")
	}
	if err != nil {
		return false, fmt.Errorf("%s: %w: %s", script, err, out)
	}
	return strings.Contains(string(out), "wrote"), nil
}

// confined: pods run under the profile, and with it root of a sandbox writes no setting
// of the kernel's, which it does without.
func confined(ctx context.Context, h *host) error {
	p := h.newPod(v1.RestartPolicyAlways, "cat /proc/self/attr/current; "+untilStopped)
	if err := p.running(ctx); err != nil {
		return err
	}
	problems := []error{p.logged(ctx, "docker-sd-sandbox (enforce)")}
	name, err := p.sandbox(ctx)
	if err != nil {
		return err
	}
	const control = "without-profile"
	start := "docker run -d --name " + control + " --cap-add=SYS_ADMIN --security-opt=apparmor=unconfined --security-opt=seccomp=unconfined " + h.busybox + " sleep 100000"
	if _, err := sh(ctx, start); err != nil {
		return err
	}
	for what, script := range attempts {
		free, err := attempt(ctx, script, control)
		if problems = append(problems, err); err == nil && !free {
			problems = append(problems, fmt.Errorf("%s is refused without the profile too, which shows nothing", what))
		}
		held, err := attempt(ctx, script, name)
		if problems = append(problems, err); held {
			problems = append(problems, fmt.Errorf("%s succeeds in a sandbox", what))
		}
	}
	_, err = sh(ctx, "docker rm -f "+control)
	return errors.Join(append(problems, err, p.delete(ctx))...)
}
