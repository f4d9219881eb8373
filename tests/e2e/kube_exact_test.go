//go:build e2e

package e2e_test

import (
	"archive/tar"
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"math/rand"
	"strings"
	"testing"
	"time"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

const awkwardStrings = 200

// awkwardList is a fixed list of strings that something between here and a
// container could change, and more made of the same parts.
func awkwardList() []string {
	list := []string{"", " ", "  two  spaces  ", "'", `"`, `'"'"'`, "`id`", "$(id)", "${HOME}", "$HOME", "$", "$$", "$$$", "$$(HOME)", "$(", "$()", "$(HOME", "$HOME)",
		"\\", `\\`, `\n`, "\n", "\n\n", "\r\n", "\t", "line\nbreak", "ends\n", "\nbegins", "=", "==", "a=b", "=a", "a=", "-n", "-e", "--", "-", "--help",
		"*", "?", "[a-z]*", "~", "~root", "!", "!!", "#", "# comment", ";", "; exit 7 #", "&", "&&", "|", "||", "> /tmp/x", "< /etc/passwd", "(", ")", "{a,b}", "{",
		"%s%d%%", "%", "{{.}}", "<xml/>", "&amp;", "\u00e9", "e\u0301", "\u4e16\u754c", "\U0001F40B", "\u202eright to left", "\ufeffmark", "\u2028", "\u00a0",
		"\x01\x02\x03", "\x07\x08\x0b\x0c", "\x1b[31mred\x1b[0m", "\x7f", "\u0085", "null", "true", "0", "1e3", "yes", "[]", "{}", `{"a":"b"}`,
		"/../../etc/passwd", "C:\\Windows", "a\\\nb", "very " + strings.Repeat("long ", 200), "EOF\nEOF", "<<EOF", "$'\\n'", "\\$HOME", "\\x41", "\\u0041"}
	parts := append([]string{"a", "B", "7", ".", ","}, list...)
	random := rand.New(rand.NewSource(20240))
	for len(list) < awkwardStrings {
		text := ""
		for range 2 + random.Intn(6) {
			if part := parts[random.Intn(len(parts))]; len(part) < 100 {
				text += part
			}
		}
		list = append(list, text)
	}
	return list[:awkwardStrings]
}

// unexpanded writes a string so that Kubernetes' own expansion of $(NAME) and $$
// gives it back in commands and arguments. Strings without either are sent as they are.
func unexpanded(text string) string {
	if strings.Contains(text, "$$") || strings.Contains(text, "$(HOME)") {
		return strings.ReplaceAll(text, "$", "$$")
	}
	return text
}

func kubeExactness(t *testing.T, d kubeDaemon) {
	list := awkwardList()
	sent := make([]string, len(list))
	inMap := v1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "exact"}, Data: map[string]string{}}
	inSecret := v1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "exact"}, Data: map[string][]byte{}}
	byArgs := container("args", "sh", "-c", `printf '%s\0' "$@" | base64`, "name")
	byEnv := container("env", "base64", "/proc/self/environ")
	for i, text := range list {
		sent[i] = unexpanded(text)
		key := fmt.Sprintf("k%03d", i)
		byEnv.Env = append(byEnv.Env, v1.EnvVar{Name: key, Value: text})
		inMap.Data[key], inSecret.Data[key] = text, []byte(text)
	}
	byArgs.Args = sent
	byCommand := container("command", append([]string{"sh", "-c", `printf '%s\0' "$@" | base64`, "name"}, sent...)...)
	files := func(name string) v1.Container {
		c := shell(name, "cd /vol && tar -c -h -f - $(ls) | base64")
		c.VolumeMounts = []v1.VolumeMount{mount(name, "/vol")}
		return c
	}
	pod := newPod(byArgs, byCommand, byEnv, files("map"), files("secret"))
	addVolume(pod, "map", configMap("exact"))
	addVolume(pod, "secret", v1.VolumeSource{Secret: secret("exact")})
	request := newCreate(pod)
	request.GiveData([]v1.ConfigMap{inMap}, nil, []v1.Secret{inSecret})
	p := d.runRequest(t, request)
	p.waitPhase(v1.PodSucceeded)
	for _, name := range []string{"args", "command"} {
		compareExactly(t, name, list, strings.Split(string(p.decoded(name)), "\x00"))
	}
	values := map[string]string{}
	for entry := range strings.SplitSeq(string(p.decoded("env")), "\x00") {
		name, value, _ := strings.Cut(entry, "=")
		values[name] = value
	}
	compareExactly(t, "env", list, byKey(values))
	for _, name := range []string{"map", "secret"} {
		compareExactly(t, name, list, byKey(untar(t, p.decoded(name))))
	}
}

func (p *podRun) decoded(container string) []byte {
	p.t.Helper()
	out, err := base64.StdEncoding.DecodeString(strings.ReplaceAll(p.logs(container, logOptions{}), "\n", ""))
	if err != nil {
		p.t.Fatalf("log of %s: %v", container, err)
	}
	return out
}

// byKey puts values into the order of the list; what is missing is told apart
// from what is empty.
func byKey(values map[string]string) []string {
	out := make([]string, awkwardStrings)
	for i := range out {
		value, there := values[fmt.Sprintf("k%03d", i)]
		if !there {
			value = "(missing)"
		}
		out[i] = value
	}
	return out
}

func untar(t *testing.T, archive []byte) map[string]string {
	t.Helper()
	out := map[string]string{}
	reader := tar.NewReader(bytes.NewReader(archive))
	for {
		header, err := reader.Next()
		if errors.Is(err, io.EOF) {
			return out
		}
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(reader)
		if err != nil {
			t.Fatal(err)
		}
		out[header.Name] = string(content)
	}
}

func compareExactly(t *testing.T, how string, want, got []string) {
	t.Helper()
	if len(got) < len(want) {
		t.Fatalf("%s: %d strings arrived, %d were sent", how, len(got), len(want))
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("%s: string %d arrived as %q, was %q", how, i, got[i], want[i])
		}
	}
}

// TestKubeParallelStart measures how long a pod's containers take after its init
// container, next to a pod of one on a warm sandbox. It runs by itself. Status
// has whole seconds, so the containers' first lines tell when they ran.
func TestKubeParallelStart(t *testing.T) {
	d := ownDaemon(t, 1, nil)
	up := "echo up; " + untilStopped
	for range 3 {
		d.waitWarmBeside(t, 1)
		asked := time.Now()
		one := d.run(t, newPod(shell("c", up)))
		one.waitRunning()
		single := one.firstLine("c").Sub(asked)
		d.waitWarmBeside(t, 1)
		p := d.run(t, withInits(newPod(shell("a", up), shell("b", up), shell("c", up), shell("d", up)),
			shell("init", "echo up"), sidecar(shell("side", up))))
		p.waitRunning()
		began, several := p.firstLine("init"), time.Duration(0)
		for _, name := range []string{"a", "b", "c", "d", "side"} {
			several = max(several, p.firstLine(name).Sub(began))
		}
		t.Logf("a pod of one runs %s after its create, a pod with a sidecar and 4 containers %s after its init: ratio %.2f",
			single.Round(time.Millisecond), several.Round(time.Millisecond), several.Seconds()/single.Seconds())
	}
}

// firstLine is when a container wrote its first line.
func (p *podRun) firstLine(container string) time.Time {
	p.t.Helper()
	var at time.Time
	eventually(p.t, runLimit, container+" has written a line", func() bool {
		stamp, _, found := strings.Cut(p.logs(container, logOptions{Timestamps: true}), " ")
		if !found {
			return false
		}
		var err error
		if at, err = time.Parse(time.RFC3339Nano, stamp); err != nil {
			p.t.Fatal(err)
		}
		return true
	}, nil)
	return at
}
