package pods_test

import (
	"sync/atomic"
	"testing"

	v1 "k8s.io/api/core/v1"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/engine/enginetest"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/podstatus"
)

// TestRestartOfAllContainers: init containers and sidecars run once more too, and so they
// do where docker-sd was away when the container ended that asks for it.
func TestRestartOfAllContainers(t *testing.T) {
	for _, away := range []bool{false, true} {
		name := map[bool]string{false: "present", true: "away"}[away]
		t.Run(name, func(t *testing.T) {
			n := newNode(t)
			always, never := v1.ContainerRestartPolicyAlways, v1.ContainerRestartPolicyNever
			side := container("side", "serve")
			side.RestartPolicy = &always
			p := newPod(withInit(container("first", "first"), side), running("asks"), func(p *v1.Pod) {
				p.Spec.Containers[0].RestartPolicy = &never
				p.Spec.Containers[0].RestartPolicyRules = []v1.ContainerRestartRule{{Action: v1.ContainerRestartRuleActionRestartAllContainers,
					ExitCodes: &v1.ContainerRestartRuleOnExitCodes{Operator: v1.ContainerRestartRuleOnExitCodesOpIn, Values: []int32{42}}}}
				p.Spec.Containers = append(p.Spec.Containers, container("other", "serve"))
			})
			var inits, mains atomic.Int32
			open := make(chan struct{})
			n.host.InnerProgram("first", func(*enginetest.Process) int { inits.Add(1); return 0 })
			n.host.InnerProgram("asks", func(p *enginetest.Process) int {
				if mains.Add(1) > 1 {
					<-p.Done().Done()
					return 137
				}
				if gate(p, open) != 0 {
					return 137
				}
				return 42
			})
			n.create(p)
			n.awaitRunning(p, "main")
			n.awaitRunning(p, "other")
			e := n.sandbox(p).Engine
			if away {
				n.end()
			}
			close(open)
			if away {
				e.Await("the container has ended", func(s enginetest.Snapshot) bool {
					for _, c := range s.Containers {
						if c.Status == "exited" && len(c.Argv) > 0 && c.Argv[0] == "asks" {
							return true
						}
					}
					return false
				})
				n.start()
			}
			r := n.await(p, "with all containers running again", func(r podstatus.Report) bool {
				return isRunning("main")(r) && isRunning("other")(r) && statusOf(r, "main").RestartCount == 1
			})
			for _, c := range append(r.Containers, r.InitContainers...) {
				if c.RestartCount != 1 || c.LastTerminationState.Terminated == nil {
					t.Errorf("%s: %+v", c.Name, c)
				}
			}
			if inits.Load() != 2 || mains.Load() != 2 {
				t.Errorf("the init container ran %d times, the main one %d times", inits.Load(), mains.Load())
			}
			n.delete(p, nil)
		})
	}
}
