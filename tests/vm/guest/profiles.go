package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	v1 "k8s.io/api/core/v1"
)

// denyWrite is a profile that pods may name. It lets what has none, in its namespace, end
// it and enter it.
const denyWrite = `profile :docker-sd:k8s-deny-write flags=(attach_disconnected,mediate_deleted) {
  file,
  network,
  capability,
  signal (receive) peer=unconfined,
  ptrace (readby) peer=unconfined,
  signal peer=k8s-deny-write,
  deny /tmp/denied/** w,
}
`

// writes says under which profile it runs, and whether it may write what that denies.
const writes = "cat /proc/self/attr/current; mkdir -p /tmp/denied; (echo x >/tmp/denied/f) 2>/dev/null && echo wrote || echo denied; (echo x >/tmp/f) && echo wrote elsewhere; "

// configure adds to the configuration of docker-sd, and starts it anew.
func configure(ctx context.Context, line string) error {
	if _, err := sh(ctx, "grep -qF '"+line+"' /etc/interlink/docker-sd.yaml || echo '"+line+"' >>/etc/interlink/docker-sd.yaml; systemctl restart docker-sd"); err != nil {
		return err
	}
	return warm(ctx)
}

// localhost gives a container a profile.
func (p pod) localhost(container int, name string) *v1.SecurityContext {
	own := &v1.SecurityContext{AppArmorProfile: &v1.AppArmorProfile{Type: v1.AppArmorProfileTypeLocalhost, LocalhostProfile: &name}}
	p.Spec.Containers[container].SecurityContext = own
	return own
}

// only is the pod with one of its containers first, for what asks about that.
func (p pod) only(container int) pod {
	out := pod{p.DeepCopy()}
	out.Spec.Containers = out.Spec.Containers[container:]
	return out
}

// profilesOfPods: containers run under profiles that the operator allows and has loaded, and
// what these deny is denied in no other container.
func profilesOfPods(ctx context.Context, h *host) error {
	const profile = "/etc/apparmor.d/k8s-deny-write"
	if err := os.WriteFile(profile, []byte(denyWrite), 0o644); err != nil {
		return err
	}
	if _, err := sh(ctx, "apparmor_parser -r "+profile); err != nil {
		return err
	}
	if err := configure(ctx, "AppArmorProfiles: [k8s-*]"); err != nil {
		return err
	}
	var problems []error
	for name, words := range map[string]string{"docker-default": "not a profile that pods of this node may have", ":docker-sd:k8s-deny-write": "not the name of a profile"} {
		refused := h.newPod(v1.RestartPolicyAlways, "echo ran")
		refused.localhost(0, name)
		if err := refused.create(ctx); err == nil || !strings.Contains(err.Error(), words) {
			problems = append(problems, fmt.Errorf("profile %s: %w, want %s", name, err, words))
		}
	}
	problems = append(problems, underProfiles(ctx, h))
	// What comes later finds the host as it was.
	_, err := sh(ctx, "sed -i '/^AppArmorProfiles/d' /etc/interlink/docker-sd.yaml && systemctl restart docker-sd && rm -f /srv/ended")
	problems = append(problems, err, warm(ctx))
	_, err = sh(ctx, "apparmor_parser -R "+profile+" && rm "+profile)
	return errors.Join(append(problems, err)...)
}

// underProfiles has a pod with a control without a profile, and beside it containers with
// one: plain, without a way to more privileges, privileged, and with one that is not loaded.
func underProfiles(ctx context.Context, h *host) error {
	const held, free = "k8s-deny-write (enforce)\ndenied\nwrote elsewhere\n", "unconfined\nwrote\nwrote elsewhere\n"
	const stays = "trap 'echo asked to end >/srv/ended; exit 0' TERM; while :; do sleep 1; done"
	p := h.newPod(v1.RestartPolicyAlways, writes+stays, writes+untilStopped, writes+untilStopped, writes+untilStopped, "echo ran")
	p.localhost(0, "k8s-deny-write")
	p.localhost(1, "k8s-deny-write").AllowPrivilegeEscalation = new(bool)
	yes := true
	p.localhost(2, "k8s-deny-write").Privileged = &yes
	p.localhost(4, "k8s-missing")
	p.Spec.Volumes = []v1.Volume{{Name: "srv", VolumeSource: v1.VolumeSource{HostPath: &v1.HostPathVolumeSource{Path: "/srv"}}}}
	p.Spec.Containers[0].VolumeMounts = []v1.VolumeMount{{Name: "srv", MountPath: "/srv"}}
	// What the engine runs in the container later has its profile, too.
	p.Spec.Containers[0].ReadinessProbe = &v1.Probe{PeriodSeconds: 1, TimeoutSeconds: 60, SuccessThreshold: 1, FailureThreshold: 3,
		ProbeHandler: v1.ProbeHandler{Exec: &v1.ExecAction{Command: []string{"grep", "-qx", "k8s-deny-write (enforce)", "/proc/self/attr/current"}}}}
	if err := p.running(ctx); err != nil {
		return err
	}
	var problems []error
	for i, want := range []string{held, held, held, free} {
		if err := p.only(i).logged(ctx, want); err != nil {
			problems = append(problems, fmt.Errorf("container %d: %w", i, err))
		}
	}
	problems = append(problems, await(ctx, "words on a profile that is not loaded", func() error {
		s, err := p.states(ctx)
		if err != nil {
			return err
		}
		if w := s[4].State.Waiting; w == nil || w.Reason != "CreateContainerError" || !strings.Contains(w.Message, "k8s-missing is not loaded on this node") {
			return fmt.Errorf("its status is %+v", s[4])
		}
		return nil
	}))
	name, err := p.sandbox(ctx)
	if err != nil {
		return errors.Join(append(problems, err)...)
	}
	// The profile of the sandbox holds beside that of the container.
	whole, err := sh(ctx, "cat /proc/$(docker inspect -f '{{.State.Pid}}' "+name+")/attr/current; for p in /proc/[0-9]*; do grep -s k8s-deny-write $p/attr/current; done | sort -u")
	const want = "docker-sd-sandbox//&:docker-sd:unconfined (enforce)\ndocker-sd-sandbox//&:docker-sd:k8s-deny-write (enforce)"
	if err == nil && whole != want {
		err = fmt.Errorf("the host sees the profiles %q, want %q", whole, want)
	}
	for _, what := range []string{"proc mounted anew", "proc bound in two steps", "sysfs with another name"} {
		wrote, err := attempt(ctx, attempts[what], name) // the control is that of the check apparmor
		if problems = append(problems, err); wrote {
			problems = append(problems, fmt.Errorf("%s succeeds in a sandbox with the namespace", what))
		}
	}
	return errors.Join(append(problems, err, p.delete(ctx),
		await(ctx, "the end of the container as it was asked for", func() error { return says(ctx, "cat /srv/ended", "asked to end") }))...)
}
