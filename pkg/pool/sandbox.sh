# Runs as the first process of a sandbox, in whatever image provides dockerd.
# Everything here needs only a POSIX shell with mount, umount, cat, cp, cut, mkdir
# and ln.
# DOCKER_SD_SOCKET  socket of the inner engine, in a folder shared with the host
# DOCKER_SD_GO      named pipe to wait at before the engine is started, if it is there;
#                   "current" from it: the images are still those of the beginning
# DOCKER_SD_STORE   the image store to share, mounted read-only ("" = none)
set -eu

data=/var/lib/docker

# Where things are mounted, spaces as \040. The shell's read would take a system call
# for each byte of it.
mount_points() { cut -d ' ' -f 5 /proc/self/mountinfo; }

mounted() {
	for point in $(mount_points); do
		if [ "$point" = "$1" ]; then return 0; fi
	done
	return 1
}

# An unprivileged container gets its cgroups read-only; the inner engine has to
# make children in them. The bounds of the sandbox itself stay out of reach.
writable_cgroups() {
	for at in $(mount_points); do
		case $at in /sys/fs/cgroup | /sys/fs/cgroup/*) mount -o remount,bind,rw "$at" ;; esac
	done
	[ -f /sys/fs/cgroup/cgroup.controllers ] || return 0
	# cgroup v2 gives controllers to children only while no process sits in the
	# parent; an exec into the sandbox can put one back, hence the retries.
	mkdir -p /sys/fs/cgroup/init
	for _ in 1 2 3 4 5 6 7 8 9 10; do
		while read -r pid; do
			echo "$pid" >/sys/fs/cgroup/init/cgroup.procs || true
		done </sys/fs/cgroup/cgroup.procs 2>/dev/null
		controllers=
		for c in $(cat /sys/fs/cgroup/cgroup.controllers); do controllers="$controllers +$c"; done
		echo "$controllers" >/sys/fs/cgroup/cgroup.subtree_control 2>/dev/null && return 0
	done
	echo "docker-sd: cgroup controllers could not be given to the sandbox" >&2
}

# A private data root over the host's layers: metadata is copied, and only what
# leads to a layer's files points at the shared store. Copied in the reverse of
# the order in which an engine writes, so that whatever is named has already been
# written. A host may have a thousand layers, so as few processes as possible are
# started for each.
share_images() {
	from=$DOCKER_SD_STORE/image/overlay2
	to=$data/image/overlay2
	[ -f "$from/repositories.json" ] || return 0 # nothing has been imported yet
	mkdir -p "$to/layerdb" "$data/overlay2/l"
	cp "$from/repositories.json" "$to/"
	# An image that the host drops meanwhile is copied in part and then passed over.
	cp -r "$from/imagedb" "$to/" || true
	cp -r "$from/layerdb/sha256" "$to/layerdb/" || true
	set --
	for layer in "$to"/layerdb/sha256/*; do
		[ -f "$layer/cache-id" ] || continue
		id=
		read -r id <"$layer/cache-id" || true
		[ ! -f "$DOCKER_SD_STORE/overlay2/$id/link" ] || set -- "$@" "$data/overlay2/$id/work"
	done
	[ $# -gt 0 ] || return 0
	mkdir -p "$@"
	# Short names of layers, which lead to the long ones beside them.
	cp -a "$DOCKER_SD_STORE/overlay2/l/." "$data/overlay2/l/" || true
	for work; do
		layer=${work%/work}
		shared=$DOCKER_SD_STORE/overlay2/${layer##*/}
		: >"$layer/committed"
		ln -s "$shared/diff" "$layer/diff"
		link= lower=
		read -r link <"$shared/link" || true
		printf %s "$link" >"$layer/link"
		[ -f "$shared/lower" ] || continue
		read -r lower <"$shared/lower" || true
		printf %s "$lower" >"$layer/lower"
	done
}

share_once() {
	if [ -n "${DOCKER_SD_STORE:-}" ] && [ ! -e $data/overlay2 ]; then share_images; fi
}

# Below the host's store the roots of its other containers are mounted, writable,
# as they start, and an engine gives what is in its data root no other
# propagation than one that shows them here.
private_store() {
	for at in $(mount_points); do
		case $at in
		"$DOCKER_SD_STORE" | "$DOCKER_SD_STORE/image" | "$DOCKER_SD_STORE/overlay2") mount --make-private "$at" ;;
		# One whose container ends just now is gone before it can be unmounted.
		"$DOCKER_SD_STORE"/*) umount -l "$at" 2>/dev/null || ! mounted "$at" || umount -l "$at" ;;
		esac
	done
}

if [ -n "${DOCKER_SD_STORE:-}" ]; then
	private_store
	private_store # what came before the first had made them private
fi
# What the host mounts later below a shared path reaches the pod's containers,
# where they ask for it (mountPropagation HostToContainer).
mount --make-rshared /
writable_cgroups &
cgroups=$!
share_once
# Before the pipe: the end of a child interrupts the opening of it.
wait $cgroups
# A standby waits here: the pipe's other end is closed when it is needed. What can
# be done before is done before, for the burst that it stands by for.
if [ -p "${DOCKER_SD_GO:-}" ]; then
	word=
	read -r word <"$DOCKER_SD_GO" || true
	[ "$word" = current ] || [ -z "${DOCKER_SD_STORE:-}" ] || rm -rf $data/image $data/overlay2
	share_once
fi

# dockerd is a child, not the first process: containers outlive its crash
# (live-restore) and the loop brings it back.
# What a stopped sandbox left of its engine's run would be taken for alive.
rm -rf /var/run/docker /run/docker
engine=
trap 'kill -TERM $engine 2>/dev/null; wait $engine; exit 0' TERM INT
while :; do
	rm -f /var/run/docker.pid "$DOCKER_SD_SOCKET"
	# Collecting garbage less often saves a good part of the CPU of a boot and of the
	# first container. 300 saves nothing more and takes 1 MB more; 100 takes 3 MB less,
	# and the boot a fifth longer.
	GOGC=200 dockerd --host="unix://$DOCKER_SD_SOCKET" --data-root=$data "$@" &
	engine=$!
	wait $engine || true
	echo "docker-sd: the sandbox's engine ended, starting it again" >&2
	sleep 1
done
