package cli

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/agnivade/levenshtein"
	"github.com/containerd/errdefs"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/podstatus"
)

// mostNearest is how many names are offered for one that is not known.
const mostNearest = 3

// nearest are the names that are most like a wrong one, the most alike first: those that
// hold it, and those of which at most two letters or a third are different.
func nearest(wrong string, names []string) []string {
	type guess struct {
		name     string
		distance int
	}
	var guesses []guess
	for _, name := range names {
		distance := levenshtein.ComputeDistance(wrong, name)
		if strings.Contains(name, wrong) {
			distance = 1
		}
		longer := max(len(wrong), len(name))
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

// unknownPod says that there is no such pod, and which has a name like it. It is
// ErrNotFound.
func unknownPod(list []podstatus.View, name string) error {
	// A namespace that is wrong as well does not make a name less like another.
	_, short, qualified := strings.Cut(name, "/")
	if !qualified {
		short = name
	}
	var names []string
	for _, p := range list {
		names = append(names, p.Name)
	}
	var offered []string
	for _, near := range nearest(short, names) {
		for _, p := range list {
			if p.Name == near && len(offered) < mostNearest {
				offered = append(offered, p.Namespace+"/"+p.Name)
			}
		}
	}
	if len(offered) == 0 {
		return fmt.Errorf("docker-sd has no pod %q: docker-sd pods lists those that it has: %w", name, errdefs.ErrNotFound)
	}
	return fmt.Errorf("docker-sd has no pod %q: did you mean %s? %w", name, strings.Join(offered, " or "), errdefs.ErrNotFound)
}

// unknownContainer says that a pod has no such container, and which it has, the ones with a
// name like it first. It is ErrInvalidArgument.
func unknownContainer(p podstatus.View, name string) error {
	all := containersOf(p)
	if near := nearest(name, all); len(near) > 0 {
		return fmt.Errorf("pod %s/%s has no container %q: did you mean %s? It has %s: %w", p.Namespace, p.Name, name, strings.Join(near, " or "),
			strings.Join(all, ", "), errdefs.ErrInvalidArgument)
	}
	return fmt.Errorf("pod %s/%s has no container %q: it has %s: %w", p.Namespace, p.Name, name, strings.Join(all, ", "), errdefs.ErrInvalidArgument)
}
