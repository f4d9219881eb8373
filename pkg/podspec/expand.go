package podspec

import (
	"fmt"
	"strings"
)

// What Linux gives a new process: one variable or argument, and all of them.
const (
	maxArgument  = 128 << 10
	maxArguments = 6 << 20
)

// expand replaces $(NAME) by its value as Kubernetes does: a name that lookup
// does not know stays as written, and $$ is an escaped $. It gives up once the
// text is longer than maxArgument, since a variable can double the one before it.
func expand(s string, lookup func(string) (string, bool)) string {
	var out strings.Builder
	for out.Len() <= maxArgument {
		at := strings.IndexByte(s, '$')
		if at < 0 || at+1 == len(s) {
			out.WriteString(s)
			return out.String()
		}
		out.WriteString(s[:at])
		s = s[at:]
		switch s[1] {
		case '$':
			out.WriteByte('$')
			s = s[2:]
		case '(':
			end := strings.IndexByte(s, ')')
			if end < 0 {
				out.WriteString("$(")
				s = s[2:]
				continue
			}
			if value, known := lookup(s[2:end]); known {
				out.WriteString(value)
			} else {
				out.WriteString(s[:end+1])
			}
			s = s[end+1:]
		default:
			out.WriteString(s[:2])
			s = s[2:]
		}
	}
	return out.String()
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
