#!/bin/sh
set -e
if [ -d /run/systemd/system ]; then systemctl daemon-reload; fi

# A purge takes the pods and the sandboxes of the packaged data folder, and the folder.
if [ "${1:-}" = purge ]; then
	label=label=docker-sd.folder=/var/lib/docker-sd/sandboxes
	if command -v docker >/dev/null && docker version >/dev/null 2>&1; then
		docker ps -aq --filter $label | xargs -r docker rm -fv >/dev/null
		# Containers that run nothing and keep images.
		docker ps -aq --filter label=docker-sd.instance=docker-sd --filter status=created | xargs -r docker rm -fv >/dev/null
		# Leases that keep images in the engine's containerd.
		if command -v ctr >/dev/null; then
			ctr -n moby leases ls -q 'labels."docker-sd.instance"==docker-sd' 2>/dev/null | xargs -r ctr -n moby leases rm >/dev/null || true
		fi
		docker network ls -q --filter $label | xargs -r docker network rm >/dev/null
	fi
	# The rules that kept its pods from the host, and the slice that bounded them.
	if command -v nft >/dev/null; then nft delete table inet docker-sd-docker-sd 2>/dev/null || true; fi
	groups=/sys/fs/cgroup/dockersd.slice
	if [ -d $groups ] && [ -z "$(find $groups -name '*.scope')" ]; then systemctl stop dockersd.slice || true; fi
	rm -rf --one-file-system /var/lib/docker-sd /run/docker-sd
fi

if [ "${1:-}" = purge ]; then rm -f /var/cache/apparmor/*/docker-sd-sandbox; fi
# What still runs under the profile keeps it until the next boot.
case ${1:-} in
remove | purge | 0)
	if [ -e /sys/kernel/security/apparmor/.remove ] && grep -q '^docker-sd-sandbox ' /sys/kernel/security/apparmor/profiles &&
		! grep -qs '^docker-sd-sandbox ' /proc/[0-9]*/attr/current; then
		printf docker-sd-sandbox >/sys/kernel/security/apparmor/.remove
	fi
	;;
esac
