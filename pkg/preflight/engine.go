package preflight

import (
	"context"
	"errors"
	"strconv"
	"strings"

	"github.com/containerd/errdefs"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/engine"
)

// oldest is the first engine that docker-sd is tested with.
const oldest = "20.10"

// Engine judges what the engine at an address has said of itself, or that it has not.
func Engine(address string, info engine.Info, err error) Line {
	const name = "engine"
	if err != nil {
		do := "start the engine, or set DOCKER_HOST to where it listens"
		if strings.Contains(err.Error(), "permission denied") || errdefs.IsPermissionDenied(err) {
			do = "run docker-sd and this check as root, or as a member of the group that owns the socket"
		}
		return fail(name, do, "no Docker engine answers at %s: %v", address, err)
	}
	if before(info.Version, oldest) {
		return fail(name, "install Docker "+oldest+" or later", "version %s, API %s, at %s is too old", info.Version, info.APIVersion, address)
	}
	return ok(name, "version %s, API %s, at %s", info.Version, info.APIVersion, address)
}

// before compares the first two numbers of versions; one that is not made of
// numbers is a development build and before none.
func before(version, other string) bool {
	a, b := strings.SplitN(version, ".", 3), strings.SplitN(other, ".", 3)
	for i := range 2 {
		if i >= len(a) || i >= len(b) {
			return false
		}
		m, err := strconv.Atoi(a[i])
		n, err2 := strconv.Atoi(b[i])
		if err != nil || err2 != nil || m > n {
			return false
		}
		if m < n {
			return true
		}
	}
	return false
}

// Sharing judges how sandboxes get at the host's images; wanted says that the
// configuration asks for sharing, or leaves the choice to docker-sd.
func Sharing(info engine.Info, shared, wanted bool, why string) Line {
	const name = "images"
	if !shared && wanted && info.ContainerdImages {
		return warn(name, "run docker-sd as root where it reaches the socket of the engine's containerd; in a container, mount that socket at the same path",
			"storage driver %s: %s, which takes time and space once for each image", info.StorageDriver, why)
	}
	if !shared && wanted {
		return warn(name, `for the quickest first starts, use the engine's overlay2 store: "storage-driver": "overlay2" and "features": {"containerd-snapshotter": false} in /etc/docker/daemon.json; images have to be pulled again after that`,
			"storage driver %s: %s, which takes time and space once for each image", info.StorageDriver, why)
	}
	return ok(name, "storage driver %s: %s", info.StorageDriver, why)
}

// LiveRestore judges whether sandboxes outlive a restart of the engine.
func LiveRestore(info engine.Info) Line {
	const name = "live-restore"
	if !info.LiveRestore {
		return warn(name, `set "live-restore": true in /etc/docker/daemon.json and reload the engine (systemctl reload docker)`,
			"off: a restart or an upgrade of the engine ends every sandbox, and pods with it")
	}
	return ok(name, "on: sandboxes outlive a restart of the engine")
}

// Cgroups judges the control groups that bound sandboxes.
func Cgroups(info engine.Info) Line {
	const name = "cgroups"
	if info.CgroupVersion == "" || info.CgroupDriver == "" || info.CgroupDriver == "none" {
		return fail(name, "run the engine as root on a host with control groups", "the engine has no control groups (version %q, driver %q), so the limits of pods would not hold",
			info.CgroupVersion, info.CgroupDriver)
	}
	return ok(name, "version %s, driver %s", info.CgroupVersion, info.CgroupDriver)
}

// Instance judges the name of this docker-sd; err is of who looked for another
// one that uses it.
func Instance(name string, err error) Line {
	switch {
	case errdefs.IsFailedPrecondition(err):
		return fail("instance", "choose another Instance, or remove those containers", "%v", err)
	case err != nil:
		return fail("instance", "see whether the engine is well", "%v", err)
	}
	return ok("instance", "%s is used by no other docker-sd on this engine", name)
}

// Image judges the sandbox image; dockerd is what the engine in it says of its
// version, or problem why it could not be asked. ran is false if it was not asked.
func Image(ref string, image engine.Image, err error, ran bool, dockerd string, problem error) Line {
	const name = "sandbox image"
	set := "pull it (docker pull " + ref + "), or set SandboxImage to one that this host has"
	switch {
	case errdefs.IsNotFound(err):
		return fail(name, set, "the sandbox image %s is not on this host; docker-sd would try to pull it for its first sandbox", ref)
	case err != nil:
		return fail(name, "see whether the engine is well", "the sandbox image %s cannot be looked at: %v", ref, err)
	case problem != nil:
		return notRun(name, ref, problem)
	case !ran:
		return ok(name, "%s, %s", ref, bytes(uint64(max(image.Size, 0))))
	}
	return ok(name, "%s, %s, has %s", ref, bytes(uint64(max(image.Size, 0))), dockerd)
}

// notRun judges a container of the sandbox image that has not said its version. Only the
// image's own faults are mended by another image.
func notRun(name, ref string, problem error) Line {
	var ended *ExitError
	switch {
	case errors.As(problem, &ended), errdefs.IsInvalidArgument(problem), errdefs.IsNotFound(problem):
		return fail(name, "set SandboxImage to an image with dockerd, such as docker:dind", "the sandbox image %s cannot run dockerd: %v", ref, problem)
	case errors.Is(problem, context.DeadlineExceeded), errdefs.IsUnavailable(problem):
		return fail(name, "try again when the host has less to do, or with a larger --timeout; if a docker run hangs too, look into the engine's log",
			"the engine did not run a container of the sandbox image %s in time: %v", ref, problem)
	}
	return fail(name, "see whether docker run --rm --network none --entrypoint dockerd "+ref+" --version works, and what the engine's log says; another image does not help",
		"the engine cannot run a container of the sandbox image %s: %v", ref, problem)
}
