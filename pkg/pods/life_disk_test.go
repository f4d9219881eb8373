package pods_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	v1 "k8s.io/api/core/v1"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/engine/enginetest"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/podlogs"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/podstatus"
)

// blocked has writes to a folder of docker-sd's fail until it is called, as a disk does
// that is full.
func (n *node) blocked(folder string) (unblock func()) {
	n.t.Helper()
	path := filepath.Join(n.dir, folder)
	if err := os.Rename(path, path+".away"); err != nil && !errors.Is(err, fs.ErrNotExist) {
		n.t.Fatal(err)
	}
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		n.t.Fatal(err)
	}
	return func() {
		n.t.Helper()
		if err := os.Remove(path); err != nil {
			n.t.Fatal(err)
		}
		if err := os.Rename(path+".away", path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			n.t.Fatal(err)
		}
	}
}

// explained says that the main container waits with words.
func explained(words string) func(podstatus.Report) bool {
	return func(r podstatus.Report) bool {
		w := statusOf(r, "main").State.Waiting
		return w != nil && strings.Contains(w.Message, words)
	}
}

// TestReplacementThatCannotBeSaved: as long as it is not on disk that a pod has another
// sandbox, it does not run there.
func TestReplacementThatCannotBeSaved(t *testing.T) {
	n := newNode(t)
	p := newPod(restarting(v1.RestartPolicyAlways))
	n.create(p)
	n.awaitRunning(p, "main")
	s := n.sandbox(p)
	unblock := n.blocked("records")
	n.host.Lose(s.ID)
	n.await(p, "waiting for the disk", explained("waiting for its record to be saved"))
	unblock()
	n.await(p, "running in another sandbox", func(r podstatus.Report) bool { return isRunning("main")(r) && n.view(p).ContainerID != s.ID })
	n.delete(p, nil)
}

// TestSandboxThatComesBackLate is taken, where its replacement could not be saved.
func TestSandboxThatComesBackLate(t *testing.T) {
	n := newNode(t)
	p := newPod(restarting(v1.RestartPolicyAlways))
	n.create(p)
	n.awaitRunning(p, "main")
	s := n.sandbox(p)
	unblock := n.blocked("records")
	for range 5 { // as often as it is tried
		n.host.Fail("POST /containers/"+string(p.UID)+"_dind/start", 500, "no space left on device")
	}
	n.host.Exit(s.ID, 137)
	n.await(p, "running in the sandbox that it had", func(r podstatus.Report) bool { return isRunning("main")(r) && statusOf(r, "main").RestartCount == 1 })
	unblock()
	if now := n.view(p).ContainerID; now != s.ID {
		t.Errorf("it runs in %s, and not in %s", now, s.ID)
	}
	n.delete(p, nil)
}

// TestArchiveThatCannotBeWritten: an ended pod keeps its sandbox until its logs are safe,
// through a stop of the sandbox, too.
func TestArchiveThatCannotBeWritten(t *testing.T) {
	n := newNode(t)
	unblock := n.blocked("archive")
	p := newPod(running("echo", "kept"))
	n.create(p)
	n.awaitEnd(p, "main")
	s := n.sandbox(p)
	n.poll("the log is tried to be kept", func() bool { return n.view(p).Phase == podstatus.PhaseSucceeded })
	if got := n.log(podlogs.Query{UID: p.UID}); got != "kept\n" {
		t.Errorf("log: %q", got)
	}
	if n.host.Snapshot().Containers[string(p.UID)+"_dind"].Status != "running" {
		t.Error("its sandbox is let go before its log is kept")
	}
	n.host.Exit(s.ID, 137)
	unblock()
	n.host.Await("its sandbox is let go", func(s enginetest.Snapshot) bool {
		_, there := s.Containers[string(p.UID)+"_dind"]
		return !there
	})
	if got := n.log(podlogs.Query{UID: p.UID}); got != "kept\n" {
		t.Errorf("log afterwards: %q", got)
	}
	n.delete(p, nil)
}

// TestEndThatCannotBeSaved is told all the same.
func TestEndThatCannotBeSaved(t *testing.T) {
	n := newNode(t)
	open := make(chan struct{})
	n.host.InnerProgram("gate", func(p *enginetest.Process) int { return gate(p, open) })
	p := newPod(running("gate"))
	n.create(p)
	n.awaitRunning(p, "main")
	unblock := n.blocked("records")
	close(open)
	if end := n.awaitEnd(p, "main"); end.ExitCode != 0 {
		t.Errorf("it ended with %+v", end)
	}
	unblock()
	n.delete(p, nil)
}
