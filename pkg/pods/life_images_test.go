package pods_test

import (
	"strings"
	"testing"

	v1 "k8s.io/api/core/v1"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/engine/enginetest"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/podlogs"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/podstatus"
)

// siteImage is what only a registry has.
const siteImage = "registry.site/app:1"

func offered() enginetest.Image {
	return enginetest.Image{Tags: []string{siteImage}, Cmd: []string{"sh"}, Layers: []string{"app"}, Size: 1000}
}

// withImage has the main container use one.
func withImage(ref string) func(*v1.Pod) {
	return withMain(func(c *v1.Container) { c.Image = ref })
}

// TestImageThatComesLate: the pod waits for it, and gets a sandbox that was booted after.
func TestImageThatComesLate(t *testing.T) {
	for name, shared := range map[string]bool{"shared": true, "copied": false} {
		t.Run(name, func(t *testing.T) {
			n := newNode(t, func(n *node) { n.shared = shared })
			n.awaitWarm()
			warm := n.pool.Warm()[0].ID
			n.host.Offer(offered())
			held := n.host.Inject(enginetest.Fault{Call: "POST /images/create", Hold: enginetest.Before})
			p := newPod(withImage(siteImage))
			n.create(p)
			held.AwaitCall()
			n.await(p, "waiting", isWaiting("main", "ContainerCreating"))
			held.Release()
			n.awaitRunning(p, "main")
			if taken := n.sandbox(p).ID == warm; taken == shared {
				t.Errorf("it runs in the sandbox that was warm: %t", taken)
			}
			n.delete(p, nil)
		})
	}
}

// TestImageThatCannotBePulled keeps no other container waiting, is told with kubelet's
// words, and tried again.
func TestImageThatCannotBePulled(t *testing.T) {
	n := newNode(t)
	p := newPod(withImage(siteImage), func(p *v1.Pod) {
		p.Spec.Containers = append(p.Spec.Containers, container("other", "serve"))
	})
	n.create(p)
	n.awaitRunning(p, "other")
	r := n.await(p, "waiting for an image", isWaiting("main", "ImagePullBackOff"))
	if w := statusOf(r, "main").State.Waiting; !strings.Contains(w.Message, "pull access denied") {
		t.Errorf("it waits with %q", w.Message)
	}
	n.delete(p, nil)
}

// TestImagePolicies: what is refused without a pull.
func TestImagePolicies(t *testing.T) {
	n := newNode(t)
	never := newPod(withImage(siteImage), withMain(func(c *v1.Container) { c.ImagePullPolicy = v1.PullNever }))
	n.create(never)
	n.await(never, "refused", isWaiting("main", "ErrImageNeverPull"))
	if n.host.Calls("POST /images/create") != 0 {
		t.Error("an image was pulled")
	}
	// A registry in trouble matters to no pod whose image is there.
	n.host.Refuse(imageName, "Get https://registry-1.docker.io/v2/: dial tcp: connect: connection refused")
	always := newPod(withMain(func(c *v1.Container) { c.ImagePullPolicy = v1.PullAlways }))
	n.create(always)
	n.awaitRunning(always, "main")
	for _, p := range []*v1.Pod{never, always} {
		n.delete(p, nil)
	}
}

// TestImageIsHeld: it is held on the host as long as a pod needs it.
func TestImageIsHeld(t *testing.T) {
	n := newNode(t)
	p := newPod()
	n.create(p)
	n.awaitRunning(p, "main")
	held := func(s enginetest.Snapshot) bool {
		for _, c := range s.Containers {
			if c.Labels["docker-sd.hold"] != "" {
				return true
			}
		}
		return false
	}
	n.host.Await("the image is held", held)
	n.delete(p, nil)
	n.host.Await("the image is let go", func(s enginetest.Snapshot) bool { return !held(s) })
}

// TestLogs: what is selected of them, while the pod runs and after it.
func TestLogs(t *testing.T) {
	n := newNode(t, func(n *node) { n.size = 0 })
	p := newPod()
	n.create(p)
	n.awaitRunning(p, "main")
	e, id := n.sandbox(p).Engine, n.instance(p, "main")
	e.Write(id, 1, "one\ntwo\n")
	e.Write(id, 2, "three\n")
	check := func(when string) {
		t.Helper()
		for name, test := range map[string]struct {
			query podlogs.Query
			want  string
		}{
			"all":   {podlogs.Query{}, "one\ntwo\nthree\n"},
			"tail":  {podlogs.Query{Tail: 2}, "two\nthree\n"},
			"bytes": {podlogs.Query{Bytes: 5}, "one\nt"},
		} {
			test.query.UID = p.UID
			if got := n.log(test.query); got != test.want {
				t.Errorf("%s, %s: %q", when, name, got)
			}
		}
		stamped := n.log(podlogs.Query{UID: p.UID, Timestamps: true, Tail: 1})
		if stamp, text, _ := strings.Cut(stamped, " "); text != "three\n" || !strings.HasSuffix(stamp, "Z") {
			t.Errorf("%s, with time stamps: %q", when, stamped)
		}
	}
	check("running")
	for name, query := range map[string]podlogs.Query{
		"another pod":         {UID: newPod().UID},
		"another namespace":   {UID: p.UID, Namespace: "other"},
		"no such container":   {UID: p.UID, Container: "none"},
		"no earlier instance": {UID: p.UID, Previous: true},
		"a bad name":          {UID: p.UID, Container: "../x"},
	} {
		if _, err := n.manager.FindLogs(query); err == nil {
			t.Errorf("%s: there is a log", name)
		}
	}
	followed, read := make(chan string), e.Calls("GET /containers/*/logs")
	go func() { followed <- n.log(podlogs.Query{UID: p.UID, Follow: true}) }()
	e.Await("its log is followed", func(s enginetest.Snapshot) bool { return countCalls(s, "GET", "/logs") > read })
	e.Write(id, 1, "four\n")
	e.Exit(id, 0)
	if got := <-followed; got != "one\ntwo\nthree\nfour\n" {
		t.Errorf("followed: %q", got)
	}
	n.awaitPhase(p, podstatus.PhaseSucceeded)
	n.host.Await("its sandbox is let go", func(s enginetest.Snapshot) bool { return len(s.Networks) == 0 })
	if got := n.log(podlogs.Query{UID: p.UID, Follow: true, Tail: 1}); got != "four\n" {
		t.Errorf("after the end: %q", got)
	}
	n.delete(p, nil)
}

// TestFollowThroughRestarts: a log goes on with the next run, and ends with the last.
func TestFollowThroughRestarts(t *testing.T) {
	n := newNode(t)
	p := newPod(restarting(v1.RestartPolicyOnFailure))
	n.create(p)
	n.awaitRunning(p, "main")
	e, first := n.sandbox(p).Engine, n.instance(p, "main")
	followed := make(chan string)
	go func() { followed <- n.log(podlogs.Query{UID: p.UID, Follow: true}) }()
	e.Await("its log is followed", func(s enginetest.Snapshot) bool { return countCalls(s, "GET", "/logs") > 0 })
	e.Write(first, 1, "first\n")
	e.Exit(first, 1)
	n.await(p, "running again", func(r podstatus.Report) bool { return isRunning("main")(r) && statusOf(r, "main").RestartCount == 1 })
	second := n.instance(p, "main")
	e.Write(second, 1, "second\n")
	e.Exit(second, 0)
	if got := <-followed; got != "first\nsecond\n" {
		t.Errorf("followed: %q", got)
	}
	n.delete(p, nil)
}
