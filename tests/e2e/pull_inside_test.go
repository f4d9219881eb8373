//go:build e2e

package e2e_test

import (
	"encoding/base64"
	"fmt"
	"net"
	"net/http"
	"os"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// TestSandboxPulls: with ImageSharing pull, each sandbox asks the registry with its
// own pod's credentials, and the host neither has nor lends the image.
func TestSandboxPulls(t *testing.T) {
	t.Parallel()
	d := ownDaemon(t, 1, map[string]any{"ImageSharing": "pull", "StandbySandboxes": 0})
	f := newFront(t, true)
	image := f.publish(t, "inside", 1<<20)
	next := func() { // the pod that comes now finds the registry in its sandbox
		for id := range d.waitWarm(t, 1) {
			f.serveInside(t, id)
		}
	}
	auth := base64.StdEncoding.EncodeToString([]byte(registryUser + ":" + registryPassword))
	request := newCreate(newPod(from(image.ref, v1.PullIfNotPresent)))
	request.Container[0].Secrets = []v1.Secret{{ObjectMeta: metav1.ObjectMeta{Name: "registry"}, Type: v1.SecretTypeDockerConfigJson,
		Data: map[string][]byte{v1.DockerConfigJsonKey: fmt.Appendf(nil, `{"auths":{%q:{"auth":%q}}}`, f.address, auth)}}}
	next()
	p := d.runRequest(t, request)
	if got := p.output(); got != "hello\n" {
		t.Errorf("log = %q", got)
	}
	if id := p.status().Container("c").ImageID; !strings.HasSuffix(id, image.digest) {
		t.Errorf("imageID = %q", id)
	}
	if f.count(http.MethodGet, "/blobs/") == 0 {
		t.Error("no layer came from the registry")
	}
	p.delete(0)
	p.waitGone()

	next()
	refused := d.run(t, newPod(from(image.ref, v1.PullIfNotPresent)))
	seen := refused.waitFor("ErrImagePull", func(s podStatus) bool { return waitingReason(s, "c") == "ErrImagePull" })
	if message := seen.Container("c").State.Waiting.Message; !strings.Contains(message, "no basic auth credentials") {
		t.Errorf("message = %q", message)
	}
	if suite.engine.hasImage(t, image.ref) {
		t.Error("the host has the image")
	}
	if strings.Contains(d.log.String(), registryPassword) || strings.Contains(d.log.String(), auth) {
		t.Error("the log has the password")
	}
}

// serveInside has the registry at its address on a container's loopback too.
func (f *front) serveInside(t *testing.T, container string) {
	t.Helper()
	var seen struct{ State struct{ Pid int } }
	if err := suite.engine.call(t.Context(), http.MethodGet, "/containers/"+container+"/json", &seen); err != nil {
		t.Fatal(err)
	}
	listener, err := listenIn(fmt.Sprintf("/proc/%d/ns/net", seen.State.Pid), f.address)
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: f.server.Config.Handler}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(listener) }()
	t.Cleanup(func() {
		_ = server.Close()
		<-ended
	})
}

// listenIn listens in another network namespace, from which a socket cannot move.
func listenIn(namespace, address string) (listener net.Listener, err error) {
	there, err := os.Open(namespace)
	if err != nil {
		return nil, err
	}
	defer there.Close()
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // and never unlocked: the thread ends with the goroutine
		if err = unix.Setns(int(there.Fd()), unix.CLONE_NEWNET); err == nil {
			listener, err = net.Listen("tcp", address)
		}
	}()
	<-done
	return listener, err
}
