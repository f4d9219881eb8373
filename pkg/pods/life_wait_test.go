package pods_test

import (
	"bytes"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	v1 "k8s.io/api/core/v1"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/engine/enginetest"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/podstatus"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/sandbox"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/volumes"
)

// TestDeadlineOfAPodThatWaits for its image or its sandbox: it fails as one that runs does,
// and its claim is another pod's.
func TestDeadlineOfAPodThatWaits(t *testing.T) {
	const siteImage = "site.example/image:1"
	for name, c := range map[string]struct {
		size int
		edit func(*v1.Pod)
		// hold keeps the pod waiting; release ends that.
		hold func(*node) (release func())
	}{
		"for its image, with a warm sandbox": {1, withImage(siteImage), func(n *node) func() {
			return n.host.Inject(enginetest.Fault{Call: "POST /images/create", Hold: enginetest.Before}).Release
		}},
		"for its image, without one": {0, withImage(siteImage), func(n *node) func() {
			return n.host.Inject(enginetest.Fault{Call: "POST /images/create", Hold: enginetest.Before}).Release
		}},
		"for its sandbox": {0, func(*v1.Pod) {}, func(n *node) func() {
			n.host.Fail("POST /networks/create", http.StatusInternalServerError, "no address is left")
			return func() {}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			n := newNode(t, func(n *node) { n.size = c.size })
			if c.size > 0 {
				n.awaitWarm()
			}
			release := c.hold(n)
			defer release()
			soon := int64(1)
			p := newPod(c.edit, func(p *v1.Pod) { p.Spec.ActiveDeadlineSeconds = &soon })
			n.create(p)
			end := n.awaitEnd(p, "main")
			if end.ExitCode != 137 || end.Reason != "DeadlineExceeded" {
				t.Errorf("it ended with %+v", end)
			}
			n.awaitPhase(p, podstatus.PhaseFailed)
			next := newPod()
			n.create(next)
			n.awaitRunning(next, "main")
			n.restart()
			n.awaitEnd(p, "main")
			n.delete(p, nil) // nor does its delete take what is another pod's now
			n.awaitRunning(next, "main")
			n.delete(next, nil)
		})
	}
}

// TestEndedPodKeepsNoSecrets: nothing of the ConfigMaps, Secrets and variables of a pod that
// has ended is left on disk; while it ran there was.
func TestEndedPodKeepsNoSecrets(t *testing.T) {
	const marker = "marker-5a0c"
	n := newNode(t)
	stop := make(chan struct{})
	n.host.InnerProgram("gate", func(p *enginetest.Process) int { return gate(p, stop) })
	p := newPod(running("gate"), withMain(func(c *v1.Container) {
		c.Env = []v1.EnvVar{{Name: "A", Value: marker}}
		c.VolumeMounts = []v1.VolumeMount{{Name: "login", MountPath: "/login"}, {Name: "scratch", MountPath: "/scratch"}}
	}), func(p *v1.Pod) {
		p.Spec.Volumes = []v1.Volume{{Name: "login", VolumeSource: v1.VolumeSource{Secret: &v1.SecretVolumeSource{SecretName: "login"}}},
			{Name: "scratch", VolumeSource: v1.VolumeSource{EmptyDir: &v1.EmptyDirVolumeSource{}}}}
	})
	secret := v1.Secret{Data: map[string][]byte{"pass": []byte(marker)}}
	secret.Name = "login"
	if _, err := n.manager.Create(n.ctx, p, volumes.Data{Secrets: map[string]v1.Secret{"login": secret}}); err != nil {
		t.Fatal(err)
	}
	n.awaitRunning(p, "main")
	if got := n.filesWith(marker); len(got) != 2 {
		t.Errorf("while it runs the secret is in %q, want the record and the volume", got)
	}
	close(stop)
	n.awaitEnd(p, "main")
	n.poll("the secret is gone", func() bool { return len(n.filesWith(marker)) == 0 })
	if _, err := os.Stat(filepath.Join(n.dir, p.Namespace+"-"+string(p.UID), "emptyDirs", "scratch")); err != nil {
		t.Errorf("what the pod has made: %v", err)
	}
	n.restart()
	n.awaitEnd(p, "main")
	n.delete(p, nil)
}

// filesWith are the files of docker-sd that hold a text.
func (n *node) filesWith(text string) (out []string) {
	n.t.Helper()
	err := filepath.WalkDir(n.dir, func(path string, entry os.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return nil // gone meanwhile
		}
		if content, err := os.ReadFile(path); err == nil && bytes.Contains(content, []byte(text)) {
			out = append(out, strings.TrimPrefix(path, n.dir))
		}
		return nil
	})
	if err != nil {
		n.t.Fatal(err)
	}
	return out
}

// TestJIDs are the names that sandboxes get for their pods: no two pods have the same. The
// name of a sandbox in the pool would be two pods' where one gives it back unused.
func TestJIDs(t *testing.T) {
	n := newNode(t)
	n.awaitWarm()
	for range 2 {
		p := newPod()
		jid, err := n.manager.Create(n.ctx, p, volumes.Data{})
		if want := sandbox.AssignedName(string(p.UID)); err != nil || jid != want {
			t.Errorf("Create() = %s, %v, want %s", jid, err, want)
		}
		n.awaitRunning(p, "main")
		n.sandbox(p)
		n.delete(p, nil)
	}
}
