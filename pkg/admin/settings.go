package admin

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	v1 "k8s.io/api/core/v1"
)

// setting is one of a container's, for its owner: no value of a variable.
type setting struct {
	Name   string
	Values []string
}

// settingsOf is how a container was asked for.
func settingsOf(c v1.Container) []setting {
	var out []setting
	add := func(name string, values ...string) {
		if len(values) > 0 {
			out = append(out, setting{name, values})
		}
	}
	add("Command", line(c.Command)...)
	add("Arguments", line(c.Args)...)
	add("Limits", amounts(c.Resources.Limits)...)
	add("Requests", amounts(c.Resources.Requests)...)
	var ports, mounts, variables []string
	for _, p := range c.Ports {
		protocol := p.Protocol
		if protocol == "" {
			protocol = v1.ProtocolTCP
		}
		ports = append(ports, fmt.Sprintf("%d/%s", p.ContainerPort, protocol))
	}
	for _, m := range c.VolumeMounts {
		text := m.MountPath + " from " + m.Name
		if m.ReadOnly {
			text += ", read-only"
		}
		mounts = append(mounts, text)
	}
	for _, e := range c.Env {
		variables = append(variables, e.Name)
	}
	add("Ports", ports...)
	add("Mounts", mounts...)
	add("Variables, without their values", variables...)
	return out
}

// line writes arguments so that each can be told from the next.
func line(argv []string) []string {
	if len(argv) == 0 {
		return nil
	}
	out := make([]string, len(argv))
	for i, a := range argv {
		out[i] = strconv.Quote(a)
	}
	return []string{strings.Join(out, " ")}
}

func amounts(list v1.ResourceList) []string {
	var out []string
	for _, resource := range slices.Sorted(maps.Keys(list)) {
		amount := list[resource]
		out = append(out, string(resource)+" "+amount.String())
	}
	return out
}
