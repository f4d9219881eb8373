//go:build e2e

package e2e_test

import (
	"strings"
	"testing"

	v1 "k8s.io/api/core/v1"
)

// TestOutOfMemory: the end names the limit, always, and says what happened if the
// engine heard of it from the kernel, which it does for all but a few.
func TestOutOfMemory(t *testing.T) {
	t.Parallel()
	told := 0
	for range 3 {
		c := container("c", "dd", "if=/dev/zero", "of=/dev/null", "bs=256M", "count=1")
		c.Resources = limits("", "32Mi")
		p := sharedDaemon(t).run(t, newPod(c))
		end := p.waitPhase(v1.PodFailed).Container("c").State.Terminated
		if end.ExitCode != 137 || !strings.Contains(end.Message, "32Mi") {
			t.Errorf("end = %+v", end)
		}
		// The caller overwrites the reason, so the message has to say it (protocol 2.2).
		if end.Reason == "OOMKilled" && strings.Contains(end.Message, "OOMKilled") {
			told++
		}
	}
	if told == 0 {
		t.Error("none of three was OOMKilled")
	}
}

// TestKilled: whoever is killed within its bound on memory was not out of it.
func TestKilled(t *testing.T) {
	t.Parallel()
	c := shell("c", "exit 137") // nobody can tell it from a SIGKILL
	c.Resources = limits("", "32Mi")
	end := sharedDaemon(t).run(t, newPod(c)).waitPhase(v1.PodFailed).Container("c").State.Terminated
	if end.ExitCode != 137 || end.Reason != "Error" {
		t.Errorf("end = %+v", end)
	}
}

func TestExitCodes(t *testing.T) {
	t.Parallel()
	p := sharedDaemon(t).run(t, newPod(shell("fine", "exit 0"), shell("fails", "exit 3"), shell("high", "exit 255"),
		shell("killed", "kill -9 $$; kill -9 1"), shell("says", "echo why >/dev/termination-log; exit 4")))
	seen := p.waitPhase(v1.PodFailed)
	for name, want := range map[string]int32{"fine": 0, "fails": 3, "high": 255, "says": 4} {
		if got := seen.Container(name).State.Terminated.ExitCode; got != want {
			t.Errorf("%s ended with %d, want %d", name, got, want)
		}
	}
	if got := seen.Container("says").State.Terminated.Message; strings.TrimSpace(got) != "why" {
		t.Errorf("termination message = %q", got)
	}
}

func TestMissingCommand(t *testing.T) {
	t.Parallel()
	d := sharedDaemon(t)
	for name, argv := range map[string][]string{
		"not in PATH":       {"no-such-program"},
		"no such file":      {"/no/such/program", "x"},
		"not an executable": {"/etc/passwd"},
		"a folder":          {"/etc"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := d.run(t, newPod(container("c", argv...), shell("other", "exit 0")))
			end := p.waitPhase(v1.PodFailed).Container("c").State.Terminated
			if end.ExitCode != 128 || !strings.Contains(end.Message, argv[0]) {
				t.Errorf("end = %+v", end)
			}
			// Its log is empty, and readable: a refusal fails whoever reads it.
			if got := p.logs("c", logOptions{}); got != "" {
				t.Errorf("log = %q", got)
			}
		})
	}
}

func TestUnknownImage(t *testing.T) {
	t.Parallel()
	d := sharedDaemon(t)
	c := container("c", "true")
	c.Image = "127.0.0.1:1/no/such:image"
	p := d.run(t, newPod(c, shell("other", untilStopped)))
	seen := p.waitFor("ErrImagePull", func(s podStatus) bool { return waitingReason(s, "c") == "ErrImagePull" })
	if message := seen.Container("c").State.Waiting.Message; !strings.Contains(message, "connection refused") {
		t.Errorf("message does not have the engine's words: %q", message)
	}
	seen = p.waitFor("ImagePullBackOff", func(s podStatus) bool { return waitingReason(s, "c") == "ImagePullBackOff" })
	if message := seen.Container("c").State.Waiting.Message; !strings.Contains(message, "connection refused") ||
		!strings.Contains(message, c.Image) {
		t.Errorf("message does not say what and why: %q", message)
	}
	p.waitFor("the other container runs", func(s podStatus) bool { return s.Container("other").State.Running != nil })
	// Known, but not started: empty, not an error (protocol 3.3).
	if got := p.logs("c", logOptions{}); got != "" {
		t.Errorf("log = %q", got)
	}
}

func TestImageThatIsNeverPulled(t *testing.T) {
	t.Parallel()
	c := container("c", "true")
	c.Image, c.ImagePullPolicy = "127.0.0.1:1/no/such:image", v1.PullNever
	p := sharedDaemon(t).run(t, newPod(c))
	seen := p.waitFor("ErrImageNeverPull", func(s podStatus) bool { return waitingReason(s, "c") == "ErrImageNeverPull" })
	if message := seen.Container("c").State.Waiting.Message; !strings.Contains(message, c.Image) {
		t.Errorf("message = %q", message)
	}
}

func waitingReason(s podStatus, container string) string {
	if w := s.Container(container).State.Waiting; w != nil {
		return w.Reason
	}
	return ""
}
