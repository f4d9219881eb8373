package admin

import (
	"cmp"
	"slices"
	"strings"

	"github.com/agnivade/levenshtein"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/podstatus"
)

// mostNearest is how many names are offered for one that is not known.
const mostNearest = 3

// Nearest are the names that are most like a wrong one, the most alike first: those that
// hold it, and those of which at most two letters or a third are different.
func Nearest(wrong string, names []string) []string {
	type guess struct {
		name     string
		distance int
	}
	var guesses []guess
	for _, name := range names {
		longer := max(len(wrong), len(name))
		if shorter := min(len(wrong), len(name)); longer-shorter > max(2, longer/3) && !strings.Contains(name, wrong) {
			continue // so many letters are different at least; the rest would take long
		}
		distance := levenshtein.ComputeDistance(wrong, name)
		if strings.Contains(name, wrong) {
			distance = 1
		}
		if distance <= max(2, longer/3) && distance < longer {
			guesses = append(guesses, guess{name, distance})
		}
	}
	slices.SortStableFunc(guesses, func(a, b guess) int { return cmp.Compare(a.distance, b.distance) })
	var out []string
	for _, g := range guesses {
		if len(out) < mostNearest && !slices.Contains(out, g.name) {
			out = append(out, g.name)
		}
	}
	return out
}

// NearestPods are the pods whose name is most like the one in NAMESPACE/NAME or NAME. A
// namespace that is wrong as well does not make a name less like another.
func NearestPods(list []podstatus.View, name string) []podstatus.View {
	_, short, qualified := strings.Cut(name, "/")
	if !qualified {
		short = name
	}
	var names []string
	for _, p := range list {
		names = append(names, p.Name)
	}
	var out []podstatus.View
	for _, near := range Nearest(short, names) {
		for _, p := range list {
			if p.Name == near && len(out) < mostNearest {
				out = append(out, p)
			}
		}
	}
	return out
}
