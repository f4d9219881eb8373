package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
)

// untilStopped is a script that ends at once on SIGTERM.
const untilStopped = "trap 'exit 0' TERM; while :; do sleep 1000 & wait $!; done"

// checks in their order. The later ones disturb the engine.
func checks() []check {
	return []check{
		{name: "install", run: install},
		{name: "pool", run: warmPool},
		{name: "life", run: life},
		{name: "limits", run: limits},
		{name: "out of memory", run: outOfMemory},
		{name: "out of memory as a whole", run: outOfMemoryAsAWhole},
		{name: "limits of a pod", run: limitsOfAPod},
		{name: "exec probe", run: execProbe},
		{name: "usage", run: usageOfPods},
		{name: "nfs", run: mountsNFS},
		{name: "own group", run: ownGroup},
		{name: "apparmor", run: confined},
		{name: "apparmor profiles of pods", run: profilesOfPods},
		{name: "huge pages", run: hugePages},
		{name: "pods at once", run: atOnce},
		{name: "nothing left", run: nothingLeft},
		{name: "daemon-reload", run: daemonReload},
		{name: "restart docker-sd", run: restartDaemon},
		{name: "kill docker-sd", run: killDaemon},
		{name: "restart docker", run: restartEngine},
		{name: "power cut", run: beforeBoot, boots: powerCut},
		{name: "after the power cut", run: afterCut},
		{name: "reboot", run: beforeBoot, boots: rebooted},
		{name: "after the reboot", run: afterReboot},
		{name: "hardened", run: hardened},
		{name: "check", run: saysTrue},
		{name: "check without a parser", run: blamesEngine},
		{name: "purge", run: purge},
		{name: "install script", run: installScript},
	}
}

// install loads the images, installs the package and waits until docker-sd is ready.
func install(ctx context.Context, h *host) error {
	if _, err := sh(ctx, "dpkg -s docker-sd"); err == nil {
		return nil // in a machine that was kept
	}
	if err := await(ctx, "the engine", func() error { _, err := sh(ctx, "docker info"); return err }); err != nil {
		return err
	}
	if h.modern {
		if err := replaceEngine(ctx); err != nil {
			return err
		}
	}
	for _, script := range []string{
		"docker load -i " + shareDir + "/images.tar",
		"dpkg -i " + shareDir + "/docker-sd.deb",
		"printf 'SandboxImage: %s\\nAVAILABLEDINDS: 1\\nSandboxBootParallel: 1\\nSandboxBootTimeout: 10m\\nStandbySandboxes: 0\\nNetworkHolders: 0\\nHostPathPrefixes: [/srv]\\nNFSServers: [" + nfsServer + "]\\n' " + h.sandbox + " >>/etc/interlink/docker-sd.yaml",
		// Type=notify: it returns when docker-sd is ready.
		"systemctl enable --now docker-sd",
	} {
		if _, err := sh(ctx, script); err != nil {
			return err
		}
	}
	return says(ctx, "docker info --format '{{.CgroupVersion}} {{.CgroupDriver}}'", "2 systemd")
}

// warm counts the sandboxes that wait ready.
func warm(ctx context.Context) error {
	return await(ctx, "warm sandboxes", func() error {
		return says(ctx, "systemctl show docker-sd -p StatusText --value | grep -o '[0-9]* of [0-9]* sandboxes wait warm'", "1 of 1 sandboxes wait warm")
	})
}

func warmPool(ctx context.Context, h *host) error {
	if err := warm(ctx); err != nil {
		log, _ := sh(ctx, "systemctl status docker-sd; journalctl -u docker-sd -n 20 --no-pager")
		return errors.Join(err, errors.New(log))
	}
	var err error
	h.Empty, err = held(ctx)
	return err
}

func life(ctx context.Context, h *host) error {
	p := h.newPod(v1.RestartPolicyNever, "echo hello, world; exit 0")
	if err := p.create(ctx); err != nil {
		return err
	}
	end, err := p.ended(ctx)
	if err != nil {
		return err
	}
	if end.ExitCode != 0 || end.Reason != "Completed" {
		return fmt.Errorf("it ended with %+v", end)
	}
	return errors.Join(p.logged(ctx, "hello, world"), p.delete(ctx))
}

// limits are read where programs read them: in the group that /proc/self/cgroup names, below
// the root of what is mounted.
func limits(ctx context.Context, h *host) error {
	p := h.newPod(v1.RestartPolicyNever, `own=/sys/fs/cgroup$(sed s/^0::// /proc/self/cgroup); cd $own && cat memory.max cpu.max cpu.weight
grep ' /sys/fs/cgroup ' /proc/self/mountinfo | cut -d' ' -f4; wc -l </proc/self/cgroup; echo end`)
	p.Spec.Containers[0].Resources = v1.ResourceRequirements{
		Limits:   v1.ResourceList{v1.ResourceMemory: resource.MustParse("64Mi"), v1.ResourceCPU: resource.MustParse("500m")},
		Requests: v1.ResourceList{v1.ResourceCPU: resource.MustParse("250m")}}
	if err := p.create(ctx); err != nil {
		return err
	}
	if _, err := p.ended(ctx); err != nil {
		return err
	}
	text, err := p.log(ctx)
	// runc turns 256 shares of version 1 into a weight of 10, and since 1.3.2 into 35.
	if want := "67108864\n50000 100000\n10\n/\n1\nend\n"; err == nil && text != want && text != strings.Replace(want, "10\n/", "35\n/", 1) {
		err = fmt.Errorf("the container read %q, want %q", text, want)
	}
	return errors.Join(err, p.delete(ctx))
}

func outOfMemory(ctx context.Context, h *host) error {
	p := h.newPod(v1.RestartPolicyNever, "exec tail /dev/zero")
	p.Spec.Containers[0].Resources.Limits = v1.ResourceList{v1.ResourceMemory: resource.MustParse("32Mi")}
	if err := p.create(ctx); err != nil {
		return err
	}
	end, err := p.ended(ctx)
	if err == nil && (end.ExitCode != 137 || end.Reason != "OOMKilled") {
		err = fmt.Errorf("it ended with %+v", end)
	}
	return errors.Join(err, p.delete(ctx))
}

// outOfMemoryAsAWhole: the first process of the container would outlive the one that is
// killed. Its shell says so where it does.
func outOfMemoryAsAWhole(ctx context.Context, h *host) error {
	p := h.newPod(v1.RestartPolicyNever, "tail /dev/zero; echo survived; "+untilStopped)
	p.Spec.Containers[0].Resources.Limits = v1.ResourceList{v1.ResourceMemory: resource.MustParse("32Mi")}
	if err := p.create(ctx); err != nil {
		return err
	}
	end, err := p.ended(ctx)
	if err == nil && (end.ExitCode != 137 || end.Reason != "OOMKilled") {
		err = fmt.Errorf("it ended with %+v", end)
	}
	return errors.Join(err, p.delete(ctx))
}

// limitsOfAPod: two containers fit one by one, and not together.
func limitsOfAPod(ctx context.Context, h *host) error {
	const eats = "mkfifo /f; sleep 100000 </f & exec dd if=/dev/zero of=/f bs=40M count=1"
	p := h.newPod(v1.RestartPolicyNever, eats, eats)
	p.Spec.Resources = &v1.ResourceRequirements{Limits: v1.ResourceList{v1.ResourceMemory: resource.MustParse("64Mi")}}
	if err := p.create(ctx); err != nil {
		return err
	}
	err := await(ctx, "the end of one of two containers", func() error {
		states, err := p.states(ctx)
		if err != nil {
			return err
		}
		for _, s := range states {
			if end := s.State.Terminated; end != nil && end.ExitCode == 137 && end.Reason == "OOMKilled" {
				return nil
			}
		}
		return fmt.Errorf("they are %+v", states)
	})
	return errors.Join(err, p.delete(ctx))
}

func execProbe(ctx context.Context, h *host) error {
	p := h.newPod(v1.RestartPolicyAlways, "sleep 2; touch /tmp/ready; "+untilStopped)
	p.Spec.Containers[0].ReadinessProbe = &v1.Probe{PeriodSeconds: 1, TimeoutSeconds: 30, SuccessThreshold: 1, FailureThreshold: 3,
		ProbeHandler: v1.ProbeHandler{Exec: &v1.ExecAction{Command: []string{"test", "-e", "/tmp/ready"}}}}
	return errors.Join(p.running(ctx), p.delete(ctx))
}

// ownGroup looks from inside a sandbox for the group that bounds it.
func ownGroup(ctx context.Context, h *host) error {
	p := h.newPod(v1.RestartPolicyAlways, untilStopped)
	if err := p.running(ctx); err != nil {
		return err
	}
	name, err := p.sandbox(ctx)
	if err != nil {
		return err
	}
	inside := func(script string) string { return "docker exec " + name + " sh -c '" + script + "'" }
	var problems []error
	for script, want := range map[string]string{
		// The root of what is seen has no limits of its own to name.
		inside("cd /sys/fs/cgroup && ls -d memory.max pids.max cpu.max cgroup.type 2>/dev/null | wc -l"): "4",
		inside("cat /proc/1/cgroup"): "0::/init",
		inside("mkdir -p /tmp/g && mount -t cgroup2 none /tmp/g && ls -d /tmp/g/init /tmp/g/docker /tmp/g/system.slice 2>/dev/null; umount /tmp/g"): "/tmp/g/docker\n/tmp/g/init",
		inside("ls -d /sys/fs/cgroup/../sandbox /sys/fs/cgroup/sandbox 2>/dev/null | wc -l"):                                                        "0",
		// The pool's bound is not what is seen inside.
		inside("cat /sys/fs/cgroup/memory.max /sys/fs/cgroup/pids.max"): "max\nmax",
		inside("echo again"): "again",
	} {
		problems = append(problems, says(ctx, script, want))
	}
	// The group that bounds it is there, on the host.
	bound, err := sh(ctx, "cat /sys/fs/cgroup$(sed s/^0::// /proc/$(docker inspect -f '{{.State.Pid}}' "+name+")/cgroup)/../../memory.max")
	if err == nil && bound == "max" {
		err = errors.New("the sandbox's own group has no limit")
	}
	return errors.Join(append(problems, err, p.delete(ctx))...)
}
