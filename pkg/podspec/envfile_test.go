package podspec

import (
	"strings"
	"testing"

	v1 "k8s.io/api/core/v1"
)

func TestEnvFile(t *testing.T) {
	const file = "# A='no'\n\n  A = 'one'  # said\r\n\tB=''\nC='two\nlines # and $A \\'\nA='last'\nD.d-='x=y'"
	for key, want := range map[string]string{"A": "last", "B": "", "C": "two\nlines # and $A \\", "D.d-": "x=y"} {
		if got, found, err := EnvFileValue(file, key); got != want || !found || err != nil {
			t.Errorf("%s is %q, %t, %v, want %q", key, got, found, err, want)
		}
	}
	for _, text := range []string{file, "", "\n \n", "# only"} {
		if got, found, err := EnvFileValue(text, "E"); found || err != nil {
			t.Errorf("E of %q is %q, %v", text, got, err)
		}
	}
	for text, want := range map[string]string{
		"A=secret":                  "line 1 has a value that does not begin",
		"A='x'\nB=\"secret\"":       "line 2 has a value that does not begin",
		"A='x\ny'\n\n=B='secret'":   "line 4 is not of the form",
		"export secret":             "line 1 is not of the form",
		"\n\nA='secret":             "line 3 begins a value that no",
		"A='secret'more":            "line 1 has something behind",
		"A='x''secret'":             "line 1 has something behind",
		"A='x\x00'":                 "NUL",
		"secret\nA='x'":             "line 1 is not of the form",
		strings.Repeat("#\n", 9000): "",
	} {
		_, _, err := EnvFileValue(text, "A")
		if (err == nil) != (want == "") || err != nil && (!strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "secret")) {
			t.Errorf("%.30q: %v, want %s", text, err, want)
		}
	}
}

func FuzzEnvFile(f *testing.F) {
	f.Add("A='x'\n#y\n B = 'z\n' # end", "B")
	f.Fuzz(func(t *testing.T, text, key string) {
		value, found, err := EnvFileValue(text, key)
		if found && (err != nil || !strings.Contains(text, value)) {
			t.Errorf("%q of %q is %q, %v", key, text, value, err)
		}
		if quoted := key + "='" + value + "'"; found && !strings.ContainsRune(key, 0) {
			if again, _, err := EnvFileValue(text+"\n"+quoted, key); again != value || err != nil {
				t.Errorf("%q comes back as %q, %v", value, again, err)
			}
		}
	})
}

// TestVariablesOfFiles: they are set as they are, in their place, and not at all where the
// file has none.
func TestVariablesOfFiles(t *testing.T) {
	from := &v1.EnvVarSource{FileKeyRef: &v1.FileKeySelector{}}
	pod := plainPod()
	c := &pod.Spec.Containers[0]
	c.Env = []v1.EnvVar{{Name: "A", Value: "a"}, {Name: "F", ValueFrom: from}, {Name: "G", ValueFrom: from}, {Name: "B", Value: "$(F)"}}
	env := NewEnvironment(pod, c, expanding, testIP, FileValues{1: "$(A)$$"})
	if got := strings.Join(env.list(), " "); got != "A=a F=$(A)$$ B=$(A)$$" || len(env.Skipped) > 0 {
		t.Errorf("%s, left out: %v", got, env.Skipped)
	}
	if long := NewEnvironment(pod, c, testNode, testIP, FileValues{1: strings.Repeat("x", maxArgument)}).TooLong(); long != "F" {
		t.Errorf("too long is %q", long)
	}
}
