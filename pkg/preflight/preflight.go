// Package preflight tells whether a host is fit for docker-sd: what is right, what is
// not, and what to do about it. Each check is a function of facts; who calls
// gathers them, and decides which checks there are.
package preflight

import (
	"fmt"
)

// Verdict on one thing.
type Verdict string

// The verdicts. Only Fail keeps pods from running as they should; Warn is for something
// that the administrator of this host should know.
const (
	OK   Verdict = "ok"
	Warn Verdict = "warn"
	Fail Verdict = "fail"
)

// Line is what one check found.
type Line struct {
	// Name of the check; it never changes, so that scripts can look for it. A check may
	// have several lines.
	Name string `json:"name"`
	// ID and Docs are made of the name when the line is added to a report.
	ID      string  `json:"id"`
	Docs    string  `json:"docs"`
	Verdict Verdict `json:"verdict"`
	// Found is what is the case, Do what to do about it where it is not ok.
	Found string `json:"found"`
	Do    string `json:"do,omitempty"`
	// Sysctl are kernel parameters that are too low, with what they should be.
	Sysctl map[string]uint64 `json:"sysctl,omitempty"`
}

func ok(name, found string, args ...any) Line {
	return Line{Name: name, Verdict: OK, Found: fmt.Sprintf(found, args...)}
}

func warn(name, do, found string, args ...any) Line {
	return Line{Name: name, Verdict: Warn, Do: do, Found: fmt.Sprintf(found, args...)}
}

func fail(name, do, found string, args ...any) Line {
	return Line{Name: name, Verdict: Fail, Do: do, Found: fmt.Sprintf(found, args...)}
}
