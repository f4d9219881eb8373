package podspec

import "strings"

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
