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

// The verdicts. Only Wrong keeps pods from running as they should; a Note is
// something that whoever runs this host should know.
const (
	Right Verdict = "right"
	Note  Verdict = "note"
	Wrong Verdict = "wrong"
)

// Line is what one check found.
type Line struct {
	// Name of the check; it never changes, so that scripts can look for it.
	Name    string  `json:"name"`
	Verdict Verdict `json:"verdict"`
	// Found is what is the case, Do what to do about it where it is not right.
	Found string `json:"found"`
	Do    string `json:"do,omitempty"`
}

func right(name, found string, args ...any) Line {
	return Line{Name: name, Verdict: Right, Found: fmt.Sprintf(found, args...)}
}

func note(name, do, found string, args ...any) Line {
	return Line{Name: name, Verdict: Note, Do: do, Found: fmt.Sprintf(found, args...)}
}

func wrong(name, do, found string, args ...any) Line {
	return Line{Name: name, Verdict: Wrong, Do: do, Found: fmt.Sprintf(found, args...)}
}

// Report is all that was found.
type Report struct {
	// Right says that no line is wrong.
	Right bool   `json:"right"`
	Lines []Line `json:"checks"`
	// Boot has the times of the sandbox that was booted, nil if none was.
	Boot *Times `json:"boot,omitempty"`
}

// Add appends lines.
func (r *Report) Add(lines ...Line) {
	r.Lines = append(r.Lines, lines...)
	r.Right = r.Count(Wrong) == 0
}

// Count counts the lines with a verdict.
func (r *Report) Count(v Verdict) int {
	return len(slices.DeleteFunc(slices.Clone(r.Lines), func(l Line) bool { return l.Verdict != v }))
}
