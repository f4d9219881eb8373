package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	v1 "k8s.io/api/core/v1"
)

// nfsServer is the address of the server, a host of its own for docker-sd.
const nfsServer = "192.0.2.2"

// ganesha serves a folder by version 4 of the protocol alone, which needs no other program.
const ganesha = `NFS_CORE_PARAM { Protocols = 4; Enable_NLM = false; Enable_RQUOTA = false; Bind_addr = 192.0.2.2; }
NFSv4 { Graceless = true; RecoveryBackend = fs; }
EXPORT { Export_Id = 1; Path = /export; Pseudo = /export; Access_Type = RW; Squash = None; SecType = sys; Protocols = 4; Transports = TCP; FSAL { Name = VFS; } }
`

// serveNFS starts a server in a network namespace, which pods reach as another machine.
func serveNFS(ctx context.Context) error {
	if err := errors.Join(os.MkdirAll("/export/part", 0o777), os.WriteFile("/export/f", []byte("of the server\n"), 0o644),
		os.Chmod("/export", 0o777), os.WriteFile("/etc/ganesha/test.conf", []byte(ganesha), 0o600)); err != nil {
		return err
	}
	for _, script := range []string{
		"systemctl stop nfs-ganesha", // the package's own, in the machine's network
		"ip netns add nfs",
		"ip link add nfs-out type veth peer name nfs-in netns nfs",
		"ip addr add 192.0.2.1/24 dev nfs-out && ip link set nfs-out up",
		"ip -n nfs link set lo up && ip -n nfs addr add " + nfsServer + "/24 dev nfs-in && ip -n nfs link set nfs-in up && ip -n nfs route add default via 192.0.2.1",
		"iptables -I DOCKER-USER -i nfs-out -j ACCEPT && iptables -I DOCKER-USER -o nfs-out -j ACCEPT",
		"mkdir -p /run/ganesha /var/lib/nfs/ganesha && systemd-run -q --unit exports ip netns exec nfs ganesha.nfsd -F -L /var/log/ganesha.log -f /etc/ganesha/test.conf",
	} {
		if _, err := sh(ctx, script); err != nil {
			return err
		}
	}
	return await(ctx, "the NFS server", func() error {
		_, err := sh(ctx, "ip netns exec nfs sh -c 'grep -q :0801 /proc/net/tcp /proc/net/tcp6'")
		return err
	})
}

// mountsNFS: two containers have an export, one of them a part of it and read-only. What they
// write is the server's. The server outlives the pod: the removal of a mount waits for it.
func mountsNFS(ctx context.Context, h *host) error {
	if err := serveNFS(ctx); err != nil {
		log, _ := sh(ctx, "tail -n 20 /var/log/ganesha.log; systemctl status exports")
		return fmt.Errorf("%w: %s", err, log)
	}
	p := h.newPod(v1.RestartPolicyNever,
		"cat /vol/f && echo of the pod >/vol/g && grep -o ' /vol .* - nfs4' /proc/self/mountinfo | wc -l && mkdir -p /vol/part && echo end",
		"until test -e /vol/g; do sleep 1; done; touch /vol/x 2>/dev/null || echo read-only; cat /vol/g; echo end")
	p.Spec.Volumes = []v1.Volume{{Name: "v", VolumeSource: v1.VolumeSource{NFS: &v1.NFSVolumeSource{Server: nfsServer, Path: "/export"}}}}
	for i, readOnly := range []bool{false, true} {
		p.Spec.Containers[i].VolumeMounts = []v1.VolumeMount{{Name: "v", MountPath: "/vol", ReadOnly: readOnly}}
	}
	if err := p.create(ctx); err != nil {
		return err
	}
	problems := []error{p.logged(ctx, "of the server\n1\nend\n")}
	second := p
	second.Pod = p.DeepCopy()
	second.Spec.Containers = second.Spec.Containers[1:]
	problems = append(problems, second.logged(ctx, "read-only\nof the pod\nend\n"), says(ctx, "cat /export/g", "of the pod"), p.deleted(ctx))
	if err := errors.Join(problems...); err != nil {
		log, _ := sh(ctx, "tail -n 20 /var/log/ganesha.log; journalctl -u docker-sd -n 10 --no-pager; dmesg | tail -n 10")
		return fmt.Errorf("%w: %s", err, log)
	}
	_, err := sh(ctx, "systemctl stop exports && iptables -D DOCKER-USER -i nfs-out -j ACCEPT && iptables -D DOCKER-USER -o nfs-out -j ACCEPT && ip netns del nfs && umount /run/netns")
	return err
}
