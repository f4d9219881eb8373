package pods_test

import (
	"strings"
	"testing"

	v1 "k8s.io/api/core/v1"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/podspec"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/podstatus"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/volumes"
)

func ofClass(name string) func(*v1.Pod) {
	return func(p *v1.Pod) { p.Spec.RuntimeClassName = &name }
}

// TestClassThatIsTakenAway: a pod that was admitted goes on, and a repeated create gets its
// answer; a new one is refused.
func TestClassThatIsTakenAway(t *testing.T) {
	n := newNode(t, func(n *node) { n.rules.RuntimeClasses = map[string]podspec.RuntimeClass{"marked": {Runtime: "runc"}} })
	p := newPod(ofClass("marked"))
	jid, err := n.manager.Create(n.ctx, p, volumes.Data{})
	if err != nil {
		t.Fatal(err)
	}
	runs := func(r podstatus.Report) bool { return statusOf(r, "main").State.Running != nil }
	n.await(p, "running", runs)
	n.rules.RuntimeClasses = nil
	n.restart()
	n.await(p, "running", runs)
	if again, err := n.manager.Create(n.ctx, p, volumes.Data{}); again != jid || err != nil {
		t.Errorf("a repeated create got %q, %v; want %q", again, err, jid)
	}
	if _, err := n.manager.Create(n.ctx, newPod(ofClass("marked")), volumes.Data{}); err == nil || !strings.Contains(err.Error(), "spec.runtimeClassName: marked") {
		t.Errorf("another pod of the class: %v", err)
	}
	n.delete(p, nil)
}
