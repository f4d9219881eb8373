package podspec

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/containerd/errdefs"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// Bounds of a refusal, which ends up in the status of the pod: how many faults it
// tells, and how many bytes of each and of a value in it.
const (
	maxFaults   = 10
	maxSentence = 400
	maxShown    = 80
)

// refusal is an error of class ErrInvalidArgument whose text ends with what the user
// has to know, and not with the class.
type refusal string

// Error is the sentence for the user.
func (r refusal) Error() string { return string(r) }

// Unwrap gives the class, for errors.Is.
func (refusal) Unwrap() error { return errdefs.ErrInvalidArgument }

// Refusal is one error for all faults of a pod, each told once as "field: detail", and
// nil where there are none. A pod is created once: its user learns of all faults
// together, up to a bound and how many more there are. It is ErrInvalidArgument.
func Refusal(list field.ErrorList) error {
	var sentences []string
	told := map[string]bool{}
	for _, fault := range list {
		text := cut(printable(fault.Field+": "+fault.Detail), maxSentence)
		if !told[text] && len(told) < maxFaults {
			sentences = append(sentences, text)
		}
		told[text] = true
	}
	if len(told) == 0 {
		return nil
	}
	if more := len(told) - len(sentences); more > 0 {
		sentences = append(sentences, fmt.Sprintf("and %d more", more))
	}
	return refusal(strings.Join(sentences, "; "))
}

// faults collects what is wrong with a pod.
type faults struct{ list field.ErrorList }

// invalid adds a value that cannot be.
func (f *faults) invalid(at *field.Path, format string, args ...any) {
	f.list = append(f.list, field.Invalid(at, field.OmitValueType{}, fmt.Sprintf(format, args...)))
}

// forbid adds what this node does not allow or does not have.
func (f *faults) forbid(at *field.Path, format string, args ...any) {
	f.list = append(f.list, field.Forbidden(at, fmt.Sprintf(format, args...)))
}

// oneOf refuses a value that is none of those allowed; "" comes last among them
// where a field may be left out.
func (f *faults) oneOf(at *field.Path, value string, allowed ...string) {
	if !slices.Contains(allowed, value) {
		f.invalid(at, "%s is none of %s", shown(value), strings.TrimSuffix(strings.Join(allowed, ", "), ", "))
	}
}

// between refuses a number out of bounds.
func (f *faults) between(at *field.Path, n, least, most int64) {
	if n < least || n > most {
		f.invalid(at, "%d is not between %d and %d", n, least, most)
	}
}

// shown is a value of the user as a sentence holds it: bounded, in one line, and
// without quotes, which interLink turns into HTML entities (protocol 1.4).
func shown(value string) string {
	if value == "" {
		return "an empty value"
	}
	return cut(printable(value), maxShown)
}

// printable writes control characters as in Go's source.
func printable(text string) string {
	if !strings.ContainsFunc(text, func(r rune) bool { return !strconv.IsPrint(r) }) {
		return text
	}
	var out strings.Builder
	for _, r := range text {
		if strconv.IsPrint(r) {
			out.WriteRune(r)
		} else {
			quoted := strconv.QuoteRune(r)
			out.WriteString(quoted[1 : len(quoted)-1])
		}
	}
	return out.String()
}

// cut bounds a text in bytes.
func cut(text string, most int) string {
	if len(text) <= most {
		return text
	}
	return strings.ToValidUTF8(text[:most], "") + "..."
}
