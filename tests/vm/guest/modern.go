package main

import (
	"context"
	"errors"
)

// replaceEngine puts the engine of the shared folder in the place of Debian's, with no data
// of that one: an engine keeps to the image store of what it finds.
func replaceEngine(ctx context.Context) error {
	for _, script := range []string{
		"systemctl stop docker.socket docker containerd && rm -rf /var/lib/docker/* /var/lib/containerd/*",
		"install -m 755 " + shareDir + "/engine/* /usr/local/bin",
		"mkdir -p /etc/systemd/system/docker.service.d /etc/systemd/system/containerd.service.d",
		"printf '[Service]\\nExecStart=\\nExecStart=/usr/local/bin/dockerd -H fd:// --containerd=/run/containerd/containerd.sock\\n' >/etc/systemd/system/docker.service.d/modern.conf",
		"printf '[Service]\\nExecStart=\\nExecStart=/usr/local/bin/containerd\\n' >/etc/systemd/system/containerd.service.d/modern.conf",
		"systemctl daemon-reload && systemctl start containerd docker.socket docker",
	} {
		if _, err := sh(ctx, script); err != nil {
			log, _ := sh(ctx, "journalctl -u docker -u containerd -n 20 --no-pager")
			return errors.Join(err, errors.New(log))
		}
	}
	return says(ctx, "docker info --format '{{.ServerVersion}} {{.DriverStatus}}'", "29.0.0-modules [[driver-type io.containerd.snapshotter.v1]]")
}
