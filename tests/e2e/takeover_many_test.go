//go:build e2e

package e2e_test

import (
	"fmt"
	"testing"
	"time"

	v1 "k8s.io/api/core/v1"
)

// TestManyPodsOutliveAKill: after a SIGKILL each of many pods is taken over as
// it is, with no restart of any container and with its log. How long that took
// is logged.
func TestManyPodsOutliveAKill(t *testing.T) {
	t.Parallel()
	const n = 50
	d := ownDaemon(t, 0, nil)
	runs, pods := make([]*podRun, n), make([]*v1.Pod, n)
	for i := range pods {
		pods[i] = newPod(shell("c", fmt.Sprintf("echo pod %d; ", i)+untilStopped))
		pods[i].Spec.RestartPolicy = v1.RestartPolicyAlways
		runs[i] = d.run(t, pods[i])
	}
	before := make([]v1.ContainerStatus, n)
	for i, p := range runs {
		before[i] = p.waitRunning().Container("c")
	}
	if err := d.kill(); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	if err := d.start(); err != nil {
		t.Fatal(err)
	}
	d.waitReady(t)
	for i, s := range d.poll(t, pods...) {
		now := s.Container("c")
		if now.ContainerID != before[i].ContainerID || now.RestartCount != 0 || now.State.Running == nil {
			t.Errorf("pod %d is %+v, before it was %+v", i, now, before[i])
		}
	}
	t.Logf("%d pods were taken over in %s", n, time.Since(began).Round(time.Millisecond))
	for i, p := range runs {
		p.waitLog("c", fmt.Sprintf("pod %d\n", i))
		p.delete(0)
	}
	for _, p := range runs {
		p.waitGone()
	}
}
