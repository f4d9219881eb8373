package preflight

import "slices"

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
	for _, l := range lines {
		l.ID, l.Docs = ID(l.Name), Docs(l.Name)
		r.Lines = append(r.Lines, l)
	}
	r.OK = r.Count(Fail) == 0
}

// Count counts the lines with a verdict.
func (r *Report) Count(v Verdict) int {
	return len(slices.DeleteFunc(slices.Clone(r.Lines), func(l Line) bool { return l.Verdict != v }))
}
