package podspec

import (
	"fmt"

	v1 "k8s.io/api/core/v1"
)

// Environment is a container's variables in order, each name once.
type Environment struct {
	names  []string
	values map[string]string
	// Skipped names have a source that nobody resolved (protocol 5.1).
	Skipped []string
	// size in bytes of all of them; long is the first that no process could get.
	size int
	long string
}

// NewEnvironment builds a container's variables. The last of several equal names wins.
// Values are final and stay as they are: the Virtual Kubelet has expanded them, and sends
// them in any order (protocol 5.1). Only where node.ExpandValues says that it does not,
// $(NAME) in a value refers to variables earlier in the list, as in kubelet. What
// the Virtual Kubelet left unresolved is resolved from the pod where it can be, or from
// files, which is the caller's to read.
func NewEnvironment(pod *v1.Pod, c *v1.Container, node Node, podIP string, files FileValues) Environment {
	env := Environment{values: map[string]string{}}
	about := Downward{Pod: pod, IP: podIP, Allocatable: node.Allocatable}
	for i, variable := range c.Env {
		value := variable.Value
		switch {
		case variable.ValueFrom != nil && variable.ValueFrom.FileKeyRef != nil:
			read, known := files[i]
			if !known {
				continue
			}
			value = read
		case variable.ValueFrom == nil && node.ExpandValues:
			value = expand(value, env.lookup)
		case variable.ValueFrom != nil:
			resolved, known := resolve(variable.ValueFrom, c, about)
			if !known {
				env.Skipped = append(env.Skipped, variable.Name)
				continue
			}
			value = resolved
		}
		if _, again := env.values[variable.Name]; !again {
			env.names = append(env.names, variable.Name)
		}
		env.values[variable.Name] = value
		size := len(variable.Name) + len("=") + len(value) + len("\x00")
		if env.size += size; size > maxArgument || env.size > maxArguments {
			env.long = variable.Name
			return env
		}
	}
	return env
}

// TooLong is the first variable that no process could get, "" if there is none.
func (e Environment) TooLong() string { return e.long }

// lookup gives the value of a variable, false if there is none of that name.
func (e Environment) lookup(name string) (string, bool) {
	value, known := e.values[name]
	return value, known
}

// list is the form that an engine takes; "NAME=" is set but empty.
func (e Environment) list() []string {
	out := make([]string, 0, len(e.names))
	for _, name := range e.names {
		out = append(out, name+"="+e.values[name])
	}
	return out
}

// Expand replaces $(NAME) in the words of a command by the variables; nil stays nil.
func (e Environment) Expand(in []string) []string {
	if in == nil {
		return nil
	}
	out := make([]string, len(in))
	for i, s := range in {
		out[i] = expand(s, e.lookup)
	}
	return out
}

// resolve gives the value of a variable's source, false if it has none here.
func resolve(from *v1.EnvVarSource, c *v1.Container, about Downward) (string, bool) {
	var value string
	var err error
	switch {
	case from.FieldRef != nil:
		value, err = about.Field(from.FieldRef)
	case from.ResourceFieldRef != nil:
		value, err = about.Resource(from.ResourceFieldRef, c)
	default:
		return "", false
	}
	return value, err == nil
}

// ExpandStrict expands a text and refuses names that are not defined: a subPathExpr with a hole in
// it would name another folder (Kubernetes refuses it too).
func (e Environment) ExpandStrict(s string) (string, error) {
	var missing string
	out := expand(s, func(name string) (string, bool) {
		value, known := e.lookup(name)
		if !known {
			missing = name
		}
		return value, known
	})
	if missing != "" {
		return "", fmt.Errorf("variable %s is not defined in the container", missing)
	}
	return out, nil
}
