package preflight

// Shares is what sandboxes may have of the host.
type Shares struct {
	// Group is the control group above all of them, and Memory and Pids bound it.
	Group        string
	Memory, Pids int64
	// PidsOfOne bounds one sandbox.
	PidsOfOne int64
	// Err says why there are no such shares, Unbound why the group cannot be bounded
	// from here.
	Err, Unbound error
	// Elsewhere says that a sandbox was seen to be in another tree of groups.
	Elsewhere bool
}

// Judge tells whether the host keeps its part whatever pods do.
func (s Shares) Judge() Line {
	const name = "fair shares"
	const do = "run docker-sd and this check as root on the engine's own host; or bound that group there yourself, see \"fair shares\" in docs/operations.md"
	if s.Err != nil {
		return fail(name, "correct SystemReserved", "%v", s.Err)
	}
	one := func(args ...any) Line {
		return warn(name, do, "each sandbox is bounded (%d process ids), all together are not: %v", append([]any{s.PidsOfOne}, args...)...)
	}
	switch {
	case s.Unbound != nil:
		return one(s.Unbound)
	case s.Elsewhere:
		return one("the engine does not put sandboxes into the control group " + s.Group + " that is seen from here")
	}
	return ok(name, "all sandboxes together may have %s of memory and %d process ids (control group %s), one of them %d process ids",
		bytes(uint64(max(s.Memory, 0))), s.Pids, s.Group, s.PidsOfOne)
}

// DiskWatch judges whether a pod that fills a disk is found; low says that a disk is
// below a threshold now, unseen why the engine's data cannot be seen from here.
func DiskWatch(thresholds int, low string, unseen error) Line {
	const name = "disk watch"
	switch {
	case thresholds == 0:
		return warn(name, "set EvictionHard", "no pod is evicted for filling a disk")
	case low != "":
		return warn(name, "make room, as with docker image prune or ImageGC, or correct EvictionHard", "pods that use most above their requests are evicted now: %s", low)
	case unseen != nil:
		return warn(name, "run docker-sd where it sees the engine's data folder; a docker-sd in a container has it mounted at the same path, read-only",
			"a pod that fills the disk of the engine's data is not found: %v", unseen)
	}
	return ok(name, "the pod that uses most above its request is evicted before a disk is full")
}
