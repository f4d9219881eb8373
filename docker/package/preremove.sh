#!/bin/sh
set -e
# "remove" from dpkg and 0 from rpm mean that the package goes, others an upgrade.
case ${1:-} in
remove | 0)
	if [ -d /run/systemd/system ]; then systemctl disable --now docker-sd.service; fi
	;;
esac
