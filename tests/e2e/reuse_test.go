//go:build e2e

package e2e_test

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestUsedSandboxIsNotHandedOut: after two faults at a time, an emptied record and a
// sandbox that has its pool name again, the next pod gets another sandbox and sees
// nothing of the first pod.
func TestUsedSandboxIsNotHandedOut(t *testing.T) {
	t.Parallel()
	d := ownDaemon(t, 1, nil)
	first := d.run(t, withVolume(newPod(shell("c", "echo secret >/vol/secret; "+untilStopped)), emptyDir(), "/vol"))
	first.waitRunning()
	box := first.sandbox()
	d.waitWarmBeside(t, 1)
	if err := d.kill(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(d.data(), "records", string(first.pod.UID)+".json"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	// The other one would be taken first.
	others, err := suite.engine.containers(ctx, d.label())
	if err != nil {
		t.Fatal(err)
	}
	for _, other := range others {
		if other.ID == box.ID {
			continue
		}
		if err := suite.engine.removeContainer(ctx, other.ID); err != nil {
			t.Fatal(err)
		}
	}
	if err := suite.engine.call(ctx, http.MethodPost, "/containers/"+box.ID+"/rename?name="+box.Labels[sandboxLabel], nil); err != nil {
		t.Fatal(err)
	}
	if err := d.start(); err != nil {
		t.Fatal(err)
	}
	eventually(t, runLimit, "the pool has a warm sandbox", func() bool {
		out, _, _ := d.command(t, "pool")
		return strings.Contains(out, "1 warm of 1 wanted")
	}, nil)
	second := d.run(t, withVolume(newPod(shell("c", "cat /vol/secret; echo looked; "+untilStopped)), emptyDir(), "/vol"))
	second.waitRunning()
	eventually(t, runLimit, "the second pod has looked", func() bool {
		return strings.Contains(second.logs("c", logOptions{}), "looked\n")
	}, nil)
	if got := second.logs("c", logOptions{}); strings.Contains(got, "secret\n") {
		t.Errorf("the second pod reads %q", got)
	}
	if second.sandbox().ID == box.ID {
		t.Error("the second pod got the first one's sandbox")
	}
	// The first one may live: it is not removed before its grace is over.
	if left, err := suite.engine.containers(ctx, sandboxLabel+"="+box.Labels[sandboxLabel]); err != nil || len(left) != 1 || left[0].State != "running" {
		t.Errorf("the first pod's sandbox: %+v, %v", left, err)
	}
	// Found by its name again, it goes with its pod.
	if err := suite.engine.call(ctx, http.MethodPost, "/containers/"+box.ID+"/rename?name="+string(first.pod.UID)+"_dind", nil); err != nil {
		t.Fatal(err)
	}
}
