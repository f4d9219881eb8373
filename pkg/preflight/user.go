package preflight

import "slices"

// rootGroup owns the sockets in the folders of sandboxes, which the inits make there as root.
const rootGroup = 0

// User judges the user that docker-sd runs as, with its groups. Access to the engine's socket,
// which it has, is as good as root; what it lacks is the right to files of others.
func User(uid int, groups []int) Line {
	const name = "user"
	switch {
	case uid == 0:
		return ok(name, "root")
	case !slices.Contains(groups, rootGroup):
		return fail(name, "run docker-sd as root, or with group 0 as a further group (SupplementaryGroups=root, --group-add 0)",
			"user %d without group 0 cannot connect to the sockets of sandboxes, which belong to root: no sandbox becomes ready", uid)
	}
	return warn(name, "run docker-sd as root where pods need this",
		"user %d: pods with fsGroup or owners of files wait for ever, folders that pods close to others stay behind when they are deleted, all sandboxes together have no bound, "+
			"and nothing keeps pods from this host's ports", uid)
}
