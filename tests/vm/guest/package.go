package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
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
	for _, want := range []string{"version 2, driver systemd", "off: a restart or an upgrade of the engine ends every sandbox", " 0 wrong"} {
		if !strings.Contains(text, want) {
			err = errors.Join(err, fmt.Errorf("it does not say %q: %s", want, text))
		}
	}
	return err
}

// purge removes all that the package and docker-sd have brought.
func purge(ctx context.Context, h *host) error {
	for _, script := range []string{"dpkg --purge docker-sd"} {
		if _, err := sh(ctx, script); err != nil {
			return err
		}
	}
	return errors.Join(
		says(ctx, "systemctl list-unit-files | grep -c docker-sd || true", "0"),
		says(ctx, "ls -d /usr/bin/docker-sd /etc/interlink /run/docker-sd /usr/share/doc/docker-sd /usr/lib/systemd/system/docker-sd.service 2>/dev/null || true", ""),
	)
}
