//go:build e2e

package e2e_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	v1 "k8s.io/api/core/v1"
)

func TestHelloWorld(t *testing.T) {
	t.Parallel()
	d := sharedDaemon(t)
	for name, wrap := range map[string]func(createRequest) any{
		"object of today": func(r createRequest) any { return r },
		"list of 2024":    func(r createRequest) any { return []createRequest{r} },
	} {
		t.Run(name, func(t *testing.T) {
			hello := container("hello", "/bin/bash", "-c")
			hello.Image, hello.Args = suite.images.bash, []string{"echo hello world"}
			pod := newPod(hello)
			code, text := d.must(t, http.MethodPost, "/create", encode(t, wrap(newCreate(pod))))
			p := d.created(t, pod, code, text)
			seen := p.waitPhase(v1.PodSucceeded).Container("hello")
			if got := p.logs("hello", logOptions{}); got != "hello world\n" {
				t.Errorf("log = %q", got)
			}
			end := seen.State.Terminated
			if end.ExitCode != 0 || end.Reason != "Completed" || end.StartedAt.IsZero() || end.FinishedAt.Before(&end.StartedAt) {
				t.Errorf("end = %+v", end)
			}
			if seen.Image != suite.images.bash {
				t.Errorf("image = %q", seen.Image)
			}
			for what, id := range map[string]string{"imageID": seen.ImageID, "containerID": seen.ContainerID, "end's containerID": end.ContainerID} {
				if !strings.HasPrefix(id, "docker") || !strings.Contains(id, "://") {
					t.Errorf("%s = %q", what, id)
				}
			}
		})
	}
}

func TestContainersShareLocalhost(t *testing.T) {
	t.Parallel()
	d := sharedDaemon(t)
	// Two such pods at a time: the port is the pod's own.
	for _, answer := range []string{"first", "second"} {
		t.Run(answer, func(t *testing.T) {
			t.Parallel()
			server := shell("server", "echo "+answer+" | nc -l -p 8099")
			client := shell("client", "until nc 127.0.0.1 8099 </dev/null; do usleep 50000; done")
			p := d.run(t, newPod(server, client))
			p.waitPhase(v1.PodSucceeded)
			if got := p.logs("client", logOptions{}); !strings.HasSuffix(got, answer+"\n") {
				t.Errorf("client read %q", got)
			}
		})
	}
}

// awkward is text that a shell would change.
var awkward = []string{"", " ", "two words", `"double" 'single'`, "line\nbreak\n", "`id`", "$(id)", "$HOME ${HOME}",
	"a=b=c", `back\slash \n`, "*", "~", "; exit 7 #", "h\u00e9llo \u4e16\u754c \U0001F40B", "-n", "--", "%s%%", "tab\there"}

func TestArgumentsArriveExactly(t *testing.T) {
	t.Parallel()
	c := container("c", "/bin/sh", "-c", `printf '%s\0' "$@"`, "name")
	c.Args = awkward
	got := sharedDaemon(t).run(t, newPod(c)).output()
	want := strings.Join(awkward, "\x00") + "\x00"
	// $(id) and the like name no variable, so they stay.
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("arguments (-want +got):\n%s", diff)
	}
}

func TestEnvironmentArrivesExactly(t *testing.T) {
	t.Parallel()
	c := container("c", "cat", "/proc/self/environ")
	want := map[string]string{}
	for i, value := range awkward {
		name := "AWKWARD_" + string(rune('A'+i))
		c.Env = append(c.Env, v1.EnvVar{Name: name, Value: value})
		want[name] = value
	}
	for _, v := range []struct{ name, value, want string }{
		{"BASE", "base", "base"},
		// The Virtual Kubelet has expanded what was to be expanded.
		{"REFERS", "<$(BASE)>", "<$(BASE)>"},
		{"ESCAPED", "pa$$word", "pa$$word"},
		{"UNKNOWN", "$(NOT_DEFINED)", "$(NOT_DEFINED)"},
		{"LATER", "$(AFTERWARDS)", "$(AFTERWARDS)"},
		{"AFTERWARDS", "x", "x"},
		{"TWICE", "first", "last"},
		{"TWICE", "last", "last"},
		{"CM_dotted.name-x", "v", "v"},
		{"HOME", "/elsewhere", "/elsewhere"},
		{"PATH", "/bin:/own", "/bin:/own"},
	} {
		c.Env = append(c.Env, v1.EnvVar{Name: v.name, Value: v.value})
		want[v.name] = v.want
	}
	got := map[string]string{}
	for entry := range strings.SplitSeq(strings.TrimSuffix(sharedDaemon(t).run(t, newPod(c)).output(), "\x00"), "\x00") {
		name, value, _ := strings.Cut(entry, "=")
		if _, again := got[name]; again {
			t.Errorf("variable %s is there twice", name)
		}
		got[name] = value
	}
	delete(got, "HOSTNAME")
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("environment (-want +got):\n%s", diff)
	}
}

func TestVariablesInCommandAndArguments(t *testing.T) {
	t.Parallel()
	c := container("c", "$(TOOL)", "$(A)-$(B)")
	c.Args = []string{"$$(A)", "$(C)", "$(A)"}
	c.Env = []v1.EnvVar{{Name: "TOOL", Value: "/bin/echo"}, {Name: "A", Value: "a b"}, {Name: "B", Value: ""}}
	if got, want := sharedDaemon(t).run(t, newPod(c)).output(), "a b- $(A) $(C) a b\n"; got != want {
		t.Errorf("log = %q, want %q", got, want)
	}
}

// TestEntrypointRules: the image has ENTRYPOINT ["/bin/echo","entry"], CMD
// ["cmd"], WORKDIR /srv and ENV IMAGE_VAR.
func TestEntrypointRules(t *testing.T) {
	t.Parallel()
	d := sharedDaemon(t)
	for _, c := range []struct {
		name          string
		command, args []string
		want          string
	}{
		{name: "neither", want: "entry cmd\n"},
		{name: "args replace CMD", args: []string{"a  b", "c"}, want: "entry a  b c\n"},
		{name: "command replaces both", command: []string{"/bin/echo", "only"}, want: "only\n"},
		{name: "command and args", command: []string{"/bin/echo", "x"}, args: []string{"y"}, want: "x y\n"},
		{name: "WORKDIR and ENV of the image", command: []string{"sh", "-c", "pwd; echo $IMAGE_VAR"}, want: "/srv\nfrom-image\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			spec := container("c", c.command...)
			spec.Image, spec.Args = suite.images.entry, c.args
			if got := d.run(t, newPod(spec)).output(); got != c.want {
				t.Errorf("log = %q, want %q", got, c.want)
			}
		})
	}
}

func TestWorkingDirectory(t *testing.T) {
	t.Parallel()
	there, fresh := container("there", "pwd"), container("fresh", "pwd")
	there.Image, there.WorkingDir = suite.images.entry, "/tmp"
	fresh.WorkingDir = "/made/for it"
	p := sharedDaemon(t).run(t, newPod(there, fresh))
	p.waitPhase(v1.PodSucceeded)
	for name, want := range map[string]string{"there": "/tmp\n", "fresh": "/made/for it\n"} {
		if got := p.logs(name, logOptions{}); got != want {
			t.Errorf("%s is in %q, want %q", name, got, want)
		}
	}
}

func TestResourceLimits(t *testing.T) {
	t.Parallel()
	c := shell("c", `cd /sys/fs/cgroup
		if [ -f cpu.max ]; then cat cpu.max memory.max
		else echo "$(cat cpu/cpu.cfs_quota_us) $(cat cpu/cpu.cfs_period_us)"; cat memory/memory.limit_in_bytes; fi`)
	c.Resources = limits("150m", "48Mi")
	if got, want := sharedDaemon(t).run(t, newPod(c)).output(), "15000 100000\n50331648\n"; got != want {
		t.Errorf("limits = %q, want %q", got, want)
	}
}
