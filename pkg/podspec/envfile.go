package podspec

import (
	"fmt"
	"path"
	"slices"
	"strings"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation"
)

// MaxEnvFile bounds a file of variables in bytes, as in Kubernetes (KEP 3721).
const MaxEnvFile = 64 << 10

// FileValues are what files in volumes of the pod have for variables of a container, by the
// variable's place in its list. A variable without one is not set.
type FileValues map[int]string

// EnvFileValue is the value of a key in a file of variables, false if the file has none. The
// form is kubelet's: lines NAME='value', where the value may go over several lines and is
// taken as it is; blank lines, lines that begin with #, and blanks around names and values
// count for nothing. The last of several values wins. An error names a line, and nothing
// that is in it.
func EnvFileValue(text, key string) (value string, found bool, err error) {
	rest, line := text, 1
	for {
		blank := len(rest) - len(strings.TrimLeft(rest, " \t\r\n"))
		line += strings.Count(rest[:blank], "\n")
		if rest = rest[blank:]; rest == "" {
			return value, found, nil
		}
		if rest[0] == '#' {
			_, rest, _ = strings.Cut(rest, "\n")
			line++
			continue
		}
		name, after, ok := strings.Cut(rest, "=")
		name = strings.TrimRight(name, " \t")
		if !ok || len(validation.IsRelaxedEnvVarName(name)) > 0 {
			return "", false, fmt.Errorf("line %d is not of the form NAME='value'", line)
		}
		after, ok = strings.CutPrefix(strings.TrimLeft(after, " \t"), "'")
		if !ok {
			return "", false, fmt.Errorf("line %d has a value that does not begin with a single quote", line)
		}
		quoted, after, ok := strings.Cut(after, "'")
		if !ok {
			return "", false, fmt.Errorf("line %d begins a value that no single quote ends", line)
		}
		end, after, _ := strings.Cut(after, "\n")
		if end = strings.TrimSpace(end); end != "" && end[0] != '#' || strings.ContainsRune(quoted, 0) {
			return "", false, fmt.Errorf("line %d has something behind its value, or a NUL byte in it", line)
		}
		line += strings.Count(quoted, "\n") + 1
		rest = after
		if name == key {
			value, found = quoted, true
		}
	}
}

// fileKeys checks where variables are to be read from, as the Kubernetes API does.
func (f *faults) fileKeys(pod *v1.Pod, c namedContainer) {
	for i, variable := range c.Env {
		if variable.ValueFrom == nil || variable.ValueFrom.FileKeyRef == nil {
			continue
		}
		ref, at := variable.ValueFrom.FileKeyRef, c.at.Child("env").Index(i).Child("valueFrom", "fileKeyRef")
		in := slices.IndexFunc(pod.Spec.Volumes, func(v v1.Volume) bool { return v.Name == ref.VolumeName })
		if in < 0 || pod.Spec.Volumes[in].EmptyDir == nil {
			f.invalid(at.Child("volumeName"), "%s is not an emptyDir volume of the pod", shown(ref.VolumeName))
		}
		if ref.Path == "" || path.IsAbs(ref.Path) || slices.Contains(strings.Split(ref.Path, "/"), "..") || strings.ContainsRune(ref.Path, 0) {
			f.invalid(at.Child("path"), "%s is not a relative path without ..", shown(ref.Path))
		}
		if len(validation.IsRelaxedEnvVarName(ref.Key)) > 0 {
			f.invalid(at.Child("key"), "%s must be printable ASCII without an equals sign", shown(ref.Key))
		}
	}
}
