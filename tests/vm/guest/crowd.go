package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	v1 "k8s.io/api/core/v1"
)

// stock is what the settings of the pool are with the packaged configuration; the other checks
// have a small one.
const (
	toStock   = `cp /etc/interlink/docker-sd.yaml /root/small.yaml && sed -i -E '/^(AVAILABLEDINDS|SandboxBoot[A-Za-z]*|StandbySandboxes|NetworkHolders):/d' /etc/interlink/docker-sd.yaml && systemctl restart docker-sd`
	fromStock = `mv /root/small.yaml /etc/interlink/docker-sd.yaml && systemctl restart docker-sd`
)

// failedBoots counts the boots of sandboxes that failed since docker-sd was started.
func failedBoots(ctx context.Context) (string, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://127.0.0.1:4001/metrics", nil)
	if err != nil {
		return "", err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	const metric = `docker_sd_sandbox_boot_duration_seconds_count{outcome="error"} `
	for lines := bufio.NewScanner(response.Body); lines.Scan(); {
		if count, found := strings.CutPrefix(lines.Text(), metric); found {
			return count, nil
		}
	}
	return "", errors.New("there is no metric " + metric)
}

// atOnce: pods that are created in one moment run all in the end, with the settings as they
// are packaged, and no sandbox that advances is given up.
func atOnce(ctx context.Context, h *host) error {
	if _, err := sh(ctx, toStock); err != nil {
		return err
	}
	err := h.crowd(ctx)
	if err != nil {
		log, _ := sh(ctx, "journalctl -u docker-sd -p warning --no-pager -n 20")
		err = fmt.Errorf("%w: %s", err, log)
	}
	_, back := sh(ctx, fromStock)
	return errors.Join(err, back)
}

func (h *host) crowd(ctx context.Context) error {
	pods := make([]pod, h.many)
	for i := range pods {
		pods[i] = h.newPod(v1.RestartPolicyAlways, untilStopped)
		if err := pods[i].create(ctx); err != nil {
			return err
		}
	}
	var problems []error
	for _, p := range pods {
		problems = append(problems, p.awaitReady(ctx, 0))
	}
	for _, p := range pods {
		s, err := p.state(ctx)
		if err == nil && (s.State.Running == nil || s.RestartCount > 0) {
			err = fmt.Errorf("%s is %+v", p.Name, s)
		}
		problems = append(problems, err)
	}
	failed, err := failedBoots(ctx)
	if err == nil && failed != "0" {
		err = fmt.Errorf("%s boots of sandboxes failed", failed)
	}
	problems = append(problems, err)
	// A standby that was given up, and all else that went wrong and was mended.
	const warnings = `journalctl -u docker-sd --since "$(systemctl show docker-sd -p ActiveEnterTimestamp --value | sed 's/^[A-Za-z]* //')" --no-pager -o cat | ` +
		`grep -c -e 'could not be woken' -e 'a sandbox could not be made' || true`
	problems = append(problems, says(ctx, warnings, "0"))
	for _, p := range pods {
		problems = append(problems, p.delete(ctx))
	}
	return errors.Join(problems...)
}
