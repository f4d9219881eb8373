//go:build e2e

package e2e_test

import (
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	v1 "k8s.io/api/core/v1"
)

// waitHolders waits until docker-sd counts so many networks that were made ahead, and
// none of them has died unnoticed.
func (d *daemon) waitHolders(t *testing.T, n int) {
	t.Helper()
	client := d.operator(t)
	eventually(t, runLimit, "networks are made ahead", func() bool {
		dead := slices.ContainsFunc(slices.Collect(maps.Values(d.holders(t))), func(c hostContainer) bool { return c.State != "running" })
		sandboxes, err := client.Pool(t.Context())
		return err == nil && sandboxes.Holders == n && !dead
	}, d.log.String)
}

// holders are the containers that hold networks, by the name of their sandbox.
func (d *daemon) holders(t *testing.T) map[string]hostContainer {
	t.Helper()
	containers, err := d.engine.containers(t.Context(), d.label())
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]hostContainer{}
	for _, c := range containers {
		if c.holder() {
			out[c.Labels[sandboxLabel]] = c
		}
	}
	return out
}

// holderOf is the container that holds a sandbox's network, which must be one.
func (d *daemon) holderOf(t *testing.T, sandbox hostContainer) hostContainer {
	t.Helper()
	holder, held := d.holders(t)[sandbox.Labels[sandboxLabel]]
	if !held || sandbox.HostConfig.NetworkMode != "container:"+holder.ID {
		t.Fatalf("the network of sandbox %s is %q, not that of a holder", sandbox.name(), sandbox.HostConfig.NetworkMode)
	}
	return holder
}

// ids of containers, sorted.
func ids(of map[string]hostContainer) []string {
	var out []string
	for _, c := range of {
		out = append(out, c.ID)
	}
	return slices.Sorted(slices.Values(out))
}

// TestHeldNetwork: a pod that finds no warm sandbox gets one in a network that was
// made ahead, which serves it as any other; those that wait outlive a SIGKILL of
// docker-sd; and holders are bare and go with their sandbox.
func TestHeldNetwork(t *testing.T) {
	t.Parallel()
	d := ownDaemon(t, 0, map[string]any{"NetworkHolders": 2})
	d.waitHolders(t, 2)
	before := d.holders(t)
	if err := d.kill(); err != nil {
		t.Fatal(err)
	}
	if err := d.start(); err != nil {
		t.Fatal(err)
	}
	d.waitHolders(t, 2)
	if after := d.holders(t); !slices.Equal(ids(before), ids(after)) {
		t.Fatalf("holders after a SIGKILL: %v, want those of before: %v", ids(after), ids(before))
	}
	script := "hostname; grep -w \"$(hostname)\" /etc/hosts; grep nameserver /etc/resolv.conf; ip -4 -o address show dev eth0; echo looked; " + untilStopped
	p := d.run(t, newPod(shell("c", script)))
	p.waitRunning()
	box := p.sandbox()
	holder := d.holderOf(t, box)
	if _, known := before[box.Labels[sandboxLabel]]; !known {
		t.Errorf("sandbox %s is in none of the networks of before: %v", box.name(), slices.Collect(maps.Keys(before)))
	}
	var seen struct {
		NetworkSettings struct {
			Networks map[string]struct{ IPAddress string }
		}
		HostConfig struct {
			CapAdd, CapDrop, SecurityOpt []string
			Privileged, ReadonlyRootfs   bool
		}
		Config struct{ User string }
		Mounts []struct{ Type string }
	}
	if err := suite.engine.call(t.Context(), http.MethodGet, "/containers/"+holder.ID+"/json", &seen); err != nil {
		t.Fatal(err)
	}
	if h := seen.HostConfig; h.Privileged || len(h.CapAdd) > 0 || !slices.Equal(h.CapDrop, []string{"ALL"}) || !h.ReadonlyRootfs || seen.Config.User == "" {
		t.Errorf("a holder is made with %+v as user %q", h, seen.Config.User)
	}
	if v := volumes([]hostContainer{holder}); len(v) > 0 {
		t.Errorf("a holder has volumes %v", v)
	}
	address := seen.NetworkSettings.Networks[box.Labels[sandboxLabel]+"_network"].IPAddress
	var view string
	eventually(t, runLimit, "the pod has looked", func() bool {
		view = p.logs("c", logOptions{})
		return strings.Contains(view, "looked\n")
	}, func() string { return view })
	if !strings.Contains(view, "inet "+address+"/28 ") || !strings.Contains(view, "nameserver ") || strings.Count(view, address) < 2 {
		t.Errorf("the pod at %q sees %q", address, view)
	}
	if pods, err := d.operator(t).Pods(t.Context()); err != nil || len(pods.Pods) != 1 || pods.Pods[0].IP != address {
		t.Errorf("pods are %+v, %v, want the one at %s", pods, err, address)
	}
	p.delete(0)
	p.waitGone() // with its holder, as one of its traces
	d.waitHolders(t, 2)
	d.waitWarm(t, 0)
}

// TestHolderIsKilled: a sandbox that has lost its network has ended, as if it had been
// killed itself, and comes back with a network where the policy allows. Without its
// holder for good, it is lost.
func TestHolderIsKilled(t *testing.T) {
	t.Parallel()
	d := ownDaemon(t, 0, map[string]any{"NetworkHolders": 2})
	d.waitHolders(t, 2)
	script := "echo run >>/vol/runs; ip -4 -o address show dev eth0 | grep -c inet; echo $(wc -l </vol/runs); " + untilStopped
	start := func(policy v1.RestartPolicy) *podRun {
		pod := withVolume(newPod(shell("c", script)), emptyDir(), "/vol")
		pod.Spec.RestartPolicy = policy
		p := d.run(t, pod)
		p.waitRunning()
		p.waitLog("c", "1\n1\n")
		return p
	}
	always, never := start(v1.RestartPolicyAlways), start(v1.RestartPolicyNever)
	d.waitHolders(t, 2)
	box := always.sandbox()
	for _, p := range []*podRun{always, never} {
		if err := suite.engine.kill(t.Context(), d.holderOf(t, p.sandbox()).ID); err != nil {
			t.Fatal(err)
		}
	}
	seen := always.waitFor("the pod runs again", func(s podStatus) bool {
		return s.Container("c").State.Running != nil && s.Container("c").RestartCount == 1
	}).Container("c")
	if end := seen.LastTerminationState.Terminated; end == nil || end.ExitCode != 137 || !strings.Contains(end.Message, "sandbox stopped") {
		t.Errorf("Always: it ended before with %+v", end)
	}
	always.waitLog("c", "1\n2\n") // with a network, and the same volume
	if again := always.sandbox(); again.ID != box.ID {
		t.Errorf("the pod is in sandbox %s, was in %s", again.ID, box.ID)
	}
	if end := never.waitPhase(v1.PodFailed).Container("c").State.Terminated; end.ExitCode != 137 || !strings.Contains(end.Message, "sandbox stopped") {
		t.Errorf("Never: end = %+v", end)
	}
	if err := suite.engine.removeContainer(t.Context(), d.holderOf(t, always.sandbox()).ID); err != nil {
		t.Fatal(err)
	}
	eventually(t, runLimit, "the pod runs in another sandbox", func() bool {
		found, err := always.find(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		found = slices.DeleteFunc(found, hostContainer.holder)
		return len(found) == 1 && found[0].ID != box.ID && always.status().Container("c").State.Running != nil
	}, d.log.String)
	for _, p := range []*podRun{always, never} {
		p.delete(0)
		p.waitGone()
	}
	d.waitWarm(t, 0)
}
