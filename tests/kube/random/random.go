// Package random makes cases of random but valid pods: each field that is set comes with what
// must be seen of it, or is one that the node must refuse by its name.
package random

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"

	v1 "k8s.io/api/core/v1"

	"github.com/intertwin-eu/interlink-docker-plugin/tests/kube/cases"
)

// shared is a folder that all containers of a pod have.
const shared = "/shared"

// maker puts one pod together.
type maker struct {
	*rand.Rand
	cases.Case
	// shared says that the containers have the folder.
	shared bool
}

// part is one wish of a pod.
type part struct {
	// percent of pods have it.
	percent int
	add     func(*maker)
}

// Case makes the pod of a number. The same seed and number make the same pod.
func Case(seed uint64, number int) cases.Case {
	m := &maker{Rand: rand.New(rand.NewPCG(seed, uint64(number)))}
	m.Name, m.Fields = fmt.Sprintf("random %d-%d", seed, number), []string{"spec"}
	m.See, m.Then, m.Ends = map[string][]cases.Sight{}, map[string]string{}, map[string]cases.End{}
	m.Phase = v1.PodSucceeded
	for i := range 1 + m.IntN(3) {
		m.Spec.Containers = append(m.Spec.Containers, v1.Container{Name: fmt.Sprintf("c%d", i)})
	}
	for i := range m.Spec.Containers {
		m.see(i, "echo ran", "ran")
	}
	m.apply(podParts)
	for i := range m.Spec.Containers {
		m.apply(containerParts(i))
	}
	m.users()
	if m.chance(20) {
		for range 1 + m.IntN(3) {
			refusals[m.IntN(len(refusals))](m)
		}
	}
	if len(m.Refused) > 0 {
		slices.Sort(m.Refused)
		m.Refused = slices.Compact(m.Refused)
	}
	return m.Case
}

func (m *maker) apply(parts []part) {
	for _, p := range parts {
		if m.chance(p.percent) {
			p.add(m)
		}
	}
}

// chance is true in so many percent of calls.
func (m *maker) chance(percent int) bool { return m.IntN(100) < percent }

// see adds what a container must show.
func (m *maker) see(i int, show, want string) {
	name := m.Spec.Containers[i].Name
	m.See[name] = append(m.See[name], cases.Sight{Show: show, Want: want})
}

// all adds what every container must show.
func (m *maker) all(show, want string) {
	for i := range m.Spec.Containers {
		m.see(i, show, want)
	}
}

// mount adds a volume to a container, and makes the volume where its source is given.
func (m *maker) mount(c *v1.Container, name string, source *v1.VolumeSource, mount v1.VolumeMount) {
	if source != nil {
		m.Spec.Volumes = append(m.Spec.Volumes, v1.Volume{Name: name, VolumeSource: *source})
	}
	mount.Name = name
	c.VolumeMounts = append(c.VolumeMounts, mount)
}

// share gives the containers a folder that they have in common.
func (m *maker) share() {
	if m.shared {
		return
	}
	m.shared = true
	source := &v1.VolumeSource{EmptyDir: &v1.EmptyDirVolumeSource{}}
	for i := range m.Spec.Containers {
		m.mount(&m.Spec.Containers[i], "shared", source, v1.VolumeMount{MountPath: shared})
		source = nil
	}
}

// sharing is the mount of the common folder for another container.
func (m *maker) sharing() []v1.VolumeMount {
	m.share()
	return []v1.VolumeMount{{Name: "shared", MountPath: shared}}
}

// word is a name of a few letters.
func (m *maker) word() string {
	const letters = "abcdefghijklmnopqrstuvwxyz"
	var b strings.Builder
	for range 3 + m.IntN(6) {
		b.WriteByte(letters[m.IntN(len(letters))])
	}
	return b.String()
}

// text is a value of all kinds of characters, which ends with a letter.
func (m *maker) text() string {
	parts := []string{" ", "$", "$(", ")", "$$", "'", `"`, `\`, "ü", "=", "\n", "`", "&", "<", ">", "%s", "a", "#", "\t", "*", "{}", "$(HOME)"}
	var b strings.Builder
	for range m.IntN(12) {
		b.WriteString(parts[m.IntN(len(parts))])
	}
	return b.String() + "z"
}

func pick[T any](m *maker, values ...T) T { return values[m.IntN(len(values))] }

// context is the security context of a container, made where it is missing.
func context(c *v1.Container) *v1.SecurityContext {
	if c.SecurityContext == nil {
		c.SecurityContext = &v1.SecurityContext{}
	}
	return c.SecurityContext
}

// podContext is that of the pod.
func (m *maker) podContext() *v1.PodSecurityContext {
	if m.Spec.SecurityContext == nil {
		m.Spec.SecurityContext = &v1.PodSecurityContext{}
	}
	return m.Spec.SecurityContext
}
