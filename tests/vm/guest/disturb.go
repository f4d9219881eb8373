package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	v1 "k8s.io/api/core/v1"
)

// during runs a script while a pod runs, which must go on with the same process.
func during(ctx context.Context, h *host, p pod, script string) error {
	if err := p.running(ctx); err != nil {
		return err
	}
	before, err := p.state(ctx)
	if err != nil {
		return err
	}
	if _, err := sh(ctx, script); err != nil {
		return err
	}
	if err := p.awaitReady(ctx, 0); err != nil {
		return err
	}
	after, err := p.state(ctx)
	if err != nil {
		return err
	}
	if after.RestartCount != before.RestartCount || after.ContainerID != before.ContainerID || !after.State.Running.StartedAt.Equal(&before.State.Running.StartedAt) {
		return fmt.Errorf("the container was %+v and is %+v", before, after)
	}
	return nil
}

// daemonReload has systemd write the device rules of all scopes anew.
func daemonReload(ctx context.Context, h *host) error {
	p := h.newPod(v1.RestartPolicyAlways, "while :; do head -c 1 /dev/urandom >/dev/null && : >/dev/null && echo device works >/tmp/works || echo lost; sleep 1; done")
	err := during(ctx, h, p, "systemctl daemon-reload; sleep 3; systemctl daemon-reload")
	if err == nil {
		var text string
		if text, err = p.log(ctx); err == nil && strings.Contains(text, "lost") {
			err = fmt.Errorf("a device was lost: %q", text)
		}
	}
	return errors.Join(err, p.delete(ctx))
}

func restartDaemon(ctx context.Context, h *host) error {
	p := h.newPod(v1.RestartPolicyAlways, untilStopped)
	return errors.Join(during(ctx, h, p, "systemctl restart docker-sd"), p.delete(ctx))
}

func killDaemon(ctx context.Context, h *host) error {
	p := h.newPod(v1.RestartPolicyAlways, untilStopped)
	const script = `pid=$(systemctl show -p MainPID --value docker-sd) && kill -9 $pid && until curl_pid=$(systemctl show -p MainPID --value docker-sd) && ` +
		`[ "$curl_pid" != "$pid" ] && systemctl is-active --quiet docker-sd; do sleep 1; done`
	return errors.Join(during(ctx, h, p, script), p.delete(ctx))
}

// restartEngine ends every sandbox, and pods come back.
func restartEngine(ctx context.Context, h *host) error {
	p := h.newPod(v1.RestartPolicyAlways, "echo started; "+untilStopped)
	if err := p.running(ctx); err != nil {
		return err
	}
	if _, err := sh(ctx, "systemctl restart docker"); err != nil {
		return err
	}
	return errors.Join(p.awaitReady(ctx, 1), p.delete(ctx))
}
