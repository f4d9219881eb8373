// Package preflight tells whether a host is fit for docker-sd: what is right, what is
// not, and what to do about it. Each check is a function of facts; who calls
// gathers them, and decides which checks there are.
package preflight

import (
	"fmt"
	"slices"
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
	// Name of the check; it never changes, so that scripts can look for it.
	Name    string  `json:"name"`
	Verdict Verdict `json:"verdict"`
	// Found is what is the case, Do what to do about it where it is not ok.
	Found string `json:"found"`
	Do    string `json:"do,omitempty"`
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

// Report is all that was found.
type Report struct {
	// OK says that no line has failed.
	OK    bool   `json:"ok"`
	Lines []Line `json:"checks"`
	// Boot has the times of the sandbox that was booted, nil if none was.
	Boot *Times `json:"boot,omitempty"`
}

// Add appends lines.
func (r *Report) Add(lines ...Line) {
	r.Lines = append(r.Lines, lines...)
	r.OK = r.Count(Fail) == 0
}

// Count counts the lines with a verdict.
func (r *Report) Count(v Verdict) int {
	return len(slices.DeleteFunc(slices.Clone(r.Lines), func(l Line) bool { return l.Verdict != v }))
}
