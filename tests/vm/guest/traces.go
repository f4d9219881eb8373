package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"
)

// leavingLimit is for what leaves after its pod.
const leavingLimit = 10 * time.Minute

// traces are what pods and their sandboxes take of a host, a line for each.
var traces = map[string]string{
	"records":                "ls /var/lib/docker-sd/records",
	"sandboxes":              "docker ps -a --filter label=docker-sd.sandbox --format '{{.Names}}'",
	"networks":               "docker network ls --format '{{.Name}}'",
	"volumes":                "docker volume ls -q",
	"groups":                 "find /sys/fs/cgroup -type d -name 'docker-*.scope' -o -type d -path '*/sandbox/docker/*'",
	"mounts":                 "cut -d' ' -f4- /proc/self/mountinfo",
	"interfaces":             "ls /sys/class/net",
	"inotify instances":      "for f in $(find /proc/[0-9]*/fd -lname anon_inode:inotify 2>/dev/null); do cat /proc/$(echo $f | cut -d/ -f3)/comm; done | grep -v -x agetty || true", // a console may come late
	"keyrings of containers": "grep -o '_ses[.].*:' /proc/keys || true",
	"processes of runtimes":  "pgrep -l containerd-shim || true",
}

// held lists the traces.
func held(ctx context.Context) (map[string][]string, error) {
	out := map[string][]string{}
	var problems []error
	for name, script := range traces {
		text, err := sh(ctx, script)
		out[name], problems = slices.DeleteFunc(strings.Split(text, "\n"), func(line string) bool { return line == "" }), append(problems, err)
	}
	return out, errors.Join(problems...)
}

// names of objects, numbers of processes and addresses, which differ from one sandbox to the next.
var names = regexp.MustCompile(`[0-9a-f]{7,}|\b[0-9]+\b`)

// added are the lines of now that are not among those of before, where names do not count.
func added(before, now []string) []string {
	count := map[string]int{}
	for _, line := range before {
		count[names.ReplaceAllString(line, "N")]++
	}
	return slices.DeleteFunc(slices.Clone(now), func(line string) bool {
		key := names.ReplaceAllString(line, "N")
		count[key]--
		return count[key] >= 0
	})
}

// compare wants as many traces of each kind as there were.
func compare(before, now map[string][]string) error {
	var problems []error
	for _, name := range slices.Sorted(maps.Keys(before)) {
		if len(now[name]) != len(before[name]) {
			problems = append(problems, fmt.Errorf("%s: %d, and %d before the first pod; more: %q, fewer: %q",
				name, len(now[name]), len(before[name]), added(before[name], now[name]), added(now[name], before[name])))
		}
	}
	return errors.Join(problems...)
}

// nothingLeft: after all pods the host has what it had before the first.
func nothingLeft(ctx context.Context, h *host) error {
	if err := warm(ctx); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, leavingLimit)
	defer cancel()
	return await(ctx, "an end of what pods had", func() error {
		now, err := held(ctx)
		return errors.Join(err, compare(h.Empty, now))
	})
}
