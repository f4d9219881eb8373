package preflight

import "time"

// Late is the line of a check that gave no answer within limit. whole is not nil where the time
// for all checks has ended, or they were interrupted.
func Late(name string, limit time.Duration, whole error) Line {
	if whole != nil {
		return fail(name, "try again with a larger --timeout, and see which line before has taken long", "not looked at, because the time for all checks is over: %v", whole)
	}
	return fail(name, "look for an engine, a driver or a file system that does not answer (processes in state D), or try again with a larger --probe-timeout",
		"it took longer than %s and was given up: docker-sd would wait there too", limit)
}
