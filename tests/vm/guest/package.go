package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	v1 "k8s.io/api/core/v1"
)

// worstExposure is what systemd may say of the unit, of 10.
const worstExposure = 3.8

func hardened(ctx context.Context, _ *host) error {
	text, err := sh(ctx, "systemd-analyze security --no-pager docker-sd.service | grep -o 'level for docker-sd.service: [0-9.]*' | grep -o '[0-9.]*$'")
	if err != nil {
		return err
	}
	level, err := strconv.ParseFloat(text, 64)
	if err == nil && level > worstExposure {
		err = fmt.Errorf("systemd calls its exposure %v, want %v at most", level, worstExposure)
	}
	return err
}

// saysTrue: nothing is wrong here, and the lines say what this machine is.
func saysTrue(ctx context.Context, _ *host) error {
	text, err := sh(ctx, "docker-sd check --timeout 14m --boot-timeout 5m")
	if err != nil {
		return err
	}
	for _, want := range []string{"version 2, driver systemd", "sandboxes run under docker-sd-sandbox", "off: a restart or an upgrade of the engine ends every sandbox", " 0 fail"} {
		if !strings.Contains(text, want) {
			err = errors.Join(err, fmt.Errorf("it does not say %q: %s", want, text))
		}
	}
	return err
}

// blamesEngine: an engine that can start no container, as it has no way to load the profile of
// its containers, is not taken for a bad sandbox image.
func blamesEngine(ctx context.Context, _ *host) error {
	const parser = "/usr/sbin/apparmor_parser"
	if _, err := sh(ctx, "mv "+parser+" "+parser+".away && printf docker-default >/sys/kernel/security/apparmor/.remove"); err != nil {
		return err
	}
	text, err := sh(ctx, "docker-sd check --timeout 14m --boot-timeout 5m")
	if err == nil {
		err = fmt.Errorf("it finds nothing wrong: %s", text)
	} else if err = nil; !strings.Contains(text, "the engine cannot run a container of the sandbox image") || strings.Contains(text, "set SandboxImage") {
		err = fmt.Errorf("it does not blame the engine, or advises another image: %s", text)
	}
	_, back := sh(ctx, "mv "+parser+".away "+parser)
	return errors.Join(err, back)
}

// purge removes all that the package and docker-sd have brought, with a pod running.
func purge(ctx context.Context, h *host) error {
	p := h.newPod(v1.RestartPolicyAlways, untilStopped)
	if err := p.running(ctx); err != nil {
		return err
	}
	if _, err := sh(ctx, "dpkg --purge docker-sd"); err != nil {
		return err
	}
	var problems []error
	for script, want := range map[string]string{
		"systemctl list-unit-files | grep -c docker-sd || true":            "0",
		"docker ps -aq --filter label=docker-sd.instance | wc -l":          "0",
		"docker network ls -q --filter label=docker-sd.instance | wc -l":   "0",
		"docker volume ls -q | wc -l":                                      "0",
		"find /sys/fs/cgroup -name 'dockersd*' | wc -l":                    "0",
		"grep -c docker-sd /sys/kernel/security/apparmor/profiles || true": "0",
		"ip -br link | grep -vc -e ^lo -e ^docker0 || true":                "0",
		"find / -xdev -not -path '/root/*' -name '*docker-sd*' -not -path '/etc/host*' -not -path '/var/log/*' | grep -v -e /overlay2/ -e docker-sd-vm": "",
	} {
		if got, _ := sh(ctx, script); got != want { // grep fails where it finds nothing
			problems = append(problems, fmt.Errorf("%s printed %q, want %q", script, got, want))
		}
	}
	return errors.Join(problems...)
}
