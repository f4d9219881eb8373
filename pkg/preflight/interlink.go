package preflight

import (
	"fmt"
	"strings"
	"time"
)

// Caller is what those who send pods have shown of themselves to the docker-sd that runs. A zero
// time is never.
type Caller struct {
	// What they are, as "interLink's API server".
	What string
	// Address where they call.
	Address            string
	Ping, Poll, Create time.Time
	UserAgent          string
	// Lists says that the last create had the form of interLink before 0.5.0. Same is for
	// callers whose creates have one form in all versions.
	Lists, Same bool
}

// pingPeriod is interLink's (protocol 2.4); a caller that is late by so many periods is away.
const (
	pingPeriod  = 30 * time.Second
	missedPings = 6
)

// Interlink judges whether anybody sends pods to the docker-sd that was started then. running is
// false where none runs, and no callers are those of one that does not tell.
func Interlink(running bool, started, now time.Time, callers ...Caller) Line {
	const name = "interlink calls"
	switch {
	case !running:
		return ok(name, "not known while no docker-sd runs with this configuration")
	case len(callers) == 0:
		return ok(name, "not known: the docker-sd that runs is of another version and does not tell")
	}
	var heard, silent []string
	late := true
	for _, c := range callers {
		if c.last().IsZero() {
			silent = append(silent, c.What+" at "+c.Address)
			continue
		}
		heard = append(heard, c.describe(now))
		late = late && now.Sub(c.last()) > missedPings*pingPeriod
	}
	do := "see that it runs, and that it has this address (SidecarURL, SidecarPort or InterlinkURL) and the right to connect; its log says why it does not reach docker-sd"
	switch {
	case len(heard) == 0 && now.Sub(started) < missedPings*pingPeriod:
		return ok(name, "no call yet, and docker-sd runs for %s: interLink pings every %s", span(now.Sub(started)), pingPeriod)
	case len(heard) == 0:
		return warn(name, do, "nobody has called since docker-sd was started %s ago, and interLink pings every %s: it expects %s", span(now.Sub(started)), pingPeriod, strings.Join(silent, " or "))
	case late:
		return warn(name, do, "%s; interLink pings every %s", strings.Join(heard, "; "), pingPeriod)
	}
	return ok(name, "%s", strings.Join(heard, "; "))
}

func (c Caller) last() time.Time {
	out := c.Ping
	for _, t := range []time.Time{c.Poll, c.Create} {
		if t.After(out) {
			out = t
		}
	}
	return out
}

func (c Caller) describe(now time.Time) string {
	var parts []string
	for _, call := range []struct {
		what string
		when time.Time
	}{{"ping", c.Ping}, {"poll", c.Poll}, {"create", c.Create}} {
		if !call.when.IsZero() {
			parts = append(parts, fmt.Sprintf("%s %s ago", call.what, span(now.Sub(call.when))))
		}
	}
	version := "its version is not known before its first create"
	switch {
	case c.Same:
		version = "its calls do not tell its version"
	case c.Create.IsZero():
	case c.Lists:
		version = "it is of interLink before 0.5.0, by the form of its creates"
	default:
		version = "it is of interLink 0.5.0 or later, by the form of its creates"
	}
	out := fmt.Sprintf("%s calls: last %s; %s", c.What, strings.Join(parts, ", "), version)
	if c.UserAgent != "" {
		out += " (" + c.UserAgent + ")"
	}
	return out
}

// span is a time for people.
func span(d time.Duration) string { return max(d, 0).Round(time.Second).String() }
