//go:build e2e

package e2e_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	v1 "k8s.io/api/core/v1"
)

// program is a command of docker-sd that asks the daemon.
func (d *daemon) program(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 3*runLimit) // 1 GB takes its time
	t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, suite.binary, append([]string{"-interlinkconfigpath", d.Config}, args...)...)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + os.Getenv("HOME")}
	return cmd
}

// standing is a pod that runs until it is deleted.
func (d *daemon) standing(t *testing.T, change func(*v1.Pod)) *podRun {
	t.Helper()
	pod := newPod(shell("main", untilStopped))
	if change != nil {
		change(pod)
	}
	p := d.run(t, pod)
	p.waitRunning()
	return p
}

// inside runs a script in a container and returns its output.
func (p *podRun) inside(container, script string) string {
	p.t.Helper()
	var errs bytes.Buffer
	cmd := p.d.program(p.t, "exec", string(p.pod.UID), "-c", container, "--", "sh", "-c", script)
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		p.t.Fatalf("%s in container %s: %v: %s", script, container, err, errs.String())
	}
	return string(out)
}

// TestExecInPod: streams, exit codes, and whom it runs as.
func TestExecInPod(t *testing.T) {
	t.Parallel()
	d := sharedDaemon(t)
	p := d.run(t, newPod(shell("main", untilStopped), shell("sidekick", "echo last words >/dev/termination-log; exit 9")))
	p.waitFor("one container runs and the other has ended", func(s podStatus) bool {
		return s.Container("main").State.Running != nil && s.Container("sidekick").State.Terminated != nil
	})
	uid := string(p.pod.UID)
	for name, c := range map[string]struct {
		args      []string
		stdin     string
		out, errs []string
		code      int
	}{
		"both streams, by name": {args: []string{p.pod.Name, "--", "sh", "-c", "echo to out; echo to errors >&2"},
			out: []string{"to out\n"}, errs: []string{"to errors\n"}},
		"by namespace":           {args: []string{p.pod.Namespace + "/" + p.pod.Name, "-c", "main", "--", "echo", "a  b", "$HOME"}, out: []string{"a  b $HOME\n"}},
		"exit code":              {args: []string{uid, "--", "sh", "-c", "exit 42"}, code: 42, errs: []string{"exit code 42"}},
		"input":                  {args: []string{uid, "-i", "--", "cat"}, stdin: "one\ntwo", out: []string{"one\ntwo"}},
		"no input":               {args: []string{uid, "--", "cat"}, stdin: "one"},
		"input that is not read": {args: []string{uid, "-i", "--", "head", "-c", "3"}, stdin: strings.Repeat("x", 4<<20), out: []string{"xxx"}},
		"no such program":        {args: []string{uid, "--", "no-such-program"}, code: 126, out: []string{"no-such-program"}},
		"wrong pod":              {args: []string{p.pod.Name[:len(p.pod.Name)-1] + "_", "--", "true"}, code: 1, errs: []string{"did you mean", p.pod.Namespace + "/" + p.pod.Name, "not found"}},
		"wrong container":        {args: []string{uid, "-c", "mian", "--", "true"}, code: 1, errs: []string{`"mian"`, "did you mean main?", "sidekick"}},
		"container that ended":   {args: []string{uid, "-c", "sidekick", "--", "true"}, code: 1, errs: []string{"exit code 9", "last words"}},
		"no terminal here":       {args: []string{uid, "-it", "--", "sh", "-c", "cat; [ -t 0 ] || echo none"}, stdin: "in\n", out: []string{"in\nnone\n"}, errs: []string{"no terminal"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cmd := d.program(t, append([]string{"exec"}, c.args...)...)
			var out, errs bytes.Buffer
			cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(c.stdin), &out, &errs
			if err := cmd.Run(); cmd.ProcessState == nil {
				t.Fatal(err)
			}
			if got := cmd.ProcessState.ExitCode(); got != c.code {
				t.Errorf("exit code %d, want %d", got, c.code)
			}
			for _, words := range []struct {
				got  string
				want []string
			}{{out.String(), c.out}, {errs.String(), c.errs}} {
				for _, want := range words.want {
					if !strings.Contains(words.got, want) {
						t.Errorf("it says %q, want %q in it", words.got, want)
					}
				}
			}
			if len(c.out) == 0 && out.Len() > 0 {
				t.Errorf("output %q, want none", out.String())
			}
		})
	}
}

// TestExecHasTheContainersRights: what the kernel says of a command's process is what it says
// of the container's own, and the same of a container with other rights.
func TestExecHasTheContainersRights(t *testing.T) {
	t.Parallel()
	d := sharedDaemon(t)
	for name, context := range map[string]*v1.SecurityContext{
		"by default": nil,
		"few": {RunAsUser: ptr(int64(1234)), RunAsGroup: ptr(int64(2345)), AllowPrivilegeEscalation: ptr(false),
			Capabilities: &v1.Capabilities{Drop: []v1.Capability{"ALL"}}, ReadOnlyRootFilesystem: ptr(true)},
		"another seccomp profile": {SeccompProfile: &v1.SeccompProfile{Type: v1.SeccompProfileTypeUnconfined}},
		"privileged":              {Privileged: ptr(true)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := d.standing(t, func(pod *v1.Pod) {
				pod.Spec.SecurityContext = &v1.PodSecurityContext{SupplementalGroups: []int64{3456}, FSGroup: ptr(int64(4567))}
				pod.Spec.Containers[0].SecurityContext = context
				pod.Spec.Containers[0].Resources = limits("", "64Mi")
			})
			facts := func(pid string) string {
				return "grep -E '^(Uid|Gid|Groups|Cap|NoNewPrivs|Seccomp:)' /proc/" + pid + "/status; cat /proc/" + pid + "/cgroup /proc/" + pid + "/limits; " +
					"cat /proc/" + pid + "/attr/current 2>/dev/null; for n in /proc/" + pid + "/ns/*; do readlink $n; done"
			}
			own, command := p.inside("main", facts("1")), p.inside("main", facts("self"))
			if diff := cmp.Diff(own, command); diff != "" {
				t.Errorf("the container's own process and a command (-container +command):\n%s", diff)
			}
			if !strings.Contains(own, "CapEff") || !strings.Contains(own, "Max processes") {
				t.Errorf("little is known of the process: %s", own)
			}
		})
	}
}

// TestExecGigabyte: 1 GB goes in and comes back unchanged.
func TestExecGigabyte(t *testing.T) {
	t.Parallel()
	d := sharedDaemon(t)
	p := d.standing(t, nil)
	const size = 1 << 30
	cmd := d.program(t, "exec", "-i", string(p.pod.UID), "--", "cat")
	sent, got := sha256.New(), sha256.New()
	cmd.Stdin = io.TeeReader(io.LimitReader(rand.NewChaCha8([32]byte{20}), size), sent)
	counted := &counter{to: got}
	cmd.Stdout = counted
	var errs bytes.Buffer
	cmd.Stderr = &errs
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v: %s", err, errs.String())
	}
	if counted.n != size || !bytes.Equal(sent.Sum(nil), got.Sum(nil)) {
		t.Errorf("%d bytes with checksum %s came back, want %d with %s", counted.n, hex.EncodeToString(got.Sum(nil)), size, hex.EncodeToString(sent.Sum(nil)))
	}
}

// counter counts bytes.
type counter struct {
	to io.Writer
	n  int64
}

func (c *counter) Write(b []byte) (int, error) {
	c.n += int64(len(b))
	return c.to.Write(b)
}

// TestExecSlowReader: all of the output comes although the command has long ended.
func TestExecSlowReader(t *testing.T) {
	t.Parallel()
	d := sharedDaemon(t)
	p := d.standing(t, nil)
	const size = 600 << 10 // less than pipes and sockets on the way hold
	cmd := d.program(t, "exec", string(p.pod.UID), "--", "sh", "-c", "head -c 614400 /dev/zero; touch /ended")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	eventually(t, runLimit, "the command has ended", func() bool {
		return p.inside("main", "test -e /ended && echo yes || echo no") == "yes\n"
	}, nil)
	time.Sleep(3 * time.Second) // longer than anything on the way waits for a reader
	n, err := io.Copy(io.Discard, out)
	if err := errors.Join(err, cmd.Wait()); err != nil || n != size {
		t.Errorf("%d bytes came, %v, want %d", n, err, size)
	}
}
